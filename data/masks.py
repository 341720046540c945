"""Finds and reads foreground masks, 8-bit images that are 255 on the object, and cuts objects out with them.

An object's own masks lie beside its images: that of ``<object>/train/good/7.jpg`` is
``<object>/masks/train/good/7.png``, that of ``<object>/test/Burrs/0.png`` is ``<object>/masks/test/Burrs/0.png``. Where
a folder of images has a folder of masks, each of its images needs one. Masks of imported photos lie in a folder that
the user names.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.errors import InputError
from utils.images import DECODE_ERRORS, SUFFIXES, prepare, read_uint8

FOLDER = "masks"


def mask_path(object_dir: Path, image: Path) -> Path | None:
    """Return where the mask of an object's image should be, or None where the image's folder has no masks."""
    if not image.is_relative_to(object_dir):
        return None
    folder = object_dir / FOLDER / image.relative_to(object_dir).parent
    return folder / f"{image.stem}.png" if folder.is_dir() else None


def existing_masks(object_dir: Path, images: Iterable[Path]) -> list[Path]:
    """Return the masks of an object's images that exist."""
    masks = (mask_path(object_dir, image) for image in images)
    return [mask for mask in masks if mask is not None and mask.is_file()]


def find_mask(folder: Path, image: Path) -> Path:
    """Return the mask of ``image`` in ``folder``: STEM.png, STEM_mask.png or, as COLMAP names them, NAME.jpg.png."""
    stems = [image.stem, f"{image.stem}_mask", image.name]
    names = [stem + suffix for stem in stems for suffix in SUFFIXES]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"There is no mask of {image.name} in {folder}, expected {names[0]}; add it (255 = object).")


def find_query_mask(folder: Path, image: Path) -> Path:
    """Return the mask of a query, from the subfolder with the name of the query's folder, if there is one."""
    subfolder = folder / image.parent.name
    return find_mask(subfolder if subfolder.is_dir() else folder, image)


def read_foreground(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a mask: (height, width) uint8, 255 on the object; transparency, where there is any, else brightness.

    Args:
        path: an image file of any mode.
        size: width and height to which the mask is resized; None keeps its own.
    Raises:
        InputError: for a file that cannot be read or has other proportions than ``size``.
    """
    try:
        with Image.open(path) as file:
            alpha = file.getchannel("A") if file.mode in ("RGBA", "LA") else None
            mask = file.convert("L") if alpha is None or alpha.getextrema() == (255, 255) else alpha
    except DECODE_ERRORS as error:
        raise InputError(f"The mask {path} cannot be read: {error}; replace it with a whole PNG file.") from None
    if size is None or mask.size == size:
        return np.asarray(mask)
    if abs(mask.width * size[1] - mask.height * size[0]) > max(*size, *mask.size):
        raise InputError(
            f"The mask {path} has {mask.width}x{mask.height} pixels, its image {size[0]}x{size[1]}; make them fit."
        )
    return np.asarray(mask.resize(size, Image.Resampling.BOX))


def read_cut_out(path: Path, object_dir: Path) -> np.ndarray:
    """Read an image of an object with its mask, if it has one, as alpha.

    Returns:
        (height, width, 3 or 4) uint8; the image's own alpha stays where it is lower than the mask.
    Raises:
        FileNotFoundError, InputError: as ``read_uint8``; for a mask that is missing, damaged or of another size.
    """
    image, mask = read_uint8(path), mask_path(object_dir, path)
    if mask is None:
        return image
    if not mask.is_file():
        raise InputError(
            f"The image {path} has no foreground mask, expected {mask}; add it, or remove the folder {mask.parent}."
        )
    return apply_mask(image, read_foreground(mask))


def read_object_image(path: Path, object_dir: Path, image_size: int, background: tuple[float, float, float]) -> Tensor:
    """Read an image of an object, cut out and averaged down: float32 RGB (height, width, 3) in [0, 1]."""
    return torch.from_numpy(prepare(read_cut_out(path, object_dir), image_size, background)[0])


def with_alpha(image: np.ndarray) -> np.ndarray:
    """Return an image (height, width, 3 or 4) uint8 with an alpha channel, opaque where it had none."""
    return image if image.shape[2] == 4 else np.dstack([image, np.full(image.shape[:2], 255, dtype=np.uint8)])


def apply_mask(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Return an image with a mask as its alpha.

    Args:
        image: (height, width, 3 or 4) uint8; its own alpha stays where it is lower than the mask.
        foreground: (height, width) uint8, 255 on the object.
    Returns:
        (height, width, 4) uint8.
    """
    if foreground.shape != image.shape[:2]:
        raise InputError(
            f"A foreground mask must have its image's size, {image.shape[1]}x{image.shape[0]} pixels, found "
            f"{foreground.shape[1]}x{foreground.shape[0]}; write it again."
        )
    alpha = np.minimum(foreground, image[..., 3]) if image.shape[2] == 4 else foreground
    return np.dstack([image[..., :3], alpha])
