"""Ranks and their tests, against scipy, against Demšar's own example, and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, rankdata, wilcoxon

from bench.ranks import critical_difference, friedman, groups_alike, rank_methods, ranks_of, sentences

# Demšar (2006), table 6: AUROC of four classifiers on 14 data sets, and the average ranks that he prints.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip


def test_the_example_of_the_paper_that_proposed_it() -> None:
    ranks = ranks_of(DEMSAR).mean(0)
    assert np.round(ranks, 3) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=2e-3)


@pytest.mark.parametrize("methods", [3, 5, 8])
def test_friedman_is_scipys(methods: int) -> None:
    values = np.random.default_rng(methods).integers(0, 6, (9, methods)) / 10.0  # with ties
    found = friedman(values)
    expected = friedmanchisquare(*values.T)
    assert found is not None and found == pytest.approx((expected.statistic, expected.pvalue))


def test_two_methods_have_a_test_and_equal_ones_none() -> None:
    ahead = np.stack([np.linspace(0.6, 0.9, 12), np.linspace(0.5, 0.8, 12)], axis=1)
    found = friedman(ahead)
    assert found is not None and found[1] < 0.001 and wilcoxon(*ahead.T).pvalue < 0.001
    assert friedman(np.ones((5, 3))) is None


def test_ranks_by_hand() -> None:
    values = np.random.default_rng(0).integers(0, 4, (6, 5)) / 4.0
    slow = [[1 + sum(b > a for b in row) + (sum(b == a for b in row) - 1) / 2 for a in row] for row in values]
    assert np.array_equal(ranks_of(values), slow)
    assert np.array_equal(ranks_of(values), rankdata(-values, axis=1))


def test_groups_by_trying_all() -> None:
    noise = np.random.default_rng(3)
    for _ in range(50):
        ordered = np.sort(noise.uniform(1, 6, 7)).tolist()
        fits = [(i, j) for i, j in itertools.combinations(range(7), 2) if ordered[j] - ordered[i] < 1.2]
        largest = [(i, j) for i, j in fits if not any((a, b) != (i, j) and a <= i and j <= b for a, b in fits)]
        assert groups_alike(ordered, 1.2) == largest


def test_objects_that_not_all_have_do_not_count_and_poor_methods_are_left_out() -> None:
    scores = {
        "A": {"x": 0.9, "y": 0.8, "z": 0.7, "w": 0.6},
        "B": {"x": 0.8, "y": 0.9, "z": 0.6},
        "C": {"x": 1.0},
    }
    ranking = rank_methods("Pixel AUROC", scores)
    assert list(ranking.methods) == ["A", "B"] and list(ranking.objects) == ["x", "y", "z"]
    assert list(ranking.left_out) == ["C"] and ranking.ranks == pytest.approx([4 / 3, 5 / 3])
    told = " ".join(sentences(ranking))
    assert "does not reject" in told and "rough" in told and "Left out" in told and "C" in told
    assert ranking.ordered[0][0] == "A"


def test_nothing_is_tested_of_too_few() -> None:
    few = rank_methods("Image AUROC", {"A": {"x": 0.9}, "B": {"x": 0.8}})
    assert few.ranks == [1.0, 2.0] and few.p is None and "Too few" in sentences(few)[1]
    assert rank_methods("Image AUROC", {}).ranks == []
    equal = rank_methods("Image AUROC", {name: dict.fromkeys("xyz", 0.5) for name in "AB"})
    assert "nothing to test" in sentences(equal)[1]
