"""Cutting an object out of the pictures that are imported: by masks given beside them, or from a plain background."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from utils.errors import InputError
from utils.images import SUFFIXES

PLAIN = {"white": 255, "black": 0}
SPECK = 0.05  # share of the largest region below which others are dust on the background
HOLE = 0.005  # share of the object's area above which a region of background colour is a gap, not a spot on it


def find_mask(folder: Path, picture: Path) -> Path:
    """The mask of ``picture``: STEM.png, STEM_mask.png or, as COLMAP names them, NAME.jpg.png in ``folder``."""
    stems = [picture.stem, f"{picture.stem}_mask", picture.name]
    names = [stem + suffix for stem in stems for suffix in SUFFIXES]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"There is no mask of {picture.name} in {folder}, expected {names[0]}; add it (255 = object).")


def read_foreground(path: Path, size: tuple[int, int]) -> np.ndarray:
    """A mask (height, width) uint8, 255 where the object is, brought to ``size`` (width, height).

    Errors:
        InputError for a file that cannot be read, or one of other proportions.
    """
    try:
        with Image.open(path) as file:
            grey = file.getchannel("A") if file.mode in ("RGBA", "LA") else file.convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"The mask {path} cannot be read: {error}; replace it with a whole PNG file.") from None
    if abs(grey.width * size[1] - grey.height * size[0]) > max(size[0], size[1], grey.width, grey.height):
        raise InputError(f"The mask {path} has {grey.width}x{grey.height} pixels, its picture {size[0]}x{size[1]}.")
    return np.asarray(grey if grey.size == size else grey.resize(size, Image.Resampling.BOX))


def plain_mask(picture: np.ndarray, background: str, tolerance: int) -> np.ndarray:
    """The object before a plain background: (height, width) uint8, 255 where it is.

    Small places of the background's colour within the object are glare or shadow and belong to it, large ones are
    gaps; regions much smaller than the largest are dust.

    Args:
        picture: (height, width, 3) uint8 RGB.
        background: "white" or "black".
        tolerance: 8-bit steps by which the background may differ from it.
    """
    differs = np.abs(picture[..., :3].astype(np.int16) - PLAIN[background]).max(axis=-1) > tolerance
    opened = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    regions, areas = _regions(opened)
    found = np.isin(regions, 1 + np.flatnonzero(areas >= SPECK * areas.max(initial=0)))
    regions, areas = _regions((~found).astype(np.uint8))
    gaps = np.isin(regions, 1 + np.flatnonzero(areas >= HOLE * found.sum()))
    return np.where(gaps, 0, 255).astype(np.uint8)


def _regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (height, width), from 1, of the connected regions of a uint8 mask, and their areas."""
    _, regions, figures, _ = cv2.connectedComponentsWithStats(mask)
    return regions, figures[1:, cv2.CC_STAT_AREA]
