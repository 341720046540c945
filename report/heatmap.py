"""Heat maps: one colour scale for a whole object, laid over the grey image; and outlines of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from evaluation.results import GOOD, QueryResult

# Yellow to dark red (RGB), evenly spaced: light where little is wrong, so that it prints well and reads on white.
ANCHORS = np.array(
    [(255, 247, 188), (254, 217, 118), (254, 178, 76), (253, 141, 60), (240, 59, 32), (189, 0, 38), (98, 0, 32)], float
)

HATCHING = 120.0  # grey of the lines where nothing can be judged


@dataclass(frozen=True)
class HeatScale:
    """Map values from ``low`` (transparent) to ``high`` (full colour); ``usual`` is what good queries reach."""

    low: float
    high: float
    usual: float | None = None


def heat_scale(queries: Sequence[QueryResult], anomaly_map_of: Callable[[str], Tensor]) -> HeatScale:
    """Compute an object's colour scale, which reaches twice as far as queries judged good usually do.

    Args:
        queries: all queries of the object.
        anomaly_map_of: query name → (height, width); called once a query, not kept.

    Returns:
        ``usual`` = 95th percentile of the maxima of queries judged good, ``high`` = twice that, measured from
        ``low`` = the median over the queries of the median map value. Without a query judged good, ``high`` is
        the median of the maxima.
    """
    medians, maxima, good = [], [], []
    for query in queries:
        values = anomaly_map_of(query.name)
        medians.append(float(values.median()))
        maxima.append(float(values.max()))
        good.append(query.verdict == GOOD)
    low = float(np.median(medians)) if medians else 0.0
    usual = float(np.quantile(np.array(maxima)[good], 0.95)) if any(good) else None
    high = low + 2.0 * (usual - low) if usual is not None else float(np.median(maxima)) if maxima else 1.0
    return HeatScale(low, high if high > low else low + 1.0, usual)


def heat_colours(values: np.ndarray) -> np.ndarray:
    """Return RGB (..., 3) uint8 of ``values`` in [0, 1], in 256 steps."""
    steps = np.linspace(0.0, 1.0, 256)
    table = np.stack([np.interp(steps, np.linspace(0.0, 1.0, len(ANCHORS)), channel) for channel in ANCHORS.T], axis=1)
    return np.round(table).astype(np.uint8)[np.clip(np.round(values * 255.0), 0.0, 255.0).astype(np.uint8)]


def heat_opacity(values: np.ndarray) -> np.ndarray:
    """Return the colour's opacity for ``values`` in [0, 1]: transparent below 0.1, 0.92 from 0.4."""
    return np.clip((values - 0.1) / 0.3, 0.0, 1.0) * 0.92


def heat_overlay(query: np.ndarray, anomaly_map: Tensor, scale: HeatScale, unseen: Tensor | None = None) -> np.ndarray:
    """Lay the map in colour over the grey, lightened query.

    Args:
        query: (height, width, 3) uint8.
        anomaly_map: (height, width), of the query's size.
        scale: the object's colour scale.
        unseen: (height, width) bool, where nothing can be judged: it is hatched.

    Returns:
        (height, width, 3) uint8.
    """
    values = (anomaly_map.detach().cpu().float().numpy() - scale.low) / (scale.high - scale.low)
    grey = 102.0 + query.mean(axis=2, keepdims=True, dtype=np.float32) * np.float32(0.6)
    if unseen is not None:
        grey = np.where(hatched(unseen.cpu().numpy())[..., None], np.float32(HATCHING), grey)
    opacity = heat_opacity(values)[..., None]
    return np.round(grey * (1.0 - opacity) + heat_colours(values) * opacity).astype(np.uint8)


def hatched(place: np.ndarray) -> np.ndarray:
    """Return the pixels (height, width) bool of diagonal lines over ``place`` (height, width) bool.

    >>> int(hatched(np.ones((16, 16), bool)).sum())
    64
    """
    rows, columns = np.indices(place.shape)
    return place & ((rows + columns) % 8 < 2)


def outlines(mask: Tensor) -> list[np.ndarray]:
    """Return closed outlines, (points, 2) x and y in pixels each, around the True parts of a mask (height, width).

    They run slightly outside, by 1 % of the longer side, so that a line leaves a small defect visible.
    """
    size = 2 * max(1, round(0.01 * max(mask.shape))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    dilated = cv2.dilate(mask.cpu().numpy().astype(np.uint8), kernel)
    # At four times the size, so that a line runs around the pixels and not through their centres.
    large = dilated.repeat(4, axis=0).repeat(4, axis=1)
    contours: Iterable[np.ndarray] = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    return [(cv2.approxPolyDP(contour, 2.0, True)[:, 0] + 0.5) / 4.0 for contour in contours]


def outline_path(mask: Tensor) -> str:
    """Return the outlines of a mask (height, width) bool as an SVG path in its pixels."""
    lines = ("L".join(f"{x:.1f} {y:.1f}" for x, y in outline) for outline in outlines(mask))
    return "".join(f"M{line}Z" for line in lines)
