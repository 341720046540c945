"""Reads photos with the EXIF orientation applied and rotates those in the minority aspect, so that all have one shape.

Most cameras store every photo in the sensor's orientation and say in an EXIF flag how to turn it. Masks that other
programs made may have either orientation: the sensor's, or that of the upright photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from data.masks import find_masks, read_foreground
from utils.errors import InputError
from utils.images import open_image, read_image_size, read_uint8

ORIENTATION = int(Base.Orientation)
SWAPPED = 5  # the flag from which on width and height change places


@dataclass(frozen=True)
class OrientedPhotos:
    """Reader of the photos of one camera, and of their masks, in one orientation."""

    landscape: bool  # whether all are brought to a landscape shape, or to a portrait shape
    masks: Mapping[Path, Path] = field(default_factory=dict)  # of photos, files, 255 = object
    masks_as_stored: bool = False  # whether the masks have the sensor's orientation

    @staticmethod
    def of(paths: Sequence[Path], masks: Path | None = None, landscape: bool | None = None) -> OrientedPhotos:
        """Return a reader that brings ``paths`` to the shape that most of them have, or to ``landscape``."""
        if landscape is None:
            sizes = [upright_size(path) for path in paths]
            landscape = sum(width > height for width, height in sizes) * 2 >= len(sizes)
        found = {} if masks is None else find_masks(masks, paths)
        return OrientedPhotos(landscape, found, _masks_as_stored(found))

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
        return self.read_mask_file(self.masks[path], path)

    def read_mask_file(self, mask: Path, path: Path) -> np.ndarray:
        """Read the file ``mask`` of the photo ``path``, oriented as ``read`` returns that: (height, width) uint8."""
        return self.oriented(read_foreground(mask, self.stored_size(path)), path)

    def stored_size(self, path: Path) -> tuple[int, int]:
        """Return the width and height that a mask of the photo has as it is stored, at its full size."""
        return read_image_size(path) if self.masks_as_stored else upright_size(path)

    def oriented(self, values: np.ndarray, path: Path) -> np.ndarray:
        """Orient ``values`` (height, width) uint8, which are as the masks are, as ``read`` returns the photo."""
        if self.masks_as_stored:
            values = apply_orientation(values, orientation(path))
        return self._rotated(path, values)

    def _rotated(self, path: Path, image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(image)) if self.is_rotated(path) else image


def orientation(path: Path) -> int:
    """Return the EXIF orientation of a photo, 1 (upright) to 8; 1 where it is missing or invalid."""
    try:
        with open_image(path) as photo:
            flag = photo.getexif().get(ORIENTATION, 1)
    except InputError:
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


def _masks_as_stored(masks: Mapping[Path, Path]) -> bool:
    """Whether masks have the sensor's orientation, decided by the first photo whose flag swaps width and height."""
    for path, mask in masks.items():
        width, height = read_image_size(path)
        if orientation(path) >= SWAPPED and width != height:
            mask_width, mask_height = read_image_size(mask)
            return (mask_width > mask_height) == (width > height)
    return False
