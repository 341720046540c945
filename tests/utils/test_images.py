from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.hostile import png_with_header
from utils.errors import InputError
from utils.images import (
    prepare,
    read_image,
    read_image_size,
    read_map,
    read_uint8,
    to_data_url,
    working_size,
    write_gif,
    write_map,
    write_png,
)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 4096))
def test_working_size_shrinks_and_keeps_the_shape(width: int, height: int, limit: int) -> None:
    new = working_size(width, height, limit)
    assert max(new) == min(max(width, height), limit)
    assert abs(new[0] * height - new[1] * width) <= max(width, height)


def test_area_average_keeps_the_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    colour, alpha = prepare(image, 30, (1.0, 1.0, 1.0))
    assert colour.shape == (20, 30, 3) and alpha is None
    np.testing.assert_allclose(colour.mean((0, 1)), image.mean((0, 1)) / 255, atol=1e-5)


def test_hidden_colour_does_not_bleed() -> None:
    image = np.zeros((2, 2, 4), dtype=np.uint8)
    image[0, 0] = (255, 0, 0, 255)
    image[1] = (0, 255, 0, 0)  # green that nobody sees
    colour, alpha = prepare(image, 1, (0.0, 0.0, 1.0))
    np.testing.assert_allclose(colour[0, 0], (0.25, 0.0, 0.75), atol=1e-6)
    assert alpha is not None and abs(float(alpha[0, 0]) - 0.25) < 1e-6


def test_png_round_trip(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (5, 7, 3), generator=torch.Generator().manual_seed(0)).float() / 255
    write_png(tmp_path / "x.png", image)
    assert torch.equal(read_image(tmp_path / "x.png", 400, (1.0, 1.0, 1.0)), image)


def test_palette_images_are_colour(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 128, 0])
    image.save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png", 400, (1.0, 1.0, 1.0))[0, 0] * 255).round().tolist() == [255, 128, 0]


def test_grey_and_16_bits_are_read_by_their_range(tmp_path: Path) -> None:
    levels = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "wide.png")
    Image.fromarray((levels // 257).astype(np.uint8)).save(tmp_path / "grey.webp", lossless=True)
    Image.fromarray(levels > 30000).save(tmp_path / "bits.bmp")
    for name, expected in {
        "wide.png": [0, 1, 128, 255],
        "grey.webp": [0, 1, 128, 255],
        "bits.bmp": [0, 0, 255, 255],
    }.items():
        assert read_uint8(tmp_path / name)[0].tolist() == [[value] * 3 for value in expected]


@pytest.mark.parametrize(
    ("mode", "said"), [("CMYK", r"found mode CMYK; .*convert it to RGB"), ("F", r"found mode F; convert it to RGB")]
)
def test_values_that_are_no_colours_are_refused(tmp_path: Path, mode: str, said: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match=said):
        read_uint8(tmp_path / "x.tif")


def test_huge_images_are_read_or_refused_in_words_of_our_own(tmp_path: Path) -> None:
    Image.new("1", (16320, 12240)).save(tmp_path / "phone.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image_size(tmp_path / "phone.png") == (16320, 12240)
    (tmp_path / "lies.png").write_bytes(png_with_header(2**15, 2**15, 8, 2, 0))
    with pytest.raises(InputError, match=r"32768x32768 pixels, at most 260 million"):
        read_image_size(tmp_path / "lies.png")


def test_map_round_trip_is_bit_for_bit(tmp_path: Path) -> None:
    values = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * 1e6
    write_map(tmp_path / "a/b.tiff", values)
    assert torch.equal(read_map(tmp_path / "a/b.tiff"), values)


def test_png_keeps_uint8_arrays_of_any_channels_and_exif(tmp_path: Path) -> None:
    for channels in (1, 3, 4):
        values = np.random.default_rng(channels).integers(0, 256, (5, 7, channels), dtype=np.uint8).squeeze()
        exif = Image.Exif()
        exif[0x0112] = 6
        write_png(tmp_path / "x.part", values, exif)
        with Image.open(tmp_path / "x.part") as file:
            assert file.format == "PNG" and file.getexif()[0x0112] == 6 and np.array_equal(np.asarray(file), values)


def test_gif_has_a_frame_for_each_image(tmp_path: Path) -> None:
    for count in (1, 3):
        write_gif(tmp_path / "x.gif", [torch.full((4, 6, 3), level / 3) for level in range(count)], 250)
        with Image.open(tmp_path / "x.gif") as film:
            assert getattr(film, "n_frames", 1) == count and film.size == (6, 4) and film.info["duration"] == 250


def test_unreadable_maps_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "0.tiff"
    with pytest.raises(FileNotFoundError, match="no anomaly map"):
        read_map(path)
    write_map(path, torch.zeros(50, 50))
    for content in (b"", b"no image", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"^The anomaly map .*0\.tiff cannot be read .*--overwrite\.$"):
            read_map(path)


def test_a_data_url_is_the_image_averaged_down() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    found = Image.open(io.BytesIO(base64.b64decode(to_data_url(image, 50).split(",", 1)[1])))
    assert found.size == (50, 25)
    assert np.asarray(found)[12, 5].max() < 10 and np.asarray(found)[12, 45].min() > 245
