"""Reading and writing images; the only place where they are 8-bit."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import imageio.v3 as iio
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.checkpoint import write_atomically
from utils.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
PHONE_SUFFIXES = (".heic", ".heif", ".avif")
RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
UNREAD_SUFFIXES = (*PHONE_SUFFIXES, *RAW_SUFFIXES, ".gif", ".jp2", ".jxl", ".psd", ".exr", ".hdr")
MAX_PIXELS = 260_000_000  # of an image; phones have up to 200 million, more is a damaged header
MIN_CONTRAST = 0.04  # largest channel difference to the background from which a pixel is foreground
CONVERTED = {"L": "RGB", "1": "RGB", "LA": "RGBA", "La": "RGBA", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}
# What Pillow raises for files that are no images or are damaged: OSError and ValueError as documented; the others come
# from chunks that lie about their contents.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, OverflowError, EOFError, struct.error, Image.DecompressionBombError)
Image.MAX_IMAGE_PIXELS = None  # Pillow warns and raises in words of its own; ``open_image`` has the limit


@contextmanager
def open_image(path: Path, what: str = "image") -> Iterator[Image.Image]:
    """Open an image file; whatever is wrong with it, then or while its pixels are decoded, is an InputError.

    Args:
        path: the file.
        what: it is, for errors: "image" or "mask".
    Raises:
        FileNotFoundError: where there is no such file.
        InputError: for a file that is empty, damaged, too large, or of a format that is not read.
    """
    try:
        with Image.open(path) as file:
            if file.width * file.height > MAX_PIXELS:
                limit = MAX_PIXELS // 1_000_000
                raise ValueError(f"it has {file.width}x{file.height} pixels, at most {limit} million are read")
            yield file
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no {what} {path}; put it there, or remove what names it.") from None
    except InputError:
        raise
    except DECODE_ERRORS as error:
        raise InputError(f"The {what} {path} cannot be read: {_reason(path, error)}.") from None


def _reason(path: Path, error: Exception) -> str:
    """Return why an image cannot be read and what to do."""
    suffix = path.suffix.lower()
    try:
        start = path.read_bytes()[:12] if path.is_file() else b""
    except OSError:
        return f"{error}; check that it may be read"
    if path.is_file() and not start:
        return "it is empty (0 bytes); replace it with an intact PNG or JPEG file"
    if suffix in PHONE_SUFFIXES or start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "it is HEIC or AVIF; export it as JPEG or PNG (a phone's camera settings: most compatible)"
    if suffix in RAW_SUFFIXES:
        return "it is a camera's RAW file; develop it to JPEG or PNG"
    return f"{str(error).rstrip('.')}; replace it with an intact PNG or JPEG file"


def read_uint8(path: Path) -> np.ndarray:
    """Read a colour image as 8 bits; grey is replicated, 16 bits are scaled by their range, 65535.

    Args:
        path: a PNG, JPEG, WebP, TIFF or BMP file.

    Returns:
        (height, width, 3) or, with an alpha channel, (height, width, 4), uint8.

    Raises:
        FileNotFoundError: where there is no such file.
        InputError: for a file that is empty or damaged, or whose values are no plain colours (CMYK, 32 bits).
    """
    with open_image(path) as file:
        mode = file.mode
        if mode.startswith("I"):
            return _scaled_16_bits(np.asarray(file), path)
        if mode in ("P", "RGB", "L", "1"):
            target = "RGBA" if "transparency" in file.info else "RGB"
        else:
            target = CONVERTED.get(mode, mode)
        if target not in ("RGB", "RGBA"):
            hint = "its colours depend on the printer; " if mode == "CMYK" else ""
            raise InputError(f"The image {path} must be RGB, RGBA or grey, found mode {mode}; {hint}convert it to RGB.")
        return np.array(file if target == mode else file.convert(target))


def _scaled_16_bits(values: np.ndarray, path: Path) -> np.ndarray:
    """Return grey of 16 bits (height, width) as uint8 (height, width, 3)."""
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 65535:
        raise InputError(f"The image {path} must have 8 or 16 bits a channel, found 32; convert it to 8-bit RGB.")
    grey = (values.astype(np.float32) / 257.0).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def working_size(width: int, height: int, image_size: int) -> tuple[int, int]:
    """Return width and height after averaging an image down to ``image_size`` pixels at most on its longer side.

    >>> working_size(800, 600, 400), working_size(320, 200, 400)
    ((400, 300), (320, 200))
    """
    scale = min(1.0, image_size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def prepare(
    image: np.ndarray, image_size: int, background: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Composite an image on the background and average it down.

    Args:
        image: (height, width, 3 or 4) uint8.
        image_size: longer side of the result, at most, in pixels.
        background: RGB in [0, 1].

    Returns:
        (height, width, 3) float32 RGB in [0, 1], and the alpha channel (height, width) float32 if there is one.
    """
    values: np.ndarray = image.astype(np.float32) / 255.0
    if values.shape[2] == 4:  # premultiplied colour may be averaged, plain colour may not
        alpha = values[..., 3:]
        values = np.concatenate(
            [values[..., :3] * alpha + np.array(background, dtype=np.float32) * (1.0 - alpha), alpha], axis=2
        )
    size = working_size(values.shape[1], values.shape[0], image_size)
    if size != (values.shape[1], values.shape[0]):
        values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))
    colour = np.ascontiguousarray(values[..., :3]).clip(0.0, 1.0)
    return colour, values[..., 3].clip(0.0, 1.0) if values.shape[2] == 4 else None


def read_image(path: Path, image_size: int, background: tuple[float, float, float]) -> Tensor:
    """Read an image as float32 RGB (height, width, 3) in [0, 1]; see :func:`prepare`."""
    return torch.from_numpy(prepare(read_uint8(path), image_size, background)[0])


def read_image_size(path: Path) -> tuple[int, int]:
    """Read width and height of an image from its header alone; errors as ``open_image``."""
    with open_image(path) as file:
        return file.size


def is_foreground(image: Tensor, background: Tensor) -> Tensor:
    """Return where ``image`` (height, width, 3) differs from its ``background`` (3,): (height, width) bool."""
    red, green, blue = (image - background).abs().unbind(-1)  # torch's amax over three values is several times slower
    return torch.maximum(torch.maximum(red, green), blue) > MIN_CONTRAST


def to_bytes(image: Tensor) -> np.ndarray:
    """Round float RGB or grey in [0, 1] to uint8 of the same shape."""
    return (image.detach().cpu().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()


def write_png(path: Path, image: Tensor | np.ndarray, exif: Image.Exif | None = None) -> None:
    """Write an 8-bit PNG atomically.

    Args:
        path: the file.
        image: (height, width) grey or (height, width, 3 or 4), a float tensor in [0, 1] or a uint8 array.
        exif: tags to be kept with it.
    """
    pixels = to_bytes(image) if isinstance(image, Tensor) else image
    options = {} if exif is None else {"exif": exif}
    _write(path, pixels, "pillow", ".png", compress_level=6, **options)


def write_gif(path: Path, frames: list[Tensor], milliseconds: int) -> None:
    """Write float RGB frames (height, width, 3) in [0, 1] as an endless animated GIF, atomically."""
    _write(path, [to_bytes(frame) for frame in frames], "pillow", ".gif", duration=milliseconds, loop=0)


def write_map(path: Path, anomaly_map: Tensor) -> None:
    """Write a map (height, width) as a float32 TIFF, bit for bit, atomically."""
    _write(path, anomaly_map.detach().cpu().float().numpy(), "tifffile", ".tiff")


def _write(path: Path, pixels: np.ndarray | list[np.ndarray], plugin: str, suffix: str, **options: Any) -> None:
    write_atomically(path, lambda temporary: iio.imwrite(temporary, pixels, plugin=plugin, extension=suffix, **options))


def read_map(path: Path) -> Tensor:
    """Read a map (height, width) float32 that :func:`write_map` wrote."""
    try:
        return torch.from_numpy(iio.imread(path, plugin="tifffile"))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no anomaly map {path}; test the object again with --overwrite.") from None
    except Exception as error:  # whatever a broken file makes the reader raise
        reason = error.__cause__ or error  # imageio wraps what tifffile raises
        raise InputError(f"The anomaly map {path} cannot be read ({reason}); test again with --overwrite.") from None


def to_data_url(image: np.ndarray, side: int, quality: int = 84) -> str:
    """Average an image (height, width, 3) uint8 down to ``side`` pixels at most and encode it as a ``data:`` URL."""
    small = Image.fromarray(np.ascontiguousarray(image))
    small.thumbnail((side, side), Image.Resampling.BOX)
    content = iio.imwrite("<bytes>", np.asarray(small), plugin="pillow", extension=".webp", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(content).decode()
