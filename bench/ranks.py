"""Average ranks of methods over objects, Friedman's test and Nemenyi's critical difference.

After J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, rankdata, studentized_range

ALPHA = 0.05
LEAST_METHODS, LEAST_OBJECTS = 2, 3
FEW_OBJECTS = 10  # below which the test's p-value is rough
Scores = Mapping[str, Mapping[str, float]]  # method → object → score, larger is better


@dataclass(frozen=True)
class Ranking:
    """Methods ranked by one metric over the objects that all of them have."""

    metric: str  # as a sentence can name it
    methods: Sequence[str]
    objects: Sequence[str]
    ranks: Sequence[float]  # average rank of each method, 1 is best; empty where there is nothing to rank
    left_out: Sequence[str] = ()  # methods that have fewer than half of the objects
    statistic: float | None = None  # Friedman's chi-square; None: too few to test, or all scores are equal
    p: float | None = None
    critical_difference: float | None = None  # of two average ranks, at ALPHA

    @property
    def rank_of(self) -> Mapping[str, float]:
        """Method → average rank."""
        return dict(zip(self.methods, self.ranks))

    @property
    def ordered(self) -> list[tuple[str, float]]:
        """Methods with average ranks, the best first."""
        return sorted(self.rank_of.items(), key=lambda pair: pair[1])


def rank_methods(metric: str, scores: Scores) -> Ranking:
    """Rank methods over the objects that all of them have; methods with fewer than half of the objects are left out.

    Args:
        metric: as a sentence can name it.
        scores: none of them NaN.
    """
    everything = dict.fromkeys(name for objects in scores.values() for name in objects)
    methods = [method for method, objects in scores.items() if objects and 2 * len(objects) >= len(everything)]
    left_out = [method for method in scores if method not in methods]
    objects = [name for name in everything if all(name in scores[method] for method in methods)]
    if not methods or not objects:
        return Ranking(metric, methods, objects, [], left_out)
    values = np.array([[scores[method][name] for method in methods] for name in objects])  # (objects, methods)
    ranks = ranks_of(values).mean(axis=0).tolist()
    if len(methods) < LEAST_METHODS or len(objects) < LEAST_OBJECTS:
        return Ranking(metric, methods, objects, ranks, left_out)
    statistic, p = friedman(values) or (None, None)
    width = critical_difference(len(methods), len(objects))
    return Ranking(metric, methods, objects, ranks, left_out, statistic, p, width)


def ranks_of(values: np.ndarray) -> np.ndarray:
    """Return the methods' ranks on each object; 1 is the largest value, equal values share the mean of their ranks.

    >>> ranks_of(np.array([[0.9, 0.7, 0.9]])).tolist()
    [[1.5, 3.0, 1.5]]

    Args:
        values: (objects, methods).
    Returns:
        (objects, methods) float64.
    """
    return np.asarray(rankdata(-values, axis=1))


def friedman(values: np.ndarray) -> tuple[float, float] | None:
    """Return Friedman's chi-square, corrected for ties, and its p-value; None where all methods are always equal.

    ``scipy.stats.friedmanchisquare`` is the same but does not take two methods.

    Args:
        values: (objects, methods), at least two methods.
    """
    ranks = ranks_of(values)
    objects, methods = ranks.shape
    spread = ((ranks - (methods + 1) / 2) ** 2).sum() / (methods - 1)  # objects · methods · (methods + 1) / 12, no ties
    if spread == 0:
        return None
    statistic = float(((ranks.sum(axis=0) - objects * (methods + 1) / 2) ** 2).sum() / spread)
    return statistic, float(chi2.sf(statistic, methods - 1))


def critical_difference(methods: int, objects: int, alpha: float = ALPHA) -> float:
    """Return by how much two average ranks must differ for the methods to differ (Nemenyi; Demšar, section 3.2.2).

    >>> round(critical_difference(4, 14), 2)  # Demšar's own methods and data sets: 4 and 14
    1.25
    """
    quantile = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * objects))


def groups_alike(ordered: Sequence[float], width: float) -> list[tuple[int, int]]:
    """Return the largest groups of neighbours that do not differ, as first and last index; none of one method.

    >>> groups_alike([1.0, 1.5, 2.2, 4.0], 1.0)
    [(0, 1), (1, 2)]

    Args:
        ordered: average ranks, ascending.
        width: the critical difference; ranks that far apart differ.
    """
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ordered):
        last = max(index for index, other in enumerate(ordered) if other - rank < width)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


def sentences(ranking: Ranking) -> list[str]:
    """Say what the ranks prove, and over how many objects."""
    count, methods = len(ranking.objects), len(ranking.methods)
    found = [f"{ranking.metric}: {methods} methods on the {count} objects that all of them have."]
    if methods < LEAST_METHODS or count < LEAST_OBJECTS:
        found.append(f"Too few to test: {LEAST_METHODS} methods and {LEAST_OBJECTS} objects are needed.")
    elif ranking.p is None or ranking.statistic is None:
        found.append("All methods are equal on every object, so there is nothing to test.")
    else:
        found.append(
            f"Friedman's chi-square is {ranking.statistic:.2f} with {methods - 1} degrees of freedom, "
            f"p = {ranking.p:.2g}; Nemenyi's critical difference at {100 * ALPHA:g} % is "
            f"{ranking.critical_difference:.2f}."
        )
        if ranking.p >= ALPHA:
            found.append(f"The test does not reject at {100 * ALPHA:g} % that all methods are equal.")
        if count < FEW_OBJECTS:
            found.append(f"With fewer than {FEW_OBJECTS} objects this p is rough.")
    if ranking.left_out:
        found.append(f"Left out, with results on fewer than half of the objects: {', '.join(ranking.left_out)}.")
    return found
