"""The table of parts against single photos."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.measure.parts import Outcome, auroc_with_interval, section_of, verdict_row


def outcome(specimen: str, kind: str, score: float, **other) -> Outcome:
    values = {"found": score > 1, "named": None, "confirmed": 0, "shown": 1, "off": None, **other}
    return Outcome(specimen, kind, (score, 2.0, score, -score), **values)


def test_auroc_counts_pairs_and_resamples_specimens() -> None:
    random = np.random.default_rng(0)
    outcomes = [outcome(f"good/{number // 2}", "good", float(random.normal())) for number in range(20)]
    outcomes += [outcome(f"Burrs/{number // 2}", "Burrs", float(random.normal() + 1)) for number in range(16)]
    good, bad = ([one.scores[0] for one in outcomes if (one.kind == "good") == kind] for kind in (True, False))
    expected = np.mean([b > g for b, g in itertools.product(bad, good)])
    value, low, high = auroc_with_interval(outcomes, 0)
    assert value == pytest.approx(expected) and low < value < high
    assert auroc_with_interval(outcomes, 1)[0] == 0.5  # all tied
    assert auroc_with_interval(outcomes, 3)[0] == pytest.approx(1 - expected)
    assert np.isnan(auroc_with_interval(outcomes[:20], 0)[0])
    twins = [one for one in outcomes for _ in range(3)]  # more parts of the same specimens tell no more
    assert auroc_with_interval(twins, 0) == pytest.approx((value, low, high), abs=0.03)


def test_verdicts_count_defects_that_show() -> None:
    outcomes = [outcome("good/0", "good", 0.5, shown=0), outcome("good/1", "good", 1.5, shown=0)]
    outcomes += [outcome("Stains/0", "Stains", 3.0, named="colour", confirmed=2, shown=3, off=0.1)]
    outcomes += [outcome("Burrs/0", "Burrs", 2.0, named="colour", confirmed=1, shown=1, off=0.3)]
    outcomes += [outcome("Missing/0", "Missing", 0.1), outcome("Missing/1", "Missing", 0.1, shown=0)]
    row = verdict_row("toy", 2, outcomes)
    assert row == ["toy", "2", "50 % of 2", "67 % of 3", "50 %", "1.5", "2.0", "0.200"]
    text = section_of({"toy": {2: outcomes}}, "here.")
    assert text.startswith("## Parts\n\n`python -m bench.measure.parts` on toy: here.") and "| toy" in text
