from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.masks import find_mask, read_foreground
from data.plain_background import is_plain, plain_mask
from tests.mad_folder import write_picture
from utils.errors import InputError


def toy(background: int) -> np.ndarray:
    picture = np.full((60, 80, 3), background, dtype=np.uint8)
    picture[10:50, 20:60] = 120
    picture[22:38, 30:50] = background  # a gap
    picture[14:16, 24:26] = background  # a spot
    picture[3:5, 70:72] = 120  # dust
    return picture


@pytest.mark.parametrize(("colour", "background"), [("white", 250), ("black", 6)])
def test_a_plain_background_and_gaps_go_spots_stay(colour: str, background: int) -> None:
    expected = np.zeros((60, 80), dtype=np.uint8)
    expected[10:50, 20:60] = 255
    expected[22:38, 30:50] = 0
    assert np.array_equal(plain_mask(toy(background), colour, 24), expected)


def test_a_picture_of_background_alone_has_no_object() -> None:
    assert not plain_mask(np.zeros((20, 30, 3), dtype=np.uint8), "black", 24).any()


@pytest.mark.parametrize("name", ["7.png", "7_mask.png", "7.jpg.png"])
def test_masks_are_found_by_stem(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / name, np.zeros((4, 4), dtype=np.uint8))
    assert find_mask(tmp_path, Path("photos/7.jpg")) == tmp_path / name
    with pytest.raises(InputError, match=r"8\.png"):
        find_mask(tmp_path, Path("photos/8.jpg"))


def test_masks_are_brought_to_the_pictures_size(tmp_path: Path) -> None:
    write_picture(tmp_path / "0.png", np.kron([[255, 0], [0, 255]], np.ones((4, 4))).astype(np.uint8))
    assert np.array_equal(read_foreground(tmp_path / "0.png", (2, 2)), [[255, 0], [0, 255]])
    with pytest.raises(InputError, match=r"8x8 pixels"):
        read_foreground(tmp_path / "0.png", (9, 4))
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"cannot be read"):
        read_foreground(tmp_path / "0.png", (2, 2))


def test_transparency_is_a_mask_where_there_is_any(tmp_path: Path) -> None:
    values = np.full((2, 2, 4), 255, dtype=np.uint8)
    values[0, :, :3] = 0
    write_picture(tmp_path / "opaque.png", values)
    assert read_foreground(tmp_path / "opaque.png").tolist() == [[0, 0], [255, 255]]
    values[:, 0, 3] = 0
    write_picture(tmp_path / "transparent.png", values)
    assert read_foreground(tmp_path / "transparent.png").tolist() == [[0, 255], [0, 255]]


def test_borders_tell_whether_a_background_is_plain() -> None:
    noise = np.random.default_rng(0).integers(0, 200, (3, 60, 80, 3), dtype=np.uint8)
    assert is_plain(toy(250)[None], (1.0, 1.0, 1.0)) and not is_plain(toy(250)[None], (0.0, 0.0, 0.0))
    assert not is_plain(noise, (1.0, 1.0, 1.0))
