"""Images behind the toys."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.folders import images_in, is_image
from utils.errors import InputError
from utils.images import read_uint8

WIDEST_ZOOM = 1.5


def background_images(path: Path) -> list[Path]:
    """Return the image at ``path``, or those in the folder ``path`` by name.

    Raises:
        InputError: where there is none.
    """
    found = images_in(path) if path.is_dir() else [path]
    if not found or not is_image(found[0]) or not found[0].is_file():
        raise InputError(f"{path} must be an image, or a folder with some; correct --background.")
    return found


def random_background(path: Path, side: int, random: np.random.Generator) -> np.ndarray:
    """Return a random square piece of the image at ``path``, slightly enlarged: (side, side, 3) uint8."""
    image = read_uint8(path)[..., :3]
    height, width = image.shape[:2]
    cut = max(1, int(min(height, width) / random.uniform(1.0, WIDEST_ZOOM)))
    top, left = (int(random.integers(room + 1)) for room in (height - cut, width - cut))
    piece = np.ascontiguousarray(image[top : top + cut, left : left + cut])
    return np.asarray(cv2.resize(piece, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_LINEAR))
