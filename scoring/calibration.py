"""Calibration: the distribution of the scores of good views, and the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoring.gumbel import fit_gumbel, fit_selected

MIN_SCALE = 0.02  # of the logarithm of scores: fewer or more equal views tell nothing narrower
MIN_SCORE = 1e-6  # whose logarithm stands for that of 0
ENOUGH = 4  # scores from which a distribution is fitted; with fewer the scale is ``USUAL_SCALE``
USUAL_SCALE = 0.3
CAP = 2.0  # thresholds, at most, that a confirmed score counts as
NODES = 2000  # quantiles by which the information of a selected score is summed up


class Confirmed(NamedTuple):
    """The score of a photo that someone confirmed as good."""

    score: float
    threshold: float  # when it was scored
    selected: bool  # whether its verdict may have led to its being confirmed; False for every good photo of a lot

    @property
    def counted(self) -> float:
        """The score as it counts: one photo that is not good after all moves the threshold by little."""
        return min(self.score, CAP * self.threshold)


@dataclass(frozen=True)
class Calibration:
    """The distribution of the scores of good views: their logarithms follow Gumbel's.

    A score is the maximum of many weakly dependent ratios, whose tails are heavy; its logarithm is close to Gumbel
    distributed (Coles 2001, ch. 3). Location and scale have the greatest likelihood.

    Photos that were confirmed as good join the held-out views. Those of a whole lot are a sample like them. The others
    are not: false alarms are confirmed because they are false alarms, and taken for a sample they would raise the
    threshold without bound. Of such a photo only the probability of its score given its verdict counts (the conditional
    likelihood of a sample that was selected by its outcome), which is right whatever share of the alarms, or of the
    other photos, someone confirms: how often good photos exceed the threshold is left to the views and the lots.
    """

    location: float  # of the logarithm
    scale: float
    threshold: float  # the score that the configured share of good views exceeds
    count: float = 0.0  # good views that were scored; 0 where it is not known
    scores: tuple[float, ...] = ()  # of those views
    confirmed: tuple[Confirmed, ...] = ()  # photos, besides

    @staticmethod
    def of(scores: Sequence[float], false_positive_rate: float, confirmed: Sequence[Confirmed] = ()) -> Calibration:
        """Fit the scores of at least one good view.

        Args:
            false_positive_rate: share of good views that the threshold may call defective, between 0 and 1.
            confirmed: photos that are good.
        """
        sample = [*scores, *(one.counted for one in confirmed if not one.selected)]
        chosen = [one for one in confirmed if one.selected]
        logarithms = [math.log(max(score, MIN_SCORE)) for score in sample]
        if len(sample) < ENOUGH:
            location, scale = max(logarithms), USUAL_SCALE
        elif min(logarithms) == max(logarithms):
            location, scale = logarithms[0], MIN_SCALE
        else:
            location, scale = fit_gumbel(np.asarray(logarithms))
            if chosen:
                rows = np.array([[one.counted, one.threshold, one.score > one.threshold] for one in chosen])
                values, limits = np.log(np.maximum(rows[:, :2], MIN_SCORE)).T
                start = (location, scale)
                location, scale = fit_selected(np.asarray(logarithms), values, limits, rows[:, 2] > 0, start, MIN_SCALE)
        scale = max(scale, MIN_SCALE)
        threshold = math.exp(location - scale * math.log(-math.log1p(-false_positive_rate)))
        return Calibration(location, scale, threshold, float(len(scores)), tuple(scores), tuple(confirmed))

    def confirming(self, photos: Sequence[Confirmed], false_positive_rate: float) -> Calibration:
        """Return the calibration that knows of more confirmed photos; see ``of``."""
        return Calibration.of(self.scores, false_positive_rate, (*self.confirmed, *photos))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % confidence interval of the threshold, by the Fisher information of the fit.

        None where it is not known how many views were scored.
        """
        if not self.count:
            return None
        at = (math.log(self.threshold) - self.location) / self.scale  # the quantile of the standard distribution
        alike = self.count + sum(not one.selected for one in self.confirmed)
        information = alike * np.linalg.inv([[1.1087, 0.2570], [0.2570, 0.6079]])
        if alike >= ENOUGH:
            for one in self.confirmed:
                if one.selected:
                    information += selected_information(self.standard(one.threshold), one.score > one.threshold)
        slope = np.array([1.0, at])
        error = self.scale * math.sqrt(slope @ np.linalg.solve(information, slope))
        return self.threshold * math.exp(-1.96 * error), self.threshold * math.exp(1.96 * error)

    def standard(self, score: float) -> float:
        """Return where a score lies in the standard distribution."""
        return (math.log(max(score, MIN_SCORE)) - self.location) / self.scale

    def p_value(self, anomaly_score: float) -> float:
        """Return the probability that a good view scores at least ``anomaly_score``."""
        logarithm = math.log(max(anomaly_score, MIN_SCORE))
        exponent = min(-(logarithm - self.location) / self.scale, 700.0)
        return -math.expm1(-math.exp(exponent))

    def tensors(self) -> dict[str, Tensor]:
        """Return the numbers, float64, from which ``restore`` makes the same calibration."""
        numbers = [self.location, self.scale, self.threshold, self.count]
        return {
            "numbers": torch.tensor(numbers, dtype=torch.float64),
            "scores": torch.tensor(self.scores, dtype=torch.float64),
            "confirmed": torch.tensor(self.confirmed, dtype=torch.float64).reshape(-1, 3),
        }

    @staticmethod
    def restore(tensors: dict[str, Tensor]) -> Calibration:
        """Return the calibration of ``tensors``, which are taken out of the dictionary."""
        known = Calibration(*tensors.pop("numbers").tolist())
        scores = tuple(tensors.pop("scores").tolist())
        rows = tensors.pop("confirmed").tolist()
        confirmed = tuple(Confirmed(score, threshold, bool(selected)) for score, threshold, selected in rows)
        return replace(known, scores=scores, confirmed=confirmed)


def selected_information(limit: float, above: bool) -> np.ndarray:
    """Return the Fisher information (2, 2), of location and scale in units of the scale, of one selected score.

    It is the covariance of the derivatives of the log density within the side of ``limit``, a standard value.
    """
    share = math.exp(-math.exp(-limit))
    low, high = (share, 1.0) if above else (0.0, share)
    quantiles = low + (high - low) * (np.arange(NODES) + 0.5) / NODES
    z = -np.log(-np.log(np.clip(quantiles, 1e-300, 1.0 - 1e-16)))
    return np.cov(np.stack([1.0 - np.exp(-z), -1.0 + z - z * np.exp(-z)]), bias=True)
