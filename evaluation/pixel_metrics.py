"""Pixel AUROC and AUPRO, exact and in bounded memory.

The curves change only at the values of anomalous pixels, and these are few (about 1 %). So the distinct anomalous
values are kept, sorted, and every map is counted against them once: how many normal pixels fall between two
neighbouring values, how many on a value. These counts give the ROC and the PRO curve, and the areas below them, exactly
as a sort of all pixels would, ties included. Memory is one map plus about 50 bytes an anomalous pixel and defect type,
whatever the number of queries; the maps of defective queries are read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from evaluation.results import GOOD
from utils.errors import InputError

AUPRO_FPR_LIMIT = 0.3

MapOf = Callable[[str], Tensor]  # query name → anomaly_map (height, width) float32
MaskOf = Callable[[str], "Tensor | None"]  # query name → mask (height, width) bool, None where there is none


@dataclass(frozen=True)
class PixelCounts:
    """Pixels counted against the distinct anomalous values, highest first (see the top of the file).

    Keys are defect types, or GOOD where normal pixels are counted.
    """

    normal_between: Mapping[str, np.ndarray]  # (values + 1,) normal pixels above each value; last: below all
    normal_at: Mapping[str, np.ndarray]  # (values,)
    anomalous_at: Mapping[str, np.ndarray]  # (values,)
    overlap_at: Mapping[str, np.ndarray]  # (values,) sum over regions of the share of the region
    regions: Mapping[str, int]

    def areas(self, kinds: Iterable[str]) -> tuple[float | None, float | None]:
        """Return pixel AUROC and AUPRO of the queries of these defect types together with all good ones."""
        kinds = list(kinds)
        present = [kind for kind in (*kinds, GOOD) if kind in self.normal_at]
        kinds = [kind for kind in kinds if self.regions.get(kind)]
        if not kinds:
            return None, None
        between = np.sum([self.normal_between[kind] for kind in present], axis=0)
        at = np.sum([self.normal_at[kind] for kind in present], axis=0)
        normal = int(between.sum() + at.sum())
        if normal == 0:
            return None, None
        # Two vertices a value: the curve runs level over the normal pixels above it, then slants over those on it.
        steps = np.stack([between[:-1], at], axis=1).reshape(-1)
        false_positives = np.concatenate([[0], np.cumsum(steps), [normal]]) / normal

        def curve(weights: np.ndarray) -> np.ndarray:
            height = np.cumsum(weights) / weights.sum()
            before = np.concatenate([[0.0], height[:-1]])
            return np.concatenate([[0.0], np.stack([before, height], axis=1).reshape(-1), [1.0]])

        true_positives = curve(np.sum([self.anomalous_at[kind] for kind in kinds], axis=0).astype(np.float64))
        overlap = curve(np.sum([self.overlap_at[kind] for kind in kinds], axis=0))
        auroc = float(np.trapezoid(true_positives, false_positives))
        return auroc, area_up_to(false_positives, overlap, AUPRO_FPR_LIMIT)


def area_up_to(x: np.ndarray, y: np.ndarray, limit: float) -> float:
    """Return the mean height of the curve (x rising from 0 to 1) for x in [0, limit]: 1 for a perfect one.

    >>> area_up_to(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.5)
    0.25
    """
    inside = int(np.searchsorted(x, limit, side="right"))
    y_limit = np.interp(limit, x[inside - 1 : inside + 1], y[inside - 1 : inside + 1])
    return float(np.trapezoid(np.append(y[:inside], y_limit), np.append(x[:inside], limit)) / limit)


def count_pixels(defect_types: Mapping[str, str], anomaly_map_of: MapOf, mask_of: MaskOf) -> PixelCounts | None:
    """Count all pixels of the labelled queries; AUPRO's regions are the 8-connected components of each mask.

    Args:
        defect_types: query name → GOOD or its type of defect.
        anomaly_map_of: query name → (height, width) float32; called once for each good query, twice for others.
        mask_of: query name → (height, width) bool of any scale.

    Returns:
        The counts, or None where no defective query has a mask.

    Raises:
        InputError: where a mask does not fit, or a map is not finite, or some defective queries lack a mask.
    """
    masks = _Masks(defect_types, mask_of)
    if not masks.known():
        return None
    values, weights, regions = _anomalous_pixels(defect_types, anomaly_map_of, masks)
    distinct = np.unique(np.concatenate(list(values.values())))  # ascending
    beyond = np.append(distinct, np.float32(np.nan))  # a pixel above all values is compared with NaN
    anomalous_at, overlap_at = {}, {}
    for kind, pixels in values.items():
        rows = np.searchsorted(distinct, pixels)
        anomalous_at[kind] = np.bincount(rows, minlength=len(distinct))[::-1]
        overlap_at[kind] = np.bincount(rows, weights[kind], minlength=len(distinct))[::-1]
    normal_between = {kind: np.zeros(len(distinct) + 1, np.int64) for kind in defect_types.values()}
    normal_at = {kind: np.zeros(len(distinct), np.int64) for kind in defect_types.values()}
    for name, kind in defect_types.items():
        pixels = read_map_of(anomaly_map_of, name)
        pixels = np.sort(pixels.reshape(-1) if kind == GOOD else pixels[~masks.mask(name, pixels.shape)])
        rows = np.searchsorted(distinct, pixels)
        on = beyond[rows] == pixels
        normal_between[kind] += np.bincount(rows[~on], minlength=len(distinct) + 1)[::-1]
        normal_at[kind] += np.bincount(rows[on], minlength=len(distinct))[::-1]
    return PixelCounts(normal_between, normal_at, anomalous_at, overlap_at, regions)


@dataclass(frozen=True)
class _Masks:
    defect_types: Mapping[str, str]
    mask_of: MaskOf

    def known(self) -> bool:
        """Return whether the defective queries have masks; all of them must, or none."""
        defective = [name for name, kind in self.defect_types.items() if kind != GOOD]
        missing = [name for name in defective if self.mask_of(name) is None]
        if missing and len(missing) < len(defective):
            raise InputError(
                f"query {missing[0]}: no mask, though {len(defective) - len(missing)} other defective queries have one;"
                " add it to ground_truth/ or take the query out of test/"
            )
        return len(missing) < len(defective)

    def mask(self, name: str, shape: tuple[int, int]) -> np.ndarray:
        mask = self.mask_of(name)
        assert mask is not None
        return fit_mask(mask, shape[0], shape[1], name).numpy()


def _anomalous_pixels(
    defect_types: Mapping[str, str], anomaly_map_of: MapOf, masks: _Masks
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
    """Return by defect type the anomalous pixels' values, 1 / area of each pixel's region, and the count of regions."""
    values: dict[str, list[np.ndarray]] = {kind: [] for kind in defect_types.values() if kind != GOOD}
    weights: dict[str, list[np.ndarray]] = {kind: [] for kind in values}
    regions = dict.fromkeys(values, 0)
    for name, kind in defect_types.items():
        if kind == GOOD:
            continue
        anomaly_map = read_map_of(anomaly_map_of, name)
        mask = masks.mask(name, anomaly_map.shape)
        region, count = ndimage.label(mask, structure=np.ones((3, 3)))
        of_pixel = region[mask]
        values[kind].append(anomaly_map[mask])
        weights[kind].append((1.0 / np.maximum(np.bincount(of_pixel, minlength=count + 1), 1))[of_pixel])
        regions[kind] += count
    joined = {kind: np.concatenate(parts) for kind, parts in values.items()}
    return joined, {kind: np.concatenate(parts) for kind, parts in weights.items()}, regions


def read_map_of(anomaly_map_of: MapOf, name: str) -> np.ndarray:
    """Return a query's map (height, width) float32; an InputError where it is not finite."""
    anomaly_map = anomaly_map_of(name).detach().cpu().float().numpy()
    if anomaly_map.ndim != 2 or not np.isfinite(anomaly_map).all():
        raise InputError(
            f"query {name}: expected a map (height, width) of finite numbers, found shape {anomaly_map.shape}"
            f" with {int((~np.isfinite(anomaly_map)).sum())} values that are not"
        )
    return anomaly_map


def fit_mask(mask: Tensor, height: int, width: int, source: str) -> Tensor:
    """Resize a bool mask to the map's size by nearest neighbour, pixel centres aligned.

    Args:
        mask: (rows, columns) bool, at any scale.
        height, width: the map's size.
        source: the file or query, for the error.

    Returns:
        (height, width) bool.

    Raises:
        InputError: where the mask has another aspect than the map, so belongs to another image.
    """
    if mask.dtype != torch.bool or mask.dim() != 2:
        raise InputError(f"{source}: expected a bool mask (height, width), found {mask.dtype} {tuple(mask.shape)}")
    rows, columns = mask.shape
    if rows == 0 or columns == 0 or abs(rows * width - columns * height) > max(columns, rows, width, height):
        raise InputError(
            f"{source}: the mask is {columns} x {rows} pixels, which does not scale to the query's"
            f" {width} x {height}; expected a mask of the same aspect"
        )
    row = ((torch.arange(height, dtype=torch.float64) + 0.5) * rows / height).long()
    column = ((torch.arange(width, dtype=torch.float64) + 0.5) * columns / width).long()
    return mask[row][:, column]
