from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from utils.images import prepare, read_image, read_map, read_mask, working_size, write_map, write_png


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 4096))
def test_working_size_shrinks_and_keeps_the_shape(width: int, height: int, limit: int) -> None:
    new = working_size(width, height, limit)
    assert max(new) == min(max(width, height), limit)
    assert abs(new[0] * height - new[1] * width) <= max(width, height)


def test_area_average_keeps_the_mean() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    colour, alpha = prepare(picture, 30, (1.0, 1.0, 1.0))
    assert colour.shape == (20, 30, 3) and alpha is None
    np.testing.assert_allclose(colour.mean((0, 1)), picture.mean((0, 1)) / 255, atol=1e-5)


def test_hidden_colour_does_not_bleed() -> None:
    picture = np.zeros((2, 2, 4), dtype=np.uint8)
    picture[0, 0] = (255, 0, 0, 255)
    picture[1] = (0, 255, 0, 0)  # green that nobody sees
    colour, alpha = prepare(picture, 1, (0.0, 0.0, 1.0))
    np.testing.assert_allclose(colour[0, 0], (0.25, 0.0, 0.75), atol=1e-6)
    assert alpha is not None and abs(float(alpha[0, 0]) - 0.25) < 1e-6


def test_png_round_trip(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (5, 7, 3), generator=torch.Generator().manual_seed(0)).float() / 255
    write_png(tmp_path / "x.png", image)
    assert torch.equal(read_image(tmp_path / "x.png", 400, (1.0, 1.0, 1.0)), image)


def test_palette_pictures_are_colour(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 255, 128, 0])
    picture.save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png", 400, (1.0, 1.0, 1.0))[0, 0] * 255).round().tolist() == [255, 128, 0]


def test_masks_of_any_mode(tmp_path: Path) -> None:
    truth = np.eye(6, dtype=np.uint8) * 255
    for mode in ("L", "RGB", "1", "P"):
        Image.fromarray(truth).convert(mode).save(tmp_path / "m.png")
        assert torch.equal(read_mask(tmp_path / "m.png"), torch.from_numpy(truth > 0))


def test_map_round_trip_is_bit_for_bit(tmp_path: Path) -> None:
    values = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * 1e6
    write_map(tmp_path / "a/b.tiff", values)
    assert torch.equal(read_map(tmp_path / "a/b.tiff"), values)
