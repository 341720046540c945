"""How many pixels to work with: as few as show the object well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from data.folders import in_threads
from data.masks import read_cut_out
from utils.images import is_foreground, prepare

USUAL, LARGEST = 400, 1600  # pixels of the longer side: of usual images, and at most where the object is small
OBJECT_SIDE = 400  # pixels of the object's longer side that are aimed at
LOOKED_AT = 12  # views


def automatic_size(paths: Sequence[Path], object_dir: Path, background: tuple[float, float, float]) -> int:
    """Return the longer side in pixels at which the object is ``OBJECT_SIDE`` pixels large, from 400 to 1600.

    Some of the views are looked at; the median of the object's longer sides counts.

    Args:
        paths: of the views, in ``object_dir``, at least one.
        background: RGB in [0, 1].
    """
    places = np.unique(np.linspace(0, len(paths) - 1, LOOKED_AT).round().astype(int))

    def side(index: int) -> int:
        colour, alpha = prepare(read_cut_out(paths[index], object_dir), USUAL, background)
        plain = torch.from_numpy(colour)
        opaque = alpha is None or alpha.min() > 0.5
        shown = is_foreground(plain, plain.new_tensor(background)) if opaque else torch.from_numpy(alpha) > 0.5
        return max(int(shown.any(axis).sum()) for axis in (0, 1))

    sides = [found for found in in_threads(side, places.tolist()) if found]
    if not sides:
        return USUAL
    return int(np.clip(USUAL * OBJECT_SIDE / np.median(sides), USUAL, LARGEST))
