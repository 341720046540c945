"""Photos as their camera wrote them, brought to one shape: its orientation flag obeyed, and turned where held across.

Most cameras store every photo the way the sensor lies, and say in an EXIF flag how to turn it. Masks that other
programs made may lie either way: as the sensor does, or as the photo is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data.cutout import find_mask, read_foreground
from utils.images import decode_errors, read_image_size, read_uint8

ORIENTATION = 0x0112  # EXIF tag
SWAPPED = 5  # the flag from which on width and height change places


@dataclass(frozen=True)
class Photos:
    """How the photos of one camera are read."""

    wide: bool  # whether they are brought to a landscape shape
    masks: Path | None = None  # folder of masks, by stem, 255 = object
    masks_as_taken: bool = False  # whether the masks lie as the sensor does

    @staticmethod
    def of(paths: Sequence[Path], masks: Path | None = None, wide: bool | None = None) -> Photos:
        """For the photos ``paths``, which are brought to the shape that most of them have, or to ``wide``."""
        if wide is None:
            sizes = [upright_size(path) for path in paths]
            wide = sum(width > height for width, height in sizes) * 2 >= len(sizes)
        return Photos(wide, masks, masks is not None and _lie_as_taken(paths, masks))

    def across(self, path: Path) -> bool:
        """Whether a photo is turned by a quarter to get the others' shape."""
        width, height = upright_size(path)
        return width != height and (width > height) != self.wide

    def size(self, path: Path) -> tuple[int, int]:
        """Width and height of what ``read`` returns."""
        width, height = upright_size(path)
        return (height, width) if self.across(path) else (width, height)

    def read(self, path: Path) -> np.ndarray:
        """A photo: (height, width, 3 or 4) uint8; errors as ``read_uint8``."""
        return self._turned(path, obeyed(read_uint8(path), orientation(path)))

    def foreground(self, path: Path) -> np.ndarray:
        """The mask of a photo, (height, width) uint8, 255 on the object; errors as ``find_mask``."""
        assert self.masks is not None
        return self.turned_mask(mask_of(path, self.masks), path)

    def turned_mask(self, mask: Path, path: Path) -> np.ndarray:
        """The file ``mask`` turned as its photo ``path`` is: (height, width) uint8."""
        if self.masks_as_taken:
            values = obeyed(read_foreground(mask, read_image_size(path)), orientation(path))
        else:
            values = read_foreground(mask, upright_size(path))
        return self._turned(path, values)

    def _turned(self, path: Path, picture: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(picture) if self.across(path) else picture)


def mask_of(path: Path, masks: Path) -> Path:
    """The mask of a photo: in the folder of ``masks`` that is named as the photo's, if there is one, else in itself."""
    own = masks / path.parent.name
    return find_mask(own if own.is_dir() else masks, path)


def orientation(path: Path) -> int:
    """The EXIF flag of a photo, 1 (as it is) to 8; 1 where there is none or nonsense."""
    try:
        with Image.open(path) as photo:
            flag = photo.getexif().get(ORIENTATION, 1)
    except decode_errors():
        return 1
    return flag if isinstance(flag, int) and 1 <= flag <= 8 else 1


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo as it is looked at."""
    width, height = read_image_size(path)
    return (height, width) if orientation(path) >= SWAPPED else (width, height)


def obeyed(picture: np.ndarray, flag: int) -> np.ndarray:
    """``picture`` (height, width, ...) turned and mirrored as the EXIF flag asks (Exif 2.32, tag 274)."""
    turned = picture.swapaxes(0, 1) if flag >= SWAPPED else picture
    if flag in (3, 4, 7, 8):
        turned = turned[::-1]
    if flag in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return turned


def _lie_as_taken(paths: Sequence[Path], masks: Path) -> bool:
    """Whether masks lie as the sensor does: told by the first photo whose shape the flag changes."""
    for path in paths:
        width, height = read_image_size(path)
        if orientation(path) >= SWAPPED and width != height:
            mask_width, mask_height = read_image_size(mask_of(path, masks))
            return (mask_width > mask_height) == (width > height)
    return False
