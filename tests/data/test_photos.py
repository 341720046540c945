"""Photos that were stored as the sensor lies, and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.photos import Photos, obeyed, upright_size
from tests.data.sources import write_photo

NOISE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("flag", range(1, 9))
def test_the_flag_is_obeyed_as_pillow_does(tmp_path: Path, flag: int) -> None:
    path = write_photo(tmp_path / "a.png", flag, NOISE)
    with Image.open(path) as photo:
        expected = np.asarray(ImageOps.exif_transpose(photo))
    assert np.array_equal(obeyed(NOISE, flag), expected)
    assert upright_size(path) == expected.shape[1::-1]
    assert np.array_equal(Photos.of([path]).read(path), expected)


def test_the_few_held_across_are_turned_to_the_shape_of_most(tmp_path: Path) -> None:
    tall = [write_photo(tmp_path / f"{index}.png", 6, NOISE) for index in range(3)]
    across = write_photo(tmp_path / "across.png", 1, NOISE)
    photos = Photos.of([*tall, across])
    assert [photos.across(path) for path in (*tall, across)] == [False, False, False, True]
    assert {photos.size(path) for path in (*tall, across)} == {(4, 6)}
    assert np.array_equal(photos.read(across), np.rot90(NOISE))
    assert not Photos.of([*tall, across], wide=True).across(across)


def test_a_square_photo_is_never_across(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.png", 1, NOISE[:, :4])
    assert not Photos.of([path], wide=True).across(path) and not Photos.of([path], wide=False).across(path)


@pytest.mark.parametrize("as_taken", [True, False])
def test_masks_may_lie_as_the_sensor_or_as_the_photo_is_seen(tmp_path: Path, as_taken: bool) -> None:
    bright = (NOISE[..., 0] > 127).astype(np.uint8) * 255
    flags = {"tall": 6, "half_turn": 3, "across": 1, "other": 8}
    paths = [write_photo(tmp_path / f"{name}.png", flag, NOISE) for name, flag in flags.items()]
    for path, flag in zip(paths, flags.values()):
        mask = bright if as_taken else np.ascontiguousarray(obeyed(bright, flag))
        target = tmp_path / "masks" / f"{path.stem}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(target)
    photos = Photos.of(paths, tmp_path / "masks")
    for path in paths:  # a mask that is white where its photo is bright stays so however both are turned
        assert np.array_equal(photos.foreground(path) > 127, photos.read(path)[..., 0] > 127)


def test_a_folder_of_the_photos_kind_is_looked_into_first(tmp_path: Path) -> None:
    paths = [write_photo(tmp_path / kind / "0.png", 1, NOISE) for kind in ("stain", "burr")]
    for place, value in ((tmp_path / "masks", 0), (tmp_path / "masks/stain", 255)):
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6), value, dtype=np.uint8)).save(place / "0.png")
    photos = Photos.of(paths, tmp_path / "masks")
    assert photos.foreground(paths[0]).min() == 255 and photos.foreground(paths[1]).max() == 0


def test_without_a_flag_or_with_nonsense_nothing_is_turned(tmp_path: Path) -> None:
    assert upright_size(write_photo(tmp_path / "a.png", 77, NOISE)) == (6, 4)
    Image.fromarray(NOISE).save(tmp_path / "b.png")
    assert np.array_equal(Photos.of([tmp_path / "b.png"]).read(tmp_path / "b.png"), NOISE)
