"""Moves the edge of a rough mask to where the colours change: GrabCut (Rother et al., SIGGRAPH 2004) in a band."""

from __future__ import annotations

import cv2
import numpy as np

BAND = 0.03  # half width of the band around the silhouette's edge, of the object's longer side
MARGIN = 0.05  # background around the band whose colours are learned, of the object's longer side


def object_side(mask: np.ndarray) -> int:
    """Return the longer side in pixels of what a mask (height, width) bool covers; 0 where it is empty."""
    return max(int(mask.any(axis).sum()) for axis in (0, 1))


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return a mask (height, width) bool dilated by ``radius`` pixels, or eroded where that is negative."""
    size = 2 * abs(radius) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    change = cv2.dilate if radius > 0 else cv2.erode
    return change(mask.astype(np.uint8), disc, borderType=cv2.BORDER_REPLICATE) > 0


def cut_edge(image: np.ndarray, silhouette: np.ndarray, guess: np.ndarray, band: float = BAND) -> np.ndarray:
    """Find the object's edge near that of its silhouette.

    Args:
        image: (height, width, 3) uint8 RGB.
        silhouette: (height, width) bool, right but for a ``band`` of the object's longer side.
        guess: (height, width) bool, the foreground in that band to begin with.
        band: half width of what is decided by colour, as a share.
    Returns:
        (height, width) bool.
    """
    side = object_side(silhouette)
    if side == 0:
        return silhouette
    radius = max(2, int(np.ceil(band * side)))
    near, core = grown(silhouette, radius), grown(silhouette, -radius)
    guess = core | (guess & near)
    labels = np.select([core, guess, near], [cv2.GC_FGD, cv2.GC_PR_FGD, cv2.GC_PR_BGD], cv2.GC_BGD).astype(np.uint8)
    rows, columns = (_extent(near, axis, int(MARGIN * side) + radius) for axis in (0, 1))
    part = np.ascontiguousarray(labels[rows, columns])
    if not guess.any() or near[rows, columns].all():  # nothing to learn colours from
        return guess
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    pixels = np.ascontiguousarray(image[rows, columns, 2::-1])
    cv2.grabCut(pixels, part, None, *models, 1, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    result = np.zeros_like(silhouette)
    result[rows, columns] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    return result


def _extent(mask: np.ndarray, axis: int, margin: int) -> slice:
    """Return the range of rows (axis 0) or columns (axis 1) that a mask covers, with a margin."""
    places = mask.nonzero()[axis]
    return slice(max(0, int(places.min()) - margin), int(places.max()) + 1 + margin)
