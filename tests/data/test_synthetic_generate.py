"""A small generated set: its layout, its bytes, its masks and its light."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.synthetic import defects
from data.synthetic.__main__ import main
from data.synthetic.assembly import assemble, coverage
from data.synthetic.generate import GOOD, Settings, Task, generate, open_studio, photograph, plan_defect
from data.synthetic.lighting import Lighting, make_lighting
from data.synthetic.scene import linear_from_srgb, srgb_from_linear
from data.synthetic.toys import read_toy, toy_path
from data.synthetic.viewpoints import camera_at, grid_angles, spread_views
from utils.camera import look_at

SMALL = Settings("submarine", views=5, queries=3, image_size=96, seed=3)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys") / "submarine"
    generate(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory):
    return open_studio(SMALL, tmp_path_factory.mktemp("studio"))


def test_layout_is_mads(small: Path) -> None:
    expected = {"transforms.json", "poses_truth.json", "synthetic.json"}
    expected |= {f"train/good/{number}.png" for number in range(5)}
    expected |= {f"test/{kind}/{number}.png" for kind in (GOOD, *defects.KINDS) for number in range(3)}
    expected |= {f"ground_truth/{kind}/{number}_mask.png" for kind in defects.KINDS for number in range(3)}
    assert set(files_of(small)) == expected
    picture, mask = Image.open(small / "test/Burrs/0.png"), Image.open(small / "ground_truth/Burrs/0_mask.png")
    assert (picture.mode, picture.size, mask.mode, mask.size) == ("RGB", (96, 96), "L", (96, 96))
    assert set(np.unique(mask)) == {0, 255}


def test_cameras_are_written_as_they_were(small: Path) -> None:
    transforms = json.loads((small / "transforms.json").read_text())
    assert transforms["camera_angle_x"] == pytest.approx(0.6911112)
    for index, (frame, number) in enumerate(zip(transforms["frames"], spread_views(5), strict=True)):
        assert frame["file_path"] == f"train/good/{index}.png"
        assert torch.allclose(torch.tensor(frame["transform_matrix"]), camera_at(*grid_angles()[number]))
    poses = json.loads((small / "poses_truth.json").read_text())
    assert list(poses) == [f"{kind}/{number}" for kind in (GOOD, *defects.KINDS) for number in range(3)]
    for pose in poses.values():
        pose = torch.tensor(pose)
        upright = look_at(pose[:3, 3], torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        assert torch.allclose(pose, upright, atol=1e-5)


def test_same_seed_gives_the_same_bytes_whatever_the_workers(small: Path, tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "again", workers=2)
    assert files_of(tmp_path / "again") == files_of(small)


def test_a_second_run_makes_only_what_is_missing(small: Path) -> None:
    before = files_of(small)
    kept = (small / "train/good/1.png").stat().st_mtime_ns
    for name in ("train/good/0.png", "test/Stains/2.png", "transforms.json"):
        (small / name).unlink()
    generate(SMALL, small)
    assert files_of(small) == before
    assert (small / "train/good/1.png").stat().st_mtime_ns == kept


def test_a_folder_is_never_mixed(small: Path, tmp_path: Path) -> None:
    before = files_of(small)
    with pytest.raises(ValueError, match="seed = 3 there, 4 now"):
        generate(Settings("submarine", views=5, queries=3, image_size=96, seed=4), small)
    assert files_of(small) == before
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match="not empty"):
        generate(SMALL, tmp_path)


@pytest.mark.parametrize("kind", defects.KINDS)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_masks_are_exactly_what_changed(small: Path, studio, kind: str, number: int) -> None:
    pose, defect = plan_defect(studio, Task(kind, number), random_of(kind, number))
    picture, mask = photograph(studio, pose, defect, grain=5)
    assert np.array_equal(mask, np.array(Image.open(small / f"ground_truth/{kind}/{number}_mask.png")) > 0)
    assert mask.mean() >= defects.SMALLEST_AREA
    clean, empty = photograph(studio, pose, defects.Defect(), grain=5)
    assert not empty.any()
    difference = np.abs(picture.astype(int) - clean).max(axis=2)
    assert (difference[mask] > 0).mean() > 0.9
    assert difference[mask].mean() > 3 * difference[~mask].mean()
    background = (clean == 255).all(axis=2)
    assert (picture[background & ~mask] >= 100).all()  # an edge at most, half of a pixel or less
    if kind == "Missing":  # nothing appears where the toy was not
        assert (picture[background] == 255).all() and not (mask & background).any()
    if kind == "Stains":  # nothing but colour changes: no silhouette, and no light farther off
        assert np.array_equal((picture == 255).all(axis=2), background)
        assert difference[~grown(mask, 2)].max() == 0


def random_of(kind: str, number: int) -> np.random.Generator:
    import zlib

    return np.random.default_rng([SMALL.seed, zlib.crc32(f"{kind}/{number}".encode())])


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, np.ones((3, 3)), iterations=by)


@pytest.mark.parametrize(("kind", "median"), [("Burrs", 0.0015), ("Missing", 0.0087), ("Stains", 0.0011)])
def test_wanted_areas_follow_mads(kind: str, median: float) -> None:
    areas = defects.wanted_areas(kind, 1000, np.random.default_rng(0))
    _, smallest, largest, _ = defects.AREAS[kind]
    assert np.median(areas) == pytest.approx(median, rel=0.01)
    assert smallest <= areas.min() < areas.max() <= largest
    assert areas.max() > 3 * median and areas.min() < median / 3
    few = defects.wanted_areas(kind, 8, np.random.default_rng(1))
    assert np.median(few) == pytest.approx(median, rel=0.35)


def test_stain_is_unlike_what_lies_beneath(studio) -> None:
    for number in range(3):
        pose, defect = plan_defect(studio, Task("Stains", number), random_of("Stains", number))
        sight = defects.look(studio.assembly, studio.scene, pose, studio.intrinsics)
        beneath = studio.scene.albedo_of_face[sight.hits.faces[defect.stain.weight(sight.points) > 0]]
        distance = defects.colour_distance(srgb_from_linear(beneath), srgb_from_linear(defect.stain.albedo))
        assert distance.min() > 25


def test_background_is_pure_white_and_corners_hold_no_toy(small: Path) -> None:
    for path in sorted((small / "train/good").glob("*.png")):
        picture = np.array(Image.open(path))
        assert (picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
        assert 0.5 < (picture == 255).all(axis=2).mean() < 0.95


def test_toy_fills_as_much_of_the_frame_as_mads_objects() -> None:
    shares = coverage(assemble(read_toy(toy_path("locomotive"))))
    assert shares.mean() == pytest.approx(0.21, abs=0.005)


def test_white_and_black_bricks_are_as_bright_as_mads() -> None:
    for toy, low, high in (("goose", 140, 180), ("beetle", 36, 52)):
        studio = open_studio(Settings(toy, image_size=64), Path("unused"))
        values = []
        for number in range(10, 210, 40):
            picture, _ = photograph(studio, camera_at(*grid_angles()[number]), defects.Defect(), number)
            values.append(np.median(picture[(picture < 250).all(axis=2)]))
        assert low < np.mean(values) < high


def test_glaring_light_changes_with_the_viewpoint_and_matt_does_not() -> None:
    """A face seen mirror-wise from a lamp is far brighter than the same face seen from elsewhere."""

    def spread(gloss: str) -> float:
        lighting: Lighting = make_lighting(gloss)
        directions = np.array([camera_at(*angles)[:3, 2].numpy() for angles in grid_angles()])
        mirrored = directions * np.array([-1, -1, 1])  # of a face that looks up
        seen = lighting.seen(np.zeros_like(mirrored), mirrored.astype(np.float32))[directions[:, 2] > 0.2]
        return float(lighting.reflectance * np.ptp(seen))

    assert spread("glaring") > 0.3
    assert spread("mild") < 0.15
    assert spread("none") == 0


def test_irradiance_of_an_even_sky_is_its_radiance() -> None:
    lighting = make_lighting("none")
    normals = np.eye(3, dtype=np.float32)
    directions = np.random.default_rng(0).normal(size=(200_000, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radiance = lighting.seen(np.zeros_like(directions), directions)
    for normal in normals:
        slow = 4 * (np.maximum(directions @ normal, 0)[:, None] * radiance).mean(axis=0)
        assert lighting.irradiance(normal[None])[0] == pytest.approx(slow, rel=0.05)


def test_srgb_there_and_back() -> None:
    values = np.arange(256)
    assert np.allclose(srgb_from_linear(linear_from_srgb(values)) * 255, values, atol=1e-3)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--toy", "zeppelin"], "no toy 'zeppelin'"),
        (["--toy", "goose", "--views", "500"], "1 to 210"),
        (["--toy", "goose", "--image_size", "4"], "image_size = 4"),
        (["--toy", "goose", "--workers", "0"], "workers = 0"),
    ],
)
def test_command_line_says_what_is_wrong(tmp_path: Path, capsys, extra: list[str], message: str) -> None:
    assert main(["--out", str(tmp_path / "toy"), *extra]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "toy").exists()


def test_command_line_lists_the_toys(capsys) -> None:
    assert main(["--list"]) == 0
    assert "locomotive" in capsys.readouterr().out.split()
