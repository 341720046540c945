"""The SVG charts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from report import charts


def test_roc_chart_needs_both_classes_and_histogram_counts_every_query() -> None:
    scores = {"good": np.array([0.1, 0.2]), "Burrs": np.array([0.3, 0.9])}
    assert charts.roc_chart({"good": scores["good"]}, 0.5) is None
    assert charts.roc_chart({"Burrs": scores["Burrs"]}, 0.5) is None
    x, y = charts.roc_points(scores["Burrs"], scores["good"])
    assert np.trapezoid(y, x) == pytest.approx(1.0)
    histogram = charts.histogram_chart(scores, 0.5)
    assert histogram is not None and histogram.count("<rect") == 4
    edges, logarithmic = charts.score_edges(np.array([0.01, 10.0]), 0.5)
    assert logarithmic and edges[0] < 0.01 and edges[-1] > 10
    edges, logarithmic = charts.score_edges(np.array([-5.0, 10.0]), 20.0)
    assert not logarithmic and edges[0] < -5 and edges[-1] > 20
    assert charts.histogram_chart({"good": np.array([])}, 0.5) is None


def test_bars_are_as_high_as_their_values() -> None:
    drawing = charts.bar_chart(
        {"best": np.array([1.0, 0.5]), "given": np.array([0.0, 0.25])}, "view", "views <in> order"
    )
    bars = re.findall(r'height="([\d.]+)" class="(\w+)"><title>(.*?)</title>', drawing)
    assert bars[:2] == [("140.0", "best", "view 0: 1.000"), ("70.0", "best", "view 1: 0.500")]
    assert [height for height, *_ in bars[2:]] == ["0.5", "35.0"] and "views &lt;in&gt; order" in drawing
