"""Images behind the toys."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError
from utils.images import SUFFIXES, read_uint8

WIDEST_ZOOM = 1.5


def background_images(path: Path) -> list[Path]:
    """Return the image at ``path``, or those in the folder ``path`` by name.

    Raises:
        InputError: where there is none.
    """
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [one for one in inside if one.is_file() and one.suffix.lower() in SUFFIXES and not one.name.startswith(".")]
    if not found:
        raise InputError(f"{path} must be a PNG or JPEG image, or a folder with some; correct --background.")
    return found


def random_background(path: Path, side: int, random: np.random.Generator) -> np.ndarray:
    """Return a random square piece of the image at ``path``, slightly enlarged: (side, side, 3) uint8."""
    image = read_uint8(path)[..., :3]
    height, width = image.shape[:2]
    cut = max(1, int(min(height, width) / random.uniform(1.0, WIDEST_ZOOM)))
    top, left = (int(random.integers(room + 1)) for room in (height - cut, width - cut))
    piece = np.ascontiguousarray(image[top : top + cut, left : left + cut])
    return np.asarray(cv2.resize(piece, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_LINEAR))
