"""How performance goes with an attribute of the objects: correlations, slopes, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from evaluation.results import Interval

LEAST = 5  # objects, below which nothing is said
RESAMPLES = 9999
LEVEL = 0.95
Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of x and y (..., objects): (...)

METRICS = {"pixel AUROC": "pixel_auroc", "image AUROC": "image_auroc"}


@dataclass(frozen=True)
class Attribute:
    """What is known of each object, and what the paper claims of it."""

    name: str  # as tables show it
    claimed: int  # +1: methods do better the more there is of it; -1: worse
    values: Mapping[str, float]  # by object


@dataclass(frozen=True)
class Coefficient:
    """A correlation coefficient, how sure it is, and how surprising it would be without any dependence."""

    value: float
    interval: Interval  # of 95 %, bootstrap over objects
    p: float  # two-sided
    holm: float = 1.0  # p corrected for all tests of its kind


@dataclass(frozen=True)
class Correlation:
    """How a method's AUROC goes with an attribute."""

    attribute: Attribute
    metric: str
    method: str
    objects: tuple[str, ...]
    auroc: tuple[float, ...]  # points, in the order of ``objects``
    pearson: Coefficient
    spearman: Coefficient
    slope: float  # least squares, points of AUROC per 100 units of the attribute
    slope_interval: Interval

    @property
    def places(self) -> np.ndarray:
        """The attribute of each object, (objects,)."""
        return np.array([self.attribute.values[name] for name in self.objects])


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis; NaN where x or y do not vary.

    >>> float(pearson(np.array([1.0, 2.0, 3.0]), np.array([5.0, 3.0, 1.0])))
    -1.0
    """
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.clip(ratio, -1.0, 1.0)


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's correlation along the last axis: Pearson's of the ranks, ties sharing their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(x, axis=-1), rankdata(y, axis=-1))


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of y over x along the last axis; NaN where x does not vary."""
    x = x - x.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(-1) / (x * x).sum(-1)


def slope_per_100(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``slope`` per 100 units of x."""
    return 100.0 * slope(x, y)


def bootstrap_interval(statistic: Statistic, x: np.ndarray, y: np.ndarray, seed: int = 0) -> Interval:
    """The 95 % interval of a statistic of pairs, by the bias-corrected accelerated bootstrap over the pairs.

    Args:
        statistic: of x and y along the last axis.
        x, y: (objects,), or y (methods, objects): methods see the same objects, so they are drawn together.
        seed: of the draws; the same objects are drawn for all statistics of as many objects.
    Returns:
        Low and high; resamples in which the statistic is not defined are left out.
    Source: Efron, Better bootstrap confidence intervals, JASA 82 (1987).
    """
    count = x.shape[-1]
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    values = statistic(x[drawn], y[..., drawn])
    values = values[np.isfinite(values)]
    estimate = float(statistic(x, y))
    bias = ndtri((np.mean(values < estimate) + np.mean(values <= estimate)) / 2)
    tails = ndtri(np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    if not np.isfinite(bias):  # the estimate is beyond all resamples: nothing to correct by
        bias = 0.0
    shifted = bias + tails
    shares = ndtr(bias + shifted / (1 - acceleration(statistic, x, y) * shifted))
    low, high = np.quantile(values, shares)
    return float(low), float(high)


def acceleration(statistic: Statistic, x: np.ndarray, y: np.ndarray) -> float:
    """How the statistic's spread overrides with its value: the jackknife's skewness over six; 0 without spread."""
    count = x.shape[-1]
    others = np.array([np.delete(np.arange(count), left_out) for left_out in range(count)])
    values = statistic(x[others], y[..., others])
    away = np.nanmean(values) - values[np.isfinite(values)]
    spread = float((away**2).sum())
    return float((away**3).sum() / (6 * spread**1.5)) if spread > 1e-20 else 0.0


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for being many, in the same order (Holm, Scandinavian Journal of Statistics 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [1.0] * len(ps), 0.0
    for done, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - done) * ps[index]))
        corrected[index] = highest
    return corrected


def least_significant(objects: int, p: float) -> float:
    """The smallest Pearson correlation of so many objects whose two-sided p-value is at most ``p``.

    >>> round(least_significant(20, 0.05), 3)
    0.444
    """
    from scipy.stats import t

    quantile = float(t.isf(p / 2, objects - 2))
    return quantile / float(np.sqrt(objects - 2 + quantile**2))


def correlation(attribute: Attribute, metric: str, method: str, aurocs: Mapping[str, float]) -> Correlation | None:
    """How a method's AUROC goes with an attribute; None below 5 objects, and where one of both does not vary.

    Args:
        aurocs: points (0 to 100) by object.
    """
    from scipy.stats import pearsonr, spearmanr

    objects = tuple(name for name in aurocs if name in attribute.values)
    x, y = np.array([attribute.values[name] for name in objects]), np.array([aurocs[name] for name in objects])
    if len(objects) < LEAST or not np.ptp(x) or not np.ptp(y):
        return None
    linear = Coefficient(float(pearson(x, y)), bootstrap_interval(pearson, x, y), float(pearsonr(x, y)[1]))
    ranks = Coefficient(float(spearman(x, y)), bootstrap_interval(spearman, x, y), float(spearmanr(x, y)[1]))
    steepness, interval = float(slope_per_100(x, y)), bootstrap_interval(slope_per_100, x, y)
    return Correlation(attribute, metric, method, objects, tuple(map(float, y)), linear, ranks, steepness, interval)


def corrected(correlations: Sequence[Correlation]) -> list[Correlation]:
    """The same with Holm's correction over all of them, Pearson's and Spearman's each for itself."""
    linear = holm([one.pearson.p for one in correlations])
    ranks = holm([one.spearman.p for one in correlations])
    return [
        replace(one, pearson=replace(one.pearson, holm=p), spearman=replace(one.spearman, holm=q))
        for one, p, q in zip(correlations, linear, ranks, strict=True)
    ]


def over_methods(statistic: Statistic, correlations: Sequence[Correlation]) -> tuple[float, Interval] | None:
    """A statistic of several methods over the objects that all have, with its 95 % interval.

    The methods saw the same objects, so their figures are no independent votes; objects are drawn for all at once.

    Args:
        statistic: of x (..., objects) and y (methods, ..., objects): (...).
        correlations: of one attribute and metric, one a method.
    Returns:
        None below 5 common objects, and where the attribute or a method does not vary on them.
    """
    common = [name for name in correlations[0].objects if all(name in one.objects for one in correlations)]
    tables = [dict(zip(one.objects, one.auroc)) for one in correlations]
    x = np.array([correlations[0].attribute.values[name] for name in common])
    y = np.array([[table[name] for name in common] for table in tables])  # (methods, objects)
    if len(common) < LEAST or not np.ptp(x) or not np.ptp(y, axis=1).all():
        return None
    return float(statistic(x, y)), bootstrap_interval(statistic, x, y)


def mean_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean over the methods of their Pearson correlations, for ``over_methods``."""
    return pearson(x, y).mean(0)


def flatness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much flatter the first method's slope is than the others' median, in points per 100 units, either way."""
    steepness = np.abs(slope_per_100(x, y))  # (methods, ...)
    return np.median(steepness[1:], axis=0) - steepness[0]


def fitted_band(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares line and the half width of its 95 % band.

    Args:
        x, y: (objects,), three or more.
        at: (points,) where the line is wanted.
    Returns:
        Two times (points,): the line, and how far above and below it the mean may lie, by Student's t.
    """
    from scipy.stats import t

    steepness, centre = slope(x, y), x.mean()
    rest = y - y.mean() - steepness * (x - centre)
    deviation = np.sqrt((rest**2).sum() / (len(x) - 2))
    width = np.sqrt(1 / len(x) + (at - centre) ** 2 / ((x - centre) ** 2).sum())
    return y.mean() + steepness * (at - centre), t.isf((1 - LEVEL) / 2, len(x) - 2) * deviation * width


@dataclass(frozen=True)
class Study:
    """All correlations of a source, and what must be said with them."""

    source: str  # where the AUROCs are from, as a sentence can name it
    attributes: Sequence[Attribute]
    correlations: Sequence[Correlation]
    remarks: Sequence[str] = ()  # sentences

    def of(self, attribute: Attribute, metric: str) -> list[Correlation]:
        """Those of one attribute and metric, one a method."""
        return [one for one in self.correlations if (one.attribute.name, one.metric) == (attribute.name, metric)]

    @property
    def groups(self) -> Iterator[tuple[Attribute, str, list[Correlation]]]:
        """Attribute, metric and the methods' correlations, where there are any."""
        for attribute in self.attributes:
            for metric in METRICS:
                if found := self.of(attribute, metric):
                    yield attribute, metric, found
