"""Finds and reads ground truth, images that mark where a query is defective. For metrics, checks and copies only.

The ground truth of ``<object>/test/Burrs/0.png`` is in ``<object>/ground_truth/Burrs``: ``0_mask.png`` in MAD's and
MVTec's form, or ``0.png``, or all images in a folder ``0`` (MVTec LOCO's form), in any case and format.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.folders import folded, folders_in, images_in
from data.masks import MOST_SHADES, check_is_mask, mask_in, mask_values
from utils.errors import InputError
from utils.images import open_image

FOLDER = "ground_truth"
INVERTED = 0.5  # share of an image, and of its border, above which a mask of a defect must be inverted
MOST_LABELS = 8  # values that a map of labels may have


def truth_folder(object_dir: Path, kind: str) -> Path | None:
    """Return the folder of a defect's ground truth, whatever the case of its name, or None."""
    folders = {folded(path.name): path for path in folders_in(object_dir / FOLDER)}
    return folders.get(folded(kind))


def expected_truth(query: Path) -> Path:
    """Return where the ground truth of the query ``<object>/test/<kind>/<name>`` is looked for first."""
    return query.parent.parent.parent / FOLDER / query.parent.name / f"{query.stem}_mask.png"


def find_truth(query: Path) -> Path | None:
    """Return the ground truth of the query ``<object>/test/<kind>/<name>``: an image, a folder of them, or None."""
    folder = truth_folder(query.parent.parent.parent, query.parent.name)
    if folder is None:
        return None
    parts = {folded(path.name): path for path in folders_in(folder) if images_in(path)}
    return mask_in(folder, query) or parts.get(folded(query.stem))


def truth_files(truth: Path) -> list[Path]:
    """Return the images that ground truth consists of."""
    return images_in(truth) if truth.is_dir() else [truth]


def read_mask(path: Path) -> Tensor:
    """Read ground truth: (height, width) bool, True where the image is anomalous.

    Values of 128 to 255 are anomalous, in maps of labels (0 and 1, palettes, colours, transparency) all but the
    background's, 0; images of a folder are united.

    Args:
        path: an image, or a folder of images of one size.
    Raises:
        FileNotFoundError, InputError: for what is missing, damaged, or of several sizes.
    """
    masks = [_read_one(file) for file in truth_files(path)]
    if not masks or len({mask.shape for mask in masks}) > 1:
        raise InputError(f"The ground truth {path} must be images of one size, found {len(masks)}; write it again.")
    return torch.from_numpy(np.any(masks, axis=0))


def _read_one(path: Path) -> np.ndarray:
    with open_image(path, "mask") as file:
        values, coloured = mask_values(file)
        check_is_mask(values, coloured, path)
        lossy = file.format == "JPEG"
    levels = np.unique(values)
    if lossy:
        return values > levels[-1] // 2 if levels[-1] > 1 else np.zeros(values.shape, dtype=bool)
    low = levels[-1] < 128 and len(levels) <= MOST_SHADES
    return values > 0 if coloured or low or are_labels(values, levels) else values > 127


def are_labels(values: np.ndarray, levels: np.ndarray) -> bool:
    """Return whether few ``levels`` of ``values`` (height, width) uint8 are labels of regions, not blurred edges."""
    if len(levels) > MOST_LABELS:
        return False
    return all(cv2.erode((values == level).astype(np.uint8), np.ones((3, 3), np.uint8)).any() for level in levels[1:])


def truth_fault(mask: Tensor) -> str:
    """Return what is wrong with a defect's mask (height, width) bool as a whole, as the end of a sentence."""
    if not bool(mask.any()):
        return "marks no pixel"
    border = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).float().mean()
    share = float(mask.float().mean())
    return f"marks {share:.0%} of the image, inverted?" if min(share, float(border)) > INVERTED else ""
