"""One score of a part from several photos, whose anomaly maps meet on its surface, point by point.

- A reference errs at the same places in every photo of them, at edges, thin parts and gloss: what good views reach
  around a point is what to expect there, and photos are compared with it (``GoodViews.level``).
- A photo whose pose or light is wrong differs everywhere, a defective part somewhere: where most of what a photo shows
  differs more than in good views, the photo counts for less by as much (``GoodViews.own_level``).
- At a point that several photos show, a defect is seen by most of them, noise by one: the largest value and the mean
  are blended (``blended``).

Photos of one part are not independent, as the same places err. So good parts are simulated: photos are drawn from
held-out good views, and scored as those of a part are. There are few such views, and draws share many of them: their
scores vary less than those of real parts. Only the typical score is taken from them; how widely scores vary is that of
single views. For the maximum of independent Gumbel-distributed logarithms that is exact, whatever the number of
photos, as the distribution is max-stable (Coles 2001, ch. 3); where photos are dependent or means count, real scores
vary less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoring.calibration import Calibration

NEIGHBOURS = 25  # points around one, itself included, of which the largest value is its level
SHARE = 0.8  # of the logarithm of the level, by which values are divided
USUAL = 3.0  # views that the level of the whole surface counts as, beside those that show a point
MOST = 0.75  # quantile over the points that a photo shows, by which most of it is judged
AT_MOST = 4.0  # times by which a photo counts for less: where a large part is missing, much of it differs, too
MEAN_WEIGHT = 0.5  # of the mean over the photos that show a point, beside the largest value
LEAST = 1e-3  # value whose logarithm stands for that of 0
DRAWS = 200  # good parts that are simulated


@dataclass(frozen=True)
class GoodViews:
    """What held-out good views show on the surface."""

    values: Tensor  # (views, points) anomaly, 0 or more; NaN where not seen
    neighbours: Tensor  # (points, NEIGHBOURS) int64: the points around each, itself included

    @cached_property
    def logarithms(self) -> Tensor:
        """The logarithms of the values (views, points) float32."""
        return self.values.float().clamp(min=LEAST).log()

    @cached_property
    def around(self) -> Tensor:
        """The largest logarithm of a view around each point: (views, points); NaN where the view shows none there."""
        if self.values.numel() == 0:
            return self.logarithms
        known = self.logarithms.nan_to_num(-torch.inf)
        largest = torch.stack([row[self.neighbours].amax(1) for row in known])
        return torch.where(largest.isinf(), torch.nan, largest)

    def level(self, without: int | None = None) -> Tensor:
        """Return what to expect at each point: (points,) logarithm, relative to the mean of the surface.

        Args:
            without: a view that is not looked at, because it is to be judged.
        """
        around, mean = self.around, float(self.around.nanmean()) if self.around.numel() else 0.0
        if without is not None:
            around = torch.cat([around[:without], around[without + 1 :]])
        count, total = around.isfinite().sum(0), around.nansum(0)
        return (total + USUAL * mean) / (count + USUAL) - mean

    @cached_property
    def against_others(self) -> Tensor:
        """The logarithms (views, points), each view relative to the level of the others."""
        if len(self.values) == 0:
            return self.logarithms
        return torch.stack([row - SHARE * self.level(without) for without, row in enumerate(self.logarithms)])

    @cached_property
    def usual(self) -> float:
        """What most of a good view stays below, relative to the level of the others."""
        each = quantiles(self.against_others)
        return float(each.nanmedian()) if bool(each.isfinite().any()) else 0.0

    def own_level(self, relative: Tensor) -> Tensor:
        """Return by how much most of each photo exceeds most of a good view: (photos, 1) in [0, log ``AT_MOST``]."""
        return (quantiles(relative) - self.usual).nan_to_num(0.0).clamp(0.0, math.log(AT_MOST))[:, None]

    @cached_property
    def normalised(self) -> Tensor:
        """What ``relative`` would return of the good views (views, points), each judged by the others."""
        return self.against_others - self.own_level(self.against_others)

    def relative(self, values: Tensor) -> Tensor:
        """Return the logarithms of ``values`` (photos, points) of a part, relative to good views and to the photos."""
        relative = values.float().clamp(min=LEAST).log() - SHARE * self.level()
        return relative - self.own_level(relative)

    @cached_property
    def _calibrations(self) -> dict[tuple[int, float, int], Calibration]:
        return {}

    def calibration(self, photos: int, false_positive_rate: float, seed: int = 0) -> Calibration:
        """Return the distribution of the scores of good parts of which there are ``photos``, 1 or more.

        Its ``count`` is the number of parts that the views make without sharing any: so few scores are known.
        """
        key = (photos, false_positive_rate, seed)
        if key not in self._calibrations:
            self._calibrations[key] = self._calibrate(*key)
        return self._calibrations[key]

    def _calibrate(self, photos: int, false_positive_rate: float, seed: int) -> Calibration:
        views, generator = len(self.values), torch.Generator().manual_seed(seed)
        single = Calibration.of([score_of(row[None]) for row in self.normalised], false_positive_rate)
        most = max(1, views // 2)  # beyond which draws are all much the same
        taken, location = min(photos, most), single.location
        if taken > 1:
            draws = [torch.randperm(views, generator=generator)[:taken] for _ in range(DRAWS)]
            scores = torch.tensor([math.log(score_of(self.normalised[rows])) for rows in draws])
            median = single.location - single.scale * math.log(math.log(2.0))
            location += max(0.0, float(scores.median()) - median)
        location += single.scale * math.log(photos / taken)
        threshold = math.exp(location - single.scale * math.log(-math.log1p(-false_positive_rate)))
        return Calibration(location, single.scale, threshold, views / photos)


def quantiles(relative: Tensor) -> Tensor:
    """Return the value (photos,) below which ``MOST`` of what each photo shows (photos, points) stays; NaN for none."""
    if relative.shape[1] == 0:
        return torch.full((len(relative),), torch.nan)
    return relative.nanquantile(MOST, dim=1)


def blended(relative: Tensor) -> Tensor:
    """Put together what photos show of each point.

    Args:
        relative: (photos, points) as ``GoodViews.relative`` returns it; NaN where a photo does not show a point.
    Returns:
        (points,) float32, 0 or more, where 1 is usual; NaN where no photo shows a point.
    """
    best, mean = relative.nan_to_num(-torch.inf).amax(0), relative.nanmean(0)
    return torch.where(best.isinf(), torch.nan, ((1.0 - MEAN_WEIGHT) * best + MEAN_WEIGHT * mean).exp())


def largest_of(score: Tensor) -> float:
    """Return the largest of ``score`` (points,), the score of the part; the least there is where nothing is seen."""
    return max(LEAST, float(score.nan_to_num(0.0).max())) if len(score) else LEAST


def score_of(relative: Tensor) -> float:
    """Return the score of a part, above 0: the largest of what ``blended`` returns of (photos, points)."""
    return largest_of(blended(relative))
