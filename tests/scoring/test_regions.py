"""Regions of anomaly maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from scoring.regions import find_regions
from utils.camera import Intrinsics
from utils.rendering import Rendering

LENS = Intrinsics(60, 40, 80.0, 80.0, 30.0, 20.0)
SHOWN = Rendering(torch.ones(40, 60, 3), torch.ones(40, 60), torch.full((40, 60), 4.0))


def bump(column: int, row: int, peak: float, sigma: float = 2.0) -> Tensor:
    y, x = np.mgrid[:40, :60]
    return torch.from_numpy(peak * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))).float()


def regions(anomaly_map: Tensor, reference: Rendering = SHOWN) -> tuple:
    return find_regions(anomaly_map, 1.0, lambda score: 0.05 / score, reference, LENS)


def test_each_defect_is_a_region_the_worst_first() -> None:
    worst, other = regions(torch.maximum(bump(15, 20, 2.0), bump(45, 10, 5.0)))
    assert (worst.anomaly_score, other.anomaly_score) == (pytest.approx(5.0), pytest.approx(2.0))
    assert worst.left <= 45 < worst.left + worst.width and worst.top <= 10 < worst.top + worst.height
    assert worst.p_value == pytest.approx(0.01) and 0 < worst.area <= worst.width * worst.height
    assert worst.length == pytest.approx(0.05 * np.hypot(worst.width, worst.height))  # 4 / 80 a pixel


def test_what_touches_is_one_region_and_what_does_not_is_two() -> None:
    (one,) = regions(torch.maximum(bump(20, 20, 2.0, 3.0), bump(25, 20, 2.0, 3.0)))
    assert one.width >= 10 and len(regions(torch.maximum(bump(15, 20, 2.0), bump(35, 20, 2.0)))) == 2
    corner = torch.zeros(40, 60)
    corner[5, 5] = corner[6, 6] = 2.0
    (one,) = regions(corner)
    assert (one.left, one.top, one.width, one.height, one.area) == (5, 5, 2, 2, 2)


def test_good_map_has_none_and_without_an_object_there_is_no_length() -> None:
    assert regions(bump(20, 20, 0.9)) == ()
    empty = Rendering(SHOWN.colour, torch.zeros(40, 60), torch.zeros(40, 60))
    (one,) = regions(bump(20, 20, 2.0), empty)
    assert one.length is None
