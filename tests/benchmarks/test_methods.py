"""The tables that set the paper's method beside the default one."""

from __future__ import annotations

import math
from dataclasses import replace

from benchmarks.ablation import nearly_pure, row, table
from benchmarks.paper_vs_fast import Measured, Point, Query, seconds_to, tables
from utils.config import Config
from utils.options import values_of
from utils.results import Detection, Evaluation, Figures, ObjectReport, PoseFigures, Spread


def report(**choices: object) -> ObjectReport:
    figures = Figures(queries=3, image_auroc=0.9, pixel_auroc=0.99, aupro=0.8)
    pose = PoseFigures(found=1.0, rotation_deg=Spread(0.5, 1.0, 2.0), within=0.75)
    queries = [Detection(f"good/{index}", 0.1, "good", True, None, seconds) for index, seconds in enumerate((1, 2, 9))]
    settings = {**values_of(Config()), **choices}
    return ObjectReport("toy", 0.5, Evaluation(figures, {}, pose), queries, config=settings)


def test_a_row_shows_its_choices_and_figures() -> None:
    assert row(report(refine="adam")) == [
        *("voxel", "thumbnails", "adam", "calibrated"),
        *("0.900", "0.9900", "0.800", "0.50°", "75 %", "2.00"),
    ]


def test_random_weights_are_marked_where_they_stood_in() -> None:
    cells = row(report(random_weights=True, retrieval="loftr", score="calibrated"))
    assert cells[1] == "loftr\\*" and cells[3] == "calibrated"
    assert "Random weights" in table([report(random_weights=True, score="paper")])
    assert "Random weights" not in table([report(random_weights=True)])


def test_one_swap_from_either_path_is_nearly_pure() -> None:
    paper = {"field": "mlp", "retrieval": "loftr", "refine": "adam", "score": "paper"}
    assert nearly_pure(report()) and nearly_pure(report(**paper)) and nearly_pure(report(retrieval="resnet50"))
    assert nearly_pure(report(**{**paper, "field": "voxel"}))
    assert not nearly_pure(report(field="mlp", refine="adam"))


def test_a_training_that_no_longer_learns_never_gets_there() -> None:
    curve = [Point(1, 1.0, 20.0), Point(2, 2.0, 20.0)]
    assert seconds_to(25.0, curve) == (math.inf, True)
    assert seconds_to(19.0, curve) == (1.0, False)


def test_ratios_and_estimates_are_shown() -> None:
    slow = Measured([Point(16, 10.0, 12.0), Point(32, 20.0, 16.0)], 100.0, 50.0, Query(1.0, 2.0, 600.0, 100.0, 1.0))
    quick = Measured([Point(25, 1.0, 25.0), Point(50, 2.0, 35.0)], None, 1.0, Query(0.01, None, 0.2, 0.06, 0.03))
    text = tables(slow, quick, Config())
    assert "| whole query | ≈ 702 s | 0.300 s | 2340× |" in text
    assert "| to 16.0 dB (where the paper's training was stopped) | 20.0 s | 1.00 s | 20× |" in text
    assert "| to 25.0 dB | ≈ 95.1 s | 1.00 s | 95× |" in text
    never = tables(replace(slow, curve=[Point(16, 10.0, 12.0), Point(32, 20.0, 12.0)]), quick, Config())
    assert "| to 25.0 dB | never | 1.00 s | – |" in never
