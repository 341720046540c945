"""Masks that are found: a crude network takes all that is red, decoys too; the other views correct it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from data import layout, mask_command
from data.__main__ import main
from data.automatic_masks import AutomaticMasks, find_automatic_masks, network_mask
from data.consensus import find_consensus, iou, largest_piece
from data.doctor.fit import Fit
from data.import_options import AUTO, ImportOptions
from data.import_transforms import import_transforms
from data.mask_edges import cut_edge
from data.saliency import SIDE, load_saliency, network_input, saliency_of
from tests.data.toy_views import ANGLE, LOPSIDED, camera_of, poses_around, silhouettes_of
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.hull import Hull
from utils.images import read_uint8
from utils.progress import Progress
from utils.weights import Weights

QUIET = Progress(quiet=True)
VIEWS, SIZE = 20, 96
DECOYED = [3, 8, 13, 17]  # views in which something else is red too
CAMERA, POSES = camera_of(SIZE), poses_around(VIEWS)


def red(image: np.ndarray) -> np.ndarray:
    """A crude network."""
    return (image[..., 0].astype(np.float32) > image[..., 1] + 50.0).astype(np.float32)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return silhouettes_of(LOPSIDED, POSES, CAMERA)


@pytest.fixture(scope="module")
def photos(truth: np.ndarray) -> np.ndarray:
    """Red balls in front of noise, (views, height, width, 3) uint8; decoys overlap the object or lie beside it."""
    random = np.random.default_rng(0)
    noise = random.integers(60, 160, (VIEWS, SIZE, SIZE, 1), dtype=np.uint8).repeat(3, axis=3)
    for number, view in enumerate(DECOYED):
        noise[view, 24 * number : 24 * number + 24, : 30 + 20 * number] = (200, 90, 40)
    return np.where(truth[..., None], np.array([150, 20, 20], dtype=np.uint8), noise)


def test_views_correct_the_network_where_it_takes_something_else(photos: np.ndarray, truth: np.ndarray) -> None:
    found = find_automatic_masks(photos.__getitem__, POSES, CAMERA, red, QUIET)
    alone = [iou(red(photo) > 0.5, mask) for photo, mask in zip(photos, truth)]
    final = [iou(found.mask(view, photos[view], CAMERA) > 127, truth[view]) for view in range(VIEWS)]
    assert max(alone[view] for view in DECOYED) < 0.8
    assert min(final) > 0.9
    assert found.corrected.tolist() == DECOYED


def test_too_little_agreement_is_an_error(truth: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"masks of (only|60%).*--masks"):
        find_consensus(np.random.default_rng(0).random(truth.shape) > 0.7, POSES, CAMERA)
    with pytest.raises(InputError, match=r"No point of space.*--masks"):
        find_consensus(np.zeros_like(truth), POSES, CAMERA)


def test_the_largest_piece_stays() -> None:
    inside = torch.zeros(9, 9, 9, dtype=torch.bool)
    inside[1:4, 1:4, 1:4] = inside[6:8, 6:8, 6:8] = True
    kept = largest_piece(Hull(torch.zeros(3), 1.0, inside)).inside
    assert kept[1:4, 1:4, 1:4].all() and int(kept.sum()) == 27


def test_the_edge_moves_to_where_colours_change_and_not_beyond_the_band() -> None:
    image = np.full((80, 80, 3), (30, 90, 160), dtype=np.uint8)
    image[20:60, 20:60] = (200, 120, 30)
    image[0:10, 0:10] = (200, 120, 30)  # of the object's colour, far away
    true = np.zeros((80, 80), dtype=bool)
    true[20:60, 20:60] = True
    rough = np.zeros_like(true)
    rough[22:58, 21:62] = True
    assert np.array_equal(cut_edge(image, rough, rough, band=0.1), true)
    nothing = np.zeros_like(true)
    assert not cut_edge(image, nothing, rough).any()
    assert cut_edge(image, ~nothing, ~nothing).all()


def test_an_import_finds_masks_and_shows_them(
    photos: np.ndarray, truth: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "load_saliency", lambda weights: red)
    write_photos(tmp_path / "in", photos)
    options = ImportOptions(tmp_path / "out", masks=AUTO, keep_world=True, test=tmp_path / "in/train/good")
    options.check_folders()
    summary = import_transforms(tmp_path / "in", None, options)
    assert summary.cut_out and "4 of 20 views were corrected" in summary.notes[0]
    assert "20 queries are not cut out" in summary.notes[1]
    for view in range(VIEWS):
        written = read_uint8(tmp_path / f"out/train/good/{view}.png")
        assert iou(written[..., 3] > 127, truth[view]) > 0.9
        assert (written[written[..., 3] == 0] == [255, 255, 255, 0]).all()
        query = read_uint8(tmp_path / f"out/test/unknown/{view}.png")
        assert query.shape[2] == 3 and np.array_equal(query, photos[view])
    sheet = read_uint8(tmp_path / "out/masks.png").astype(int)
    assert sheet.shape[0] == 3 * sheet.shape[1] // 8 + 3 * 16  # three rows of square prints with captions
    assert ((sheet == [220, 0, 0]).all(axis=2)).any() and ((sheet == [0, 160, 0]).all(axis=2)).any()


def write_photos(folder: Path, photos: np.ndarray) -> None:
    (folder / "train/good").mkdir(parents=True)
    frames = []
    for view, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / f"train/good/{view}.png")
        frames.append({"file_path": f"train/good/{view}.png", "transform_matrix": POSES[view].tolist()})
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": ANGLE, "frames": frames}))


def test_masks_of_an_objects_folder_are_made_once(
    photos: np.ndarray, truth: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_command, "load_saliency", lambda weights: red)
    folder = tmp_path / "balls"
    write_photos(folder, photos)
    (folder / "test/good").mkdir(parents=True)
    Image.fromarray(photos[0]).save(folder / "test/good/0.png")
    assert main(["masks", str(folder), "--quiet"]) == 0
    for view in range(VIEWS):
        assert iou(np.asarray(Image.open(folder / f"masks/train/good/{view}.png")) > 127, truth[view]) > 0.9
    assert not (folder / "masks/test").exists() and (folder / "masks.png").is_file()
    assert not (folder / "masks.unfinished").exists()
    with pytest.raises(InputError, match="give --overwrite"):
        main(["masks", str(folder), "--quiet"])
    (folder / "masks/old.png").touch()
    assert main(["masks", str(folder), "--quiet", "--overwrite"]) == 0
    assert not (folder / "masks/old.png").exists()


@pytest.mark.parametrize(("agreement", "doubtful"), [(0.95, False), (0.5, True)])
def test_masks_that_had_to_be_corrected_in_most_views_are_doubted(agreement: float, doubtful: bool) -> None:
    poses, nothing = np.repeat(np.eye(4)[None], 4, 0), np.zeros((4, 8, 8), bool)
    camera = Intrinsics.from_angle(8, 8, 0.7)
    found = AutomaticMasks(cast(Fit, None), poses, camera, nothing, nothing, np.array([0.9, *[agreement] * 3]))
    assert bool(found.doubt) == doubtful


def test_the_network_is_given_what_it_was_trained_with() -> None:
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    image[..., 0] = 100  # the brightest value counts as 1
    found = network_input(image)
    assert found.shape == (1, 3, SIDE, SIDE) and found.dtype == np.float32
    assert np.allclose(found[0, :, 0, 0], [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], atol=1e-5)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"u2netp\.onnx cannot be read as a network"):
        saliency_of(tmp_path / "u2netp.onnx")


def test_the_network_finds_a_disc() -> None:
    try:
        saliency = load_saliency(Weights(quiet=True))
    except InputError as error:
        pytest.skip(str(error))
    y, x = np.mgrid[:120, :160]
    disc = (x - 70) ** 2 + (y - 60) ** 2 < 35**2
    image = np.where(disc[..., None], np.array([190, 40, 30]), np.array([120, 150, 120])).astype(np.uint8)
    assert iou(network_mask(image, saliency) > 127, disc) > 0.9
