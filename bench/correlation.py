"""How performance goes with an attribute of the objects: correlations, slopes, and how certain they are."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from evaluation.results import Interval

MIN_OBJECTS = 5  # below which nothing is said
RESAMPLES = 9999
LEVEL = 0.95
METRICS = {"pixel AUROC": "pixel_auroc", "image AUROC": "image_auroc"}
COEFFICIENTS = ("pearson", "spearman")
Statistic = Callable[..., np.ndarray]  # of x and y (..., objects) and the axis -1: (...)
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # metric → method → object → points, 0 to 100


@dataclass(frozen=True)
class Attribute:
    """What is known of each object, and what the paper claims of it."""

    name: str  # as tables show it
    claimed: int  # +1: methods do better the more there is of it; -1: worse
    values: Mapping[str, float]  # by object


@dataclass(frozen=True)
class CorrelationStudy:
    """All correlations of a source, and what must be said with them."""

    source: str  # where the AUROCs are from, as a sentence can name it
    attributes: Sequence[Attribute]
    scores: Scores
    table: pd.DataFrame  # a correlation a row
    remarks: Sequence[str] = ()  # sentences

    def points(self, attribute: Attribute, metric: str, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Return attribute and AUROC of the objects that have both, two times (objects,)."""
        return paired(attribute, self.scores[metric].get(method, {}))


def paired(attribute: Attribute, aurocs: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return attribute and AUROC of the objects that have both, two times (objects,)."""
    names = [name for name in aurocs if name in attribute.values]
    return np.array([attribute.values[name] for name in names]), np.array([aurocs[name] for name in names])


def pearson(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return Pearson's correlation; 0 where x or y do not vary.

    >>> float(pearson(np.array([1.0, 2.0, 3.0]), np.array([5.0, 3.0, 1.0])))
    -1.0
    """
    x, y = x - x.mean(axis, keepdims=True), y - y.mean(axis, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (x * y).sum(axis) / np.sqrt((x * x).sum(axis) * (y * y).sum(axis))
    return np.nan_to_num(np.clip(ratio, -1.0, 1.0))


def spearman(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank."""
    return pearson(stats.rankdata(x, axis=axis), stats.rankdata(y, axis=axis), axis)


def slope_per_100(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the least-squares slope of y per 100 units of x; 0 where x does not vary."""
    x = x - x.mean(axis, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(100.0 * (x * y).sum(axis) / (x * x).sum(axis))


def bootstrap_interval(statistic: Statistic, x: np.ndarray, y: np.ndarray, seed: int = 0) -> Interval:
    """Return the 95 % interval of a statistic by the bias-corrected accelerated bootstrap over the objects.

    Args:
        x, y: (objects,).
        seed: of the draws; the same objects are drawn for all statistics of as many objects.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where all resamples give the same there is nothing to correct
        result = stats.bootstrap(
            *((x, y), statistic),
            paired=True,
            vectorized=True,
            method="BCa",
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    if np.isnan([low, high]).any():
        low, high = np.quantile(result.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for being many (Holm, Scandinavian Journal of Statistics 6, 1979); the order stays.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [1.0] * len(ps), 0.0
    for done, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - done) * ps[index]))
        corrected[index] = highest
    return corrected


def correlation(x: np.ndarray, y: np.ndarray) -> dict[str, Any] | None:
    """Return how AUROCs go with an attribute; None below 5 objects, and where one of both does not vary.

    Args:
        x: (objects,), the attribute.
        y: (objects,), AUROCs in points, 0 to 100.
    Returns:
        The number of objects, both coefficients with 95 % intervals and two-sided p-values, and the slope in points
        per 100 units of the attribute.
    """
    if len(x) < MIN_OBJECTS or not np.ptp(x) or not np.ptp(y):
        return None
    row: dict[str, Any] = {"objects": len(x)}
    tests = {"pearson": (pearson, stats.pearsonr), "spearman": (spearman, stats.spearmanr)}
    for name, (statistic, test) in tests.items():
        low, high = bootstrap_interval(statistic, x, y)
        row |= {f"{name}_value": float(statistic(x, y)), f"{name}_low": low, f"{name}_high": high}
        row[f"{name}_p"] = float(test(x, y).pvalue)
    low, high = bootstrap_interval(slope_per_100, x, y)
    return row | {"slope_per_100": float(slope_per_100(x, y)), "slope_low": low, "slope_high": high}


def correlation_table(attributes: Sequence[Attribute], scores: Scores) -> tuple[pd.DataFrame, list[str]]:
    """Return the correlations of all attributes with all methods' scores, and sentences on those left out.

    ``pearson_holm`` and ``spearman_holm`` are the p-values corrected for all tests of their kind.
    """
    rows, left_out = [], dict[str, int]()  # why → pairs
    for attribute in attributes:
        for metric, methods in scores.items():
            for method, aurocs in methods.items():
                x, y = paired(attribute, aurocs)
                row = correlation(x, y)
                if row is not None:
                    rows.append({"attribute": attribute.name, "metric": metric, "method": method, **row})
                    continue
                few = f"it has {len(x)} objects with a known attribute, {MIN_OBJECTS} are needed"
                why = few if len(x) < MIN_OBJECTS else "its values or the attribute's are all equal"
                left_out[f"{method}, since {why}."] = left_out.get(f"{method}, since {why}.", 0) + 1
    table = pd.DataFrame(rows)
    for name in COEFFICIENTS if rows else ():
        table.insert(table.columns.get_loc(f"{name}_p") + 1, f"{name}_holm", holm(table[f"{name}_p"].tolist()))
    return table, [f"Left out: {n} {'pair' if n == 1 else 'pairs'} of {why}" for why, n in left_out.items()]


def fitted_band(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least-squares line and the half width of its 95 % band.

    Args:
        x, y: (objects,), three or more.
        at: (points,) where the line is wanted.
    Returns:
        Two times (points,): the line, and how far above and below it the mean may lie, by Student's t.
    """
    steepness, centre = slope_per_100(x, y) / 100.0, x.mean()
    rest = y - y.mean() - steepness * (x - centre)
    deviation = np.sqrt((rest**2).sum() / (len(x) - 2))
    width = np.sqrt(1 / len(x) + (at - centre) ** 2 / ((x - centre) ** 2).sum())
    return y.mean() + steepness * (at - centre), stats.t.isf((1 - LEVEL) / 2, len(x) - 2) * deviation * width
