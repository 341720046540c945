"""Reading and writing images; the only place where they are 8-bit."""

from __future__ import annotations

import base64
import struct
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

SUFFIXES = (".png", ".jpg", ".jpeg")
MIN_CONTRAST = 0.04  # largest channel difference to the background from which a pixel is foreground
COLOUR_MODES = ("RGB", "RGBA", "P")
# What Pillow raises for files that are no images, are damaged, or claim to be larger than any camera's: OSError and
# ValueError as documented; the others come from chunks that lie about their contents.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, OverflowError, EOFError, struct.error, Image.DecompressionBombError)


def read_uint8(path: Path) -> np.ndarray:
    """Read an 8-bit colour image unchanged.

    Args:
        path: a PNG or JPEG file.

    Returns:
        (height, width, 3) or, with an alpha channel, (height, width, 4), uint8.

    Raises:
        FileNotFoundError: where there is no such file.
        InputError: for a file that is empty, damaged, grey or of 16 bits.
    """
    try:
        with Image.open(path) as file:  # Pillow itself: imageio does not give the bit depth
            mode, bits = file.mode, _bits(file)
            palette_mode = "RGBA" if "transparency" in file.info else "RGB"
        pixels = iio.imread(
            path, plugin="pillow", index=0, mode=palette_mode if mode == "P" else None, writeable_output=False
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no image {path}; put it there, or remove it from the list of frames."
        ) from None
    except DECODE_ERRORS as error:
        reason = "it is empty (0 bytes)" if path.is_file() and path.stat().st_size == 0 else str(error)
        raise InputError(
            f"The image {path} cannot be read: {reason}; replace it with an intact PNG or JPEG file."
        ) from None
    if mode in COLOUR_MODES and bits == 8:
        return pixels
    kind = {"L": "a grey image", "LA": "a grey image", "1": "a black-and-white image"}.get(mode, f"mode {mode}")
    kind = "a 16-bit image" if mode.startswith("I") or mode in COLOUR_MODES else kind
    raise InputError(f"The image {path} must be 8-bit RGB or RGBA, found {kind}; convert it and try again.")


def _bits(image: Image.Image) -> int:
    """Return the bits a channel that the file's header states; Pillow silently reduces 16-bit colour to 8."""
    for tile in getattr(image, "tile", []):
        raw = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        if isinstance(raw, str) and ";16" in raw:
            return 16
    return 8


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


def read_mask(path: Path) -> Tensor:
    """Read a ground-truth mask: (height, width) bool, True where the image is anomalous."""
    try:
        return torch.from_numpy(iio.imread(path, plugin="pillow", index=0, mode="L") > 127)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no mask {path}; each defective query needs one.") from None
    except DECODE_ERRORS as error:
        reason = error.__cause__ or error  # imageio wraps what Pillow raises
        raise InputError(f"The mask {path} cannot be read: {reason}; replace it with an intact PNG file.") from None


def read_image_size(path: Path) -> tuple[int, int]:
    """Read width and height of an image from its header alone."""
    try:
        with Image.open(path) as file:
            return file.size
    except DECODE_ERRORS as error:
        raise InputError(
            f"The image {path} cannot be read: {error}; replace it with an intact PNG or JPEG file."
        ) from None


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
    except (ValueError, OSError) as error:
        reason = error.__cause__ or error  # imageio wraps what tifffile raises
        raise InputError(f"The anomaly map {path} cannot be read ({reason}); test again with --overwrite.") from None


def to_data_url(image: np.ndarray, side: int, quality: int = 84) -> str:
    """Average an image (height, width, 3) uint8 down to ``side`` pixels at most and encode it as a ``data:`` URL."""
    small = Image.fromarray(np.ascontiguousarray(image))
    small.thumbnail((side, side), Image.Resampling.BOX)
    content = iio.imwrite("<bytes>", np.asarray(small), plugin="pillow", extension=".webp", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(content).decode()
