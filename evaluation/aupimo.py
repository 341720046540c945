"""AUPIMO: the recall of each defective image's pixels where next to no pixel of good images is called anomalous.

Per-image overlap curve and its area of Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with
High Speed and Low Tolerance" (arXiv:2401.01984). A threshold's false-positive rate is the mean over the good images of
the share of their pixels at or above it. The area below the recall, over the logarithm of that rate from 10⁻⁵ to 10⁻⁴,
needs the highest values of the good images only, and is computed exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.pixel_metrics import MapOf, MaskOf, fit_mask, read_map_of
from evaluation.results import GOOD

LOWER, UPPER = 1e-5, 1e-4  # false-positive rates between which the recall is averaged


@dataclass(frozen=True)
class GoodTail:
    """The highest pixel values of good images, down to the false-positive rate ``UPPER``."""

    values: np.ndarray  # (levels,) falling
    rates: np.ndarray  # (levels + 1,) rising: false-positive rate above each value; last: at or above the last value

    @staticmethod
    def of(maps: Iterable[np.ndarray], count: int) -> GoodTail:
        """Collect the tail of ``count`` maps (height, width), each at least one pixel, in one pass."""
        levels, weights = [np.empty(0, np.float32)], [np.empty(0)]
        for anomaly_map in maps:
            pixels = anomaly_map.reshape(-1)
            kept = min(int(np.ceil(UPPER * count * pixels.size)) + 1, pixels.size)  # even if it were the only source
            lowest = np.partition(pixels, pixels.size - kept)[pixels.size - kept]
            found, times = np.unique(pixels[pixels >= lowest], return_counts=True)
            levels.append(found)
            weights.append(times / (count * pixels.size))
        values, places = np.unique(np.concatenate(levels), return_inverse=True)
        shares = np.bincount(places, np.concatenate(weights), len(values))
        rates = np.concatenate([[0.0], np.cumsum(shares[::-1])])
        needed = min(int(np.searchsorted(rates, UPPER)), len(values))
        return GoodTail(values[::-1][:needed], rates[: needed + 1])

    def area(self, pixels: np.ndarray) -> float:
        """Return the AUPIMO in [0, 1] of a defective image, from the values (count,) of its anomalous pixels.

        Where good pixels share a value, and with anomalous ones, recall rises linearly with the rate.
        """
        rising = np.sort(pixels)
        above = 1.0 - np.searchsorted(rising, self.values, side="right") / len(rising)
        at = 1.0 - np.searchsorted(rising, self.values, side="left") / len(rising)
        before, after = self.rates[:-1], self.rates[1:]
        low, high = np.clip(before, LOWER, UPPER), np.clip(after, LOWER, UPPER)
        slope, width = (at - above) / (after - before), np.log(high / low)
        parts = above * width + slope * ((high - low) - before * width)
        return float(parts.sum() / np.log(UPPER / LOWER))


def image_aupimo(defect_types: Mapping[str, str], anomaly_map_of: MapOf, mask_of: MaskOf) -> dict[str, float]:
    """Return the AUPIMO of each defective query with a mask that is not empty; none where there is no good query.

    Args:
        defect_types: query name → GOOD or its type of defect.
        anomaly_map_of: query name → (height, width) float32.
        mask_of: query name → (height, width) bool of any scale.
    """
    good = [name for name, kind in defect_types.items() if kind == GOOD]
    if not good:
        return {}
    tail = GoodTail.of((read_map_of(anomaly_map_of, name) for name in good), len(good))
    areas = {}
    for name, kind in defect_types.items():
        mask = None if kind == GOOD else mask_of(name)
        if mask is None:
            continue
        anomaly_map = read_map_of(anomaly_map_of, name)
        height, width = anomaly_map.shape
        pixels = anomaly_map[fit_mask(mask, height, width, name).numpy()]
        if pixels.size:
            areas[name] = tail.area(pixels)
    return areas
