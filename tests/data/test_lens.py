from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.lens import Lens, common_camera, cropped_and_filled, rectify, undistort
from pipeline.config import Config
from pipeline.photos import PhotoReader
from tests.data.sources import write_photo
from utils.camera import Intrinsics
from utils.errors import InputError

BENT = Lens(96, 64, 90.0, 92.0, 50.5, 30.25, (0.12, -0.06, 0.004, -0.003))
CROPPED = Intrinsics(40, 32, 46.0, 46.0, 20.0, 16.0)
FISH = Lens(96, 64, 60.0, 61.0, 47.0, 33.0, (0.03, -0.01, 0.004, -0.001), fisheye=True)


def distorted(points: np.ndarray, lens: Lens) -> np.ndarray:
    """Pixels (points, 2) of rays through (x, y, 1): the formulas of OpenCV's manual, written out."""
    x, y = points[..., 0], points[..., 1]
    if lens.fisheye:
        radius = np.hypot(x, y)
        angle = np.arctan(radius)
        k = lens.distortion
        bent = angle * (1 + k[0] * angle**2 + k[1] * angle**4 + k[2] * angle**6 + k[3] * angle**8)
        ratio = np.where(radius > 1e-9, bent / np.maximum(radius, 1e-9), 1.0)
        x, y = x * ratio, y * ratio
    else:
        k1, k2, p1, p2 = lens.distortion
        square = x * x + y * y
        radial = 1 + k1 * square + k2 * square**2
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
        )
    return np.stack([lens.focal_x * x + lens.centre_x, lens.focal_y * y + lens.centre_y], axis=-1)


def seen(points: np.ndarray) -> np.ndarray:
    """A smooth picture of the directions (x, y, 1): (..., 3) in 0 to 255."""
    x, y = points[..., 0], points[..., 1]
    waves = [np.sin(9 * x + 2), np.cos(8 * y - 1), np.sin(6 * x - 7 * y)]
    return 127.5 + 100 * np.stack(waves, axis=-1)


def photo(lens: Lens) -> np.ndarray:
    """What ``lens`` sees of that picture, its distortion undone by a slow search for each pixel."""
    column, row = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
    pixels = np.stack([column, row], axis=-1)
    points = (pixels - [lens.centre_x, lens.centre_y]) / [lens.focal_x, lens.focal_y]
    for _ in range(100):
        points = points - (distorted(points, lens) - pixels) / [lens.focal_x, lens.focal_y]
    assert np.abs(distorted(points, lens) - pixels).max() < 1e-6
    return seen(points).round().astype(np.uint8)


def pinhole(camera: Intrinsics) -> np.ndarray:
    column, row = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    x, y = (column - camera.centre_x) / camera.focal_x, (row - camera.centre_y) / camera.focal_y
    return seen(np.stack([x, y], axis=-1))


@pytest.mark.parametrize("lens", [BENT, FISH], ids=["opencv", "fisheye"])
def test_a_distorted_picture_becomes_what_a_pinhole_sees(lens: Lens) -> None:
    camera = common_camera([lens], 96)
    result = rectify(photo(lens), lens, camera, 255).astype(float)
    inside = (result != 255).any(axis=2)
    assert inside.mean() > 0.75
    assert np.abs(result - pinhole(camera))[2:-2, 2:-2][inside[2:-2, 2:-2]].mean() < 1.0


def test_leaving_the_distortion_in_would_be_seen() -> None:
    camera = common_camera([BENT], 96)
    assert np.abs(photo(BENT).astype(float) - pinhole(camera)).mean() > 10


@pytest.mark.parametrize("lens", [BENT, FISH], ids=["opencv", "fisheye"])
def test_undistorted_reverses_the_formulas(lens: Lens) -> None:
    points = np.array([[0.0, 0.0], [0.2, -0.1], [-0.3, 0.25]])
    assert np.allclose(undistort(distorted(points, lens), lens), points, atol=1e-4)


def test_a_picture_of_the_common_camera_is_left_bit_for_bit() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    lens = Lens(96, 64, 90.0, 90.0, 48.0, 32.0)
    assert np.array_equal(rectify(picture, lens, common_camera([lens], 800), 255), picture)
    assert cropped_and_filled(lens, common_camera([lens], 800)) == (0.0, 0.0)


def test_halving_averages_four_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    lens = Lens(96, 64, 90.0, 90.0, 48.0, 32.0)
    camera = common_camera([lens], 48)
    expected = picture.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    assert (camera.width, camera.height, camera.focal_x) == (48, 32, 45.0)
    assert np.abs(rectify(picture, lens, camera, 255) - expected).max() <= 0.5


def test_where_the_lens_did_not_look_is_filled_and_transparent() -> None:
    lens = Lens(40, 40, 60.0, 60.0, 30.0, 20.0)  # its axis lies ten pixels right of the middle
    picture = np.full((40, 40, 4), 90, dtype=np.uint8)
    picture[..., 3] = 255
    result = rectify(picture, lens, common_camera([lens], 40), 255)
    assert (result[:, :29, 3] == 255).all() and (result[:, 31:] == [255, 255, 255, 0]).all()
    coloured = rectify(picture[..., :3], lens, common_camera([lens], 40), np.array([0, 255, 0]))
    assert (coloured[:, :29] == 90).all() and (coloured[:, 31:] == [0, 255, 0]).all()
    cropped, filled = cropped_and_filled(lens, common_camera([lens], 40))
    assert cropped == pytest.approx(0.25, abs=0.05) and filled == pytest.approx(0.25, abs=0.03)


def test_transparent_colours_do_not_bleed() -> None:
    picture = np.zeros((40, 40, 4), dtype=np.uint8)
    picture[:, :20] = [200, 100, 50, 255]
    picture[:, 20:] = [0, 255, 0, 0]
    lens = Lens(40, 40, 60.0, 60.0, 20.3, 20.0)
    result = rectify(picture, lens, common_camera([lens], 40), 255)
    solid = result[..., 3] > 100
    assert solid.any() and np.abs(result[solid][:, :3].astype(int) - [200, 100, 50]).max() <= 2


def test_the_common_camera_is_the_median_and_most_frequent() -> None:
    lenses = [Lens(40, 30, focal, focal, 20, 15) for focal in (50.0, 60.0, 90.0)] + [Lens(80, 80, 120, 120, 40, 40)]
    camera = common_camera(lenses, 800)
    assert (camera.width, camera.height, camera.focal_x) == (40, 30, 60.0)


@pytest.mark.parametrize(
    "lens",
    [
        Lens(40, 30, float("nan"), 50, 20, 15),
        Lens(40, 30, 50, 50, 20, 15, (float("inf"), 0, 0, 0)),
        Lens(0, 30, 50, 50, 20, 15),
        Lens(10**9, 30, 50, 50, 20, 15),
        Lens(40, 30, -50, 50, 20, 15),
        Lens(4000, 3000, 3.5, 3.5, 2000, 1500),
    ],
)
def test_what_cannot_be_a_camera_is_named(lens: Lens) -> None:
    with pytest.raises(InputError, match=r"frame 3"):
        lens.checked("frame 3")


def test_a_photo_for_inspection_becomes_what_the_views_camera_sees(tmp_path: Path) -> None:
    lens, camera = BENT.resized(384, 256), Intrinsics(48, 32, 46.0, 46.0, 24.0, 16.0)
    write_photo(tmp_path / "photo.png", 8, np.rot90(photo(lens), -1))  # stored tall, looked at wide
    config = Config(object_name="object", data_dir=str(tmp_path), image_size=48)
    found = 255 * PhotoReader(config, camera, lens).read(tmp_path / "photo.png").numpy()
    assert np.abs(found - pinhole(camera))[2:-2, 2:-2].max() < 4
    plain = 255 * PhotoReader(config, camera).read(tmp_path / "photo.png").numpy()
    assert np.abs(plain - pinhole(camera))[2:-2, 2:-2].max() > 12
    with pytest.raises(InputError, match=r"photo\.png has 40x27 pixels"):
        PhotoReader(config, CROPPED).read(tmp_path / "photo.png")
