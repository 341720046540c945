"""How an anomaly map is shown: one colour scale for a whole object, laid over the greyed picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from evaluation.results import GOOD, QueryResult

# Yellow to dark red (RGB), evenly spaced: light where little is wrong, so that it prints and reads on white.
ANCHORS = np.array(
    [(255, 247, 188), (254, 217, 118), (254, 178, 76), (253, 141, 60), (240, 59, 32), (189, 0, 38), (98, 0, 32)], float
)


@dataclass(frozen=True)
class HeatScale:
    """Map values from ``low`` (no colour) to ``high`` (full colour); ``usual`` is what good queries reach."""

    low: float
    high: float
    usual: float | None = None


def heat_scale(queries: Sequence[QueryResult], anomaly_map_of: Callable[[str], Tensor]) -> HeatScale:
    """The scale of an object: twice as far as the highest values in queries judged good usually go.

    Args:
        queries: all queries of the object.
        anomaly_map_of: query name → (height, width); asked for once a query, not kept.

    Returns:
        ``usual`` = 95th percentile of the highest values of queries judged good, ``high`` = twice that, counted from
        ``low`` = the median over the queries of the median map value. Without a query judged good, ``high`` is
        the median of the highest values.
    """
    bottoms, tops, good = [], [], []
    for query in queries:
        values = anomaly_map_of(query.name)
        bottoms.append(float(values.median()))
        tops.append(float(values.max()))
        good.append(query.verdict == GOOD)
    low = float(np.median(bottoms)) if bottoms else 0.0
    usual = float(np.quantile(np.array(tops)[good], 0.95)) if any(good) else None
    high = low + 2.0 * (usual - low) if usual is not None else float(np.median(tops)) if tops else 1.0
    return HeatScale(low, high if high > low else low + 1.0, usual)


def heat_colours(values: np.ndarray) -> np.ndarray:
    """RGB (..., 3) uint8 of ``values`` in [0, 1], in 256 steps."""
    steps = np.linspace(0.0, 1.0, 256)
    table = np.stack([np.interp(steps, np.linspace(0.0, 1.0, len(ANCHORS)), channel) for channel in ANCHORS.T], axis=1)
    return np.round(table).astype(np.uint8)[np.clip(np.round(values * 255.0), 0.0, 255.0).astype(np.uint8)]


def heat_opacity(values: np.ndarray) -> np.ndarray:
    """How much of the colour covers the picture beneath, for ``values`` in [0, 1]: clear below 0.1, full from 0.4."""
    return np.clip((values - 0.1) / 0.3, 0.0, 1.0) * 0.92


def heat_overlay(query: np.ndarray, anomaly_map: Tensor, scale: HeatScale) -> np.ndarray:
    """The map in colour over the greyed, lightened query.

    Args:
        query: (height, width, 3) uint8.
        anomaly_map: (height, width), of the query's size.

    Returns:
        (height, width, 3) uint8.
    """
    values = (anomaly_map.detach().cpu().float().numpy() - scale.low) / (scale.high - scale.low)
    grey = 102.0 + query.mean(axis=2, keepdims=True, dtype=np.float32) * np.float32(0.6)
    cover = heat_opacity(values)[..., None]
    return np.round(grey * (1.0 - cover) + heat_colours(values) * cover).astype(np.uint8)


def outlines(mask: Tensor) -> list[np.ndarray]:
    """Closed outlines, (points, 2) x and y in pixels each, around the True parts of a mask (height, width).

    They run a little outside, 1 % of the longer side, so that a line leaves a small defect visible.
    """
    reach = 2 * max(1, round(0.01 * max(mask.shape))) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    wide = cv2.dilate(mask.cpu().numpy().astype(np.uint8), brush)
    # At four times the size, so that a line runs around the pixels and not through their centres.
    large = wide.repeat(4, axis=0).repeat(4, axis=1)
    found: Iterable[np.ndarray] = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    return [(cv2.approxPolyDP(contour, 2.0, True)[:, 0] + 0.5) / 4.0 for contour in found]
