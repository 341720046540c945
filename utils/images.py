"""Reading and writing pictures; the only place where they are 8-bit."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import tifffile
import torch
from PIL import Image
from torch import Tensor

from utils.checkpoint import write_atomically
from utils.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")
DIFFERS = 0.04  # largest channel difference to the background from which a pixel shows something
COLOUR_MODES = ("RGB", "RGBA", "P")


def decode_errors() -> tuple[type[Exception], ...]:
    """What Pillow raises for files that are no pictures, are damaged, or claim to be larger than any camera's."""
    # OSError and ValueError as documented; the others come from chunks that lie about their contents
    return (OSError, SyntaxError, ValueError, OverflowError, EOFError, struct.error, Image.DecompressionBombError)


def read_uint8(path: Path) -> np.ndarray:
    """An 8-bit colour picture as it lies in the file.

    Args:
        path: a PNG or JPEG file.
    Returns:
        (height, width, 3) or, with an alpha channel, (height, width, 4), uint8.
    Errors:
        InputError for a file that is missing, empty, damaged, grey or of 16 bits.
    """
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            if mode in COLOUR_MODES and _bits(picture) == 8:
                palette_mode = "RGBA" if "transparency" in picture.info else "RGB"
                return np.asarray(picture.convert(palette_mode) if mode == "P" else picture)
            picture.load()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no picture {path}; put it there, or take it out of the list of frames."
        ) from None
    except decode_errors() as error:
        found = "it is empty (0 bytes)" if path.is_file() and path.stat().st_size == 0 else str(error)
        raise InputError(
            f"The picture {path} cannot be read: {found}; replace it with a whole PNG or JPEG file."
        ) from None
    kind = {"L": "a grey picture", "LA": "a grey picture", "1": "a black-and-white picture"}.get(mode, f"mode {mode}")
    kind = "a 16-bit picture" if mode.startswith("I") or mode in COLOUR_MODES else kind
    raise InputError(f"The picture {path} must be 8-bit RGB or RGBA, found {kind}; convert it and try again.")


def _bits(picture: object) -> int:
    """Bits a channel as the PNG header says (Pillow quietly reduces 16-bit colour to 8)."""
    for tile in getattr(picture, "tile", []):
        raw = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        if isinstance(raw, str) and ";16" in raw:
            return 16
    return 8


def working_size(width: int, height: int, image_size: int) -> tuple[int, int]:
    """Width and height to which a picture is averaged down so that its longer side is ``image_size`` at most.

    >>> working_size(800, 600, 400), working_size(320, 200, 400)
    ((400, 300), (320, 200))
    """
    scale = min(1.0, image_size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def prepare(
    picture: np.ndarray, image_size: int, background: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Lay a picture on the background and average it down.

    Args:
        picture: (height, width, 3 or 4) uint8.
        image_size: longer side of the result, at most, in pixels.
        background: RGB in [0, 1].
    Returns:
        (height, width, 3) float32 RGB in [0, 1], and the alpha channel (height, width) float32 if there is one.
    """
    values: np.ndarray = picture.astype(np.float32) / 255.0
    if values.shape[2] == 4:  # colour times alpha is what may be averaged
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
    """A picture as the program works on it: float32 RGB (height, width, 3) in [0, 1]; see ``prepare``."""
    return torch.from_numpy(prepare(read_uint8(path), image_size, background)[0])


def read_mask(path: Path) -> Tensor:
    """A ground-truth mask as it lies in the file: (height, width) bool, True where the picture is anomalous."""
    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.asarray(picture.convert("L")) > 127)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no mask {path}; each defective query needs one.") from None
    except decode_errors() as error:
        raise InputError(f"The mask {path} cannot be read: {error}; replace it with a whole PNG file.") from None


def read_image_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, from its header alone."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except decode_errors() as error:
        raise InputError(
            f"The picture {path} cannot be read: {error}; replace it with a whole PNG or JPEG file."
        ) from None


def is_foreground(image: Tensor, background: Tensor) -> Tensor:
    """Where ``image`` (height, width, 3) shows something before its ``background`` (3,): (height, width) bool."""
    return (image - background).abs().amax(-1) > DIFFERS


def to_bytes(image: Tensor) -> np.ndarray:
    """Float RGB or grey in [0, 1] as uint8, rounded: same shape."""
    return (image.detach().cpu().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()


def write_png(path: Path, image: Tensor) -> None:
    """Write float RGB (height, width, 3), or grey (height, width), in [0, 1] as an 8-bit PNG."""
    write_atomically(path, lambda temporary: Image.fromarray(to_bytes(image)).save(temporary, format="PNG"))


def write_map(path: Path, anomaly_map: Tensor) -> None:
    """Write a map (height, width) as a float32 TIFF, bit for bit, whole or not at all."""
    values = anomaly_map.detach().cpu().float().numpy()
    write_atomically(path, lambda temporary: tifffile.imwrite(temporary, values))


def read_map(path: Path) -> Tensor:
    """A map (height, width) float32 that ``write_map`` wrote."""
    try:
        return torch.from_numpy(tifffile.imread(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no anomaly map {path}; test the object again with --overwrite.") from None
    except (tifffile.TiffFileError, ValueError, OSError) as error:
        raise InputError(f"The anomaly map {path} cannot be read ({error}); test again with --overwrite.") from None
