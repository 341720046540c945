"""Reads photos with the EXIF orientation applied and rotates those in the minority aspect, so that all have one shape.

Most cameras store every photo in the sensor's orientation and say in an EXIF flag how to turn it. Masks that other
programs made may have either orientation: the sensor's, or that of the upright photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from data.masks import find_query_mask, read_foreground
from utils.images import DECODE_ERRORS, read_image_size, read_uint8

ORIENTATION = int(Base.Orientation)
SWAPPED = 5  # the flag from which on width and height change places


@dataclass(frozen=True)
class OrientedPhotos:
    """Reader of the photos of one camera, and of their masks, in one orientation."""

    landscape: bool  # whether all are brought to a landscape shape, or to a portrait shape
    masks: Path | None = None  # folder of masks, by stem, 255 = object
    masks_as_stored: bool = False  # whether the masks have the sensor's orientation

    @staticmethod
    def of(paths: Sequence[Path], masks: Path | None = None, landscape: bool | None = None) -> OrientedPhotos:
        """Return a reader that brings ``paths`` to the shape that most of them have, or to ``landscape``."""
        if landscape is None:
            sizes = [upright_size(path) for path in paths]
            landscape = sum(width > height for width, height in sizes) * 2 >= len(sizes)
        return OrientedPhotos(landscape, masks, masks is not None and _masks_as_stored(paths, masks))

    def is_rotated(self, path: Path) -> bool:
        """Whether a photo is rotated by a quarter turn to get the others' shape."""
        width, height = upright_size(path)
        return width != height and (width > height) != self.landscape

    def size(self, path: Path) -> tuple[int, int]:
        """Return width and height of what ``read`` returns."""
        width, height = upright_size(path)
        return (height, width) if self.is_rotated(path) else (width, height)

    def read(self, path: Path) -> np.ndarray:
        """Read a photo: (height, width, 3 or 4) uint8; errors as ``read_uint8``."""
        return self._rotated(path, apply_orientation(read_uint8(path), orientation(path)))

    def foreground(self, path: Path) -> np.ndarray:
        """Read the mask of a photo from the folder: (height, width) uint8, 255 on the object.

        Raises:
            InputError: for a mask that is missing, damaged or of other proportions.
        """
        assert self.masks is not None
        return self.read_mask_file(find_query_mask(self.masks, path), path)

    def read_mask_file(self, mask: Path, path: Path) -> np.ndarray:
        """Read the file ``mask`` of the photo ``path``, oriented as ``read`` returns that: (height, width) uint8."""
        if self.masks_as_stored:
            values = apply_orientation(read_foreground(mask, read_image_size(path)), orientation(path))
        else:
            values = read_foreground(mask, upright_size(path))
        return self._rotated(path, values)

    def _rotated(self, path: Path, image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(image)) if self.is_rotated(path) else image


def orientation(path: Path) -> int:
    """Return the EXIF orientation of a photo, 1 (upright) to 8; 1 where it is missing or invalid."""
    try:
        with Image.open(path) as photo:
            flag = photo.getexif().get(ORIENTATION, 1)
    except DECODE_ERRORS:
        return 1
    return flag if isinstance(flag, int) and 1 <= flag <= 8 else 1


def upright_size(path: Path) -> tuple[int, int]:
    """Return width and height of a photo with its EXIF orientation applied, from its header alone."""
    width, height = read_image_size(path)
    return (height, width) if orientation(path) >= SWAPPED else (width, height)


def apply_orientation(image: np.ndarray, flag: int) -> np.ndarray:
    """Return ``image`` (height, width[, 3 or 4]) uint8 turned and mirrored as the EXIF ``flag`` says (Exif 2.32)."""
    photo = Image.fromarray(image)
    photo.getexif()[ORIENTATION] = flag
    return np.asarray(ImageOps.exif_transpose(photo))


def _masks_as_stored(paths: Sequence[Path], masks: Path) -> bool:
    """Whether masks have the sensor's orientation, decided by the first photo whose flag swaps width and height."""
    for path in paths:
        width, height = read_image_size(path)
        if orientation(path) >= SWAPPED and width != height:
            mask_width, mask_height = read_image_size(find_query_mask(masks, path))
            return (mask_width > mask_height) == (width > height)
    return False
