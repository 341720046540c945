"""Foreground masks beside the pictures: they cut an object out of a real background.

The mask of ``<object>/train/good/7.jpg`` is ``<object>/masks/train/good/7.png``, that of ``<object>/test/Burrs/0.png``
is ``<object>/masks/test/Burrs/0.png``: 8-bit grey, 255 on the object, 0 beside it. Where a folder of pictures has a
folder of masks, each of its pictures needs one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.errors import InputError
from utils.images import decode_errors, prepare, read_uint8

FOLDER = "masks"


def mask_path(object_dir: Path, picture: Path) -> Path | None:
    """Where the foreground mask of an object's picture lies, or None where its folder has no masks."""
    if not picture.is_relative_to(object_dir):
        return None
    folder = object_dir / FOLDER / picture.relative_to(object_dir).parent
    return folder / f"{picture.stem}.png" if folder.is_dir() else None


def read_cut_out(path: Path, object_dir: Path) -> np.ndarray:
    """A picture with its mask, if it has one, as alpha.

    Returns:
        (height, width, 3 or 4) uint8; a picture's own alpha stays where it is lower than the mask.
    Errors:
        as ``read_uint8``; InputError for a mask that is missing, damaged or of another size.
    """
    picture, mask = read_uint8(path), mask_path(object_dir, path)
    return picture if mask is None else cut_out(picture, read_foreground(mask, path))


def read_image(path: Path, object_dir: Path, image_size: int, background: tuple[float, float, float]) -> Tensor:
    """A picture of an object as the program works on it: float32 RGB (height, width, 3) in [0, 1], cut out."""
    return torch.from_numpy(prepare(read_cut_out(path, object_dir), image_size, background)[0])


def read_foreground(mask: Path, picture: Path) -> np.ndarray:
    """The mask of ``picture``: (height, width) uint8, 255 on the object."""
    if not mask.is_file():
        raise InputError(
            f"The picture {picture} has no foreground mask, expected {mask}; add it, or take {mask.parent} away."
        )
    try:
        with Image.open(mask) as content:
            return np.asarray(content.convert("L"))
    except decode_errors() as error:
        raise InputError(f"The mask {mask} cannot be read: {error}; replace it with a whole PNG file.") from None


def cut_out(picture: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """A picture whose alpha is a mask.

    Args:
        picture: (height, width, 3 or 4) uint8.
        foreground: (height, width) uint8, 255 on the object.
    Returns:
        (height, width, 4) uint8.
    """
    if foreground.shape != picture.shape[:2]:
        raise InputError(
            f"A foreground mask must have its picture's size, {picture.shape[1]}x{picture.shape[0]} pixels, found "
            f"{foreground.shape[1]}x{foreground.shape[0]}; write it again."
        )
    alpha = np.minimum(foreground, picture[..., 3]) if picture.shape[2] == 4 else foreground
    return np.dstack([picture[..., :3], alpha])
