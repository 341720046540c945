"""Photos that were stored as the sensor lies, and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.photos import OrientedPhotos, apply_orientation, upright_size
from tests.data.sources import write_photo

NOISE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("flag", range(1, 9))
def test_the_flag_is_applied_as_pillow_does(tmp_path: Path, flag: int) -> None:
    path = write_photo(tmp_path / "a.png", flag, NOISE)
    with Image.open(path) as photo:
        expected = np.asarray(ImageOps.exif_transpose(photo))
    assert np.array_equal(apply_orientation(NOISE, flag), expected)
    assert upright_size(path) == expected.shape[1::-1]
    assert np.array_equal(OrientedPhotos.of([path]).read(path), expected)


def test_photos_in_the_minority_aspect_are_rotated(tmp_path: Path) -> None:
    tall = [write_photo(tmp_path / f"{index}.png", 6, NOISE) for index in range(3)]
    across = write_photo(tmp_path / "across.png", 1, NOISE)
    photos = OrientedPhotos.of([*tall, across])
    assert [photos.is_rotated(path) for path in (*tall, across)] == [False, False, False, True]
    assert {photos.size(path) for path in (*tall, across)} == {(4, 6)}
    assert np.array_equal(photos.read(across), np.rot90(NOISE))
    assert not OrientedPhotos.of([*tall, across], landscape=True).is_rotated(across)


def test_a_square_photo_is_never_rotated(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.png", 1, NOISE[:, :4])
    assert not any(OrientedPhotos.of([path], landscape=shape).is_rotated(path) for shape in (True, False))


@pytest.mark.parametrize("as_stored", [True, False])
def test_masks_may_have_the_sensors_orientation_or_the_upright_one(tmp_path: Path, as_stored: bool) -> None:
    bright = (NOISE[..., 0] > 127).astype(np.uint8) * 255
    flags = {"tall": 6, "half_turn": 3, "across": 1, "other": 8}
    paths = [write_photo(tmp_path / f"{name}.png", flag, NOISE) for name, flag in flags.items()]
    for path, flag in zip(paths, flags.values()):
        mask = bright if as_stored else np.ascontiguousarray(apply_orientation(bright, flag))
        target = tmp_path / "masks" / f"{path.stem}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(target)
    photos = OrientedPhotos.of(paths, tmp_path / "masks")
    for path in paths:  # a mask that is white where its photo is bright stays so however both are turned
        assert np.array_equal(photos.foreground(path) > 127, photos.read(path)[..., 0] > 127)


def test_a_subfolder_named_like_the_photos_folder_is_searched_first(tmp_path: Path) -> None:
    paths = [write_photo(tmp_path / kind / "0.png", 1, NOISE) for kind in ("stain", "burr")]
    for place, value in ((tmp_path / "masks", 2), (tmp_path / "masks/stain", 3)):
        place.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((4, 6), dtype=np.uint8)
        mask[:value] = 255
        Image.fromarray(mask).save(place / "0.png")
    photos = OrientedPhotos.of(paths, tmp_path / "masks")
    assert [photos.foreground(path)[2].max() for path in paths] == [255, 0]


def test_without_a_valid_flag_nothing_is_turned(tmp_path: Path) -> None:
    assert upright_size(write_photo(tmp_path / "a.png", 77, NOISE)) == (6, 4)
    Image.fromarray(NOISE).save(tmp_path / "b.png")
    assert np.array_equal(OrientedPhotos.of([tmp_path / "b.png"]).read(tmp_path / "b.png"), NOISE)
