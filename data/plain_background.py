"""Masks of objects in front of a plain white or black background."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from data.settings import BACKGROUNDS
from utils.images import is_foreground

PLAIN_COLOURS = {"white": 255, "black": 0}
MIN_REGION = 0.05  # share of the largest region's area below which a region is dust on the background
MIN_GAP = 0.005  # share of the object's area from which a region of background colour is a gap, not a spot on it


HIDDEN = 0.02  # share of a cut-out object that may have its background's colour


def hidden_shares(images: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Return, for each of ``BACKGROUNDS``, the share of a cut-out object that has its colour.

    Args:
        images: (views, height, width, 3) uint8 RGB.
        masks: (views, height, width) bool, the object; its edge does not count.
    """
    inner = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0 for mask in masks])
    colours = torch.from_numpy(images[inner]).float() / 255.0
    if len(colours) == 0:
        return dict.fromkeys(BACKGROUNDS, 0.0)
    like = {name: ~is_foreground(colours, torch.tensor(each)) for name, each in BACKGROUNDS.items()}
    return {name: float(each.float().mean()) for name, each in like.items()}


def plain_mask(image: np.ndarray, background: str, tolerance: int) -> np.ndarray:
    """Mask the object in front of a plain background.

    Small regions of the background's colour within the object are glare or shadow and belong to it, large ones are
    gaps; regions much smaller than the largest are dust.

    Args:
        image: (height, width, 3) uint8 RGB.
        background: "white" or "black".
        tolerance: 8-bit steps by which the background may differ from it.
    Returns:
        (height, width) uint8, 255 on the object.
    """
    differs = np.abs(image[..., :3].astype(np.int16) - PLAIN_COLOURS[background]).max(axis=-1) > tolerance
    opened = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    regions, areas = _regions(opened)
    found = np.isin(regions, 1 + np.flatnonzero(areas >= MIN_REGION * areas.max(initial=0)))
    regions, areas = _regions((~found).astype(np.uint8))
    gaps = np.isin(regions, 1 + np.flatnonzero(areas >= MIN_GAP * found.sum()))
    return np.where(gaps, 0, 255).astype(np.uint8)


def is_plain(images: np.ndarray, background: tuple[float, float, float], tolerance: int = 24) -> bool:
    """Whether at least half of the borders of images (views, height, width, 3) uint8 show the ``background``."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    differs = np.abs(np.concatenate(edges, axis=1) - 255.0 * np.array(background)).max(axis=-1) > tolerance
    return bool(differs.mean() <= 0.5)


def _regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected regions of a uint8 mask: labels (height, width), from 1, and their areas in pixels."""
    _, regions, figures, _ = cv2.connectedComponentsWithStats(mask)
    return regions, figures[1:, cv2.CC_STAT_AREA]
