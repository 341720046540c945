"""The colour scale, the overlay and the outlines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from report import heatmap
from tests.report.reports import make_report


def test_heat_scale_is_twice_what_good_queries_reach() -> None:
    report, images_of = make_report()
    scale = heatmap.heat_scale(report.queries, lambda name: images_of(name).anomaly_map)
    assert scale.low == 0.0
    assert scale.usual == pytest.approx(np.quantile([0.1, 0.2, 0.3], 0.95))
    assert scale.high == pytest.approx(2 * scale.usual)
    flat = heatmap.heat_scale(report.queries, lambda _: torch.ones(4, 4))
    assert flat.high > flat.low


def test_heat_is_transparent_at_low_and_opaque_at_high_values() -> None:
    image = np.full((4, 4, 3), (200, 100, 0), np.uint8)
    anomaly_map = torch.zeros(4, 4)
    anomaly_map[1, 2] = 5.0
    shown = heatmap.heat_overlay(image, anomaly_map, heatmap.HeatScale(0.0, 1.0)).astype(int)
    assert (shown[0, 0] == 162).all()
    assert shown[1, 2, 0] > shown[1, 2, 1] + 60
    anchors = heatmap.heat_colours(np.array([-1.0, 0.0, 1.0, 2.0]))
    assert (anchors[0] == anchors[1]).all() and (anchors[2] == anchors[3]).all()
    assert (anchors[1] == heatmap.ANCHORS[0]).all() and (anchors[2] == heatmap.ANCHORS[-1]).all()


def test_what_is_unseen_is_hatched() -> None:
    image, unseen = np.full((32, 32, 3), 255, np.uint8), torch.zeros(32, 32, dtype=torch.bool)
    unseen[8:24, 8:24] = True
    plain, shown = (
        heatmap.heat_overlay(image, torch.zeros(32, 32), heatmap.HeatScale(0.0, 1.0), place) for place in (None, unseen)
    )
    drawn = (plain != shown).any(-1)
    assert not drawn[~unseen.numpy()].any() and 0.1 < drawn[8:24, 8:24].mean() < 0.5


def test_an_outline_surrounds_its_part_closely() -> None:
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[30:40, 50:70] = True
    (outline,) = heatmap.outlines(mask)
    low, high = outline.min(axis=0), outline.max(axis=0)
    assert (low <= [50, 30]).all() and (high >= [70, 40]).all()
    assert (low >= [48, 28]).all() and (high <= [72, 42]).all()
