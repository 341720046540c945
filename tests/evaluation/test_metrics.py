"""Metrics against scikit-learn, a slow obvious twin, and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score as sklearn_f1
from sklearn.metrics import roc_auc_score

from evaluation import aupimo, metrics, pixel_metrics
from evaluation.results import QueryResult, verdict_at
from utils.camera import look_at


def detection(name: str, score: float, pose: torch.Tensor | None = None, found: bool = True) -> QueryResult:
    label = name.split("/")[0]
    return QueryResult(name, score, verdict_at(score, 0.5), found, pose, 0.1, None if label == "photo" else label)


def toy_set(seed: int, levels: int | None = None, size: int = 24) -> tuple[dict, dict, dict]:
    """Maps, masks and labels of a small test folder; ``levels`` rounds the maps so that values tie."""
    generator = torch.Generator().manual_seed(seed)
    maps, masks, labels = {}, {}, {}
    for label, count in (("good", 3), ("Burrs", 3), ("Stains", 2)):
        for index in range(count):
            name = f"{label}/{index}"
            anomaly_map = torch.rand(size, size, generator=generator)
            mask = torch.zeros(size, size, dtype=torch.bool)
            if label != "good":
                for _ in range(3):
                    y, x = torch.randint(0, size - 6, (2,), generator=generator).tolist()
                    h, w = torch.randint(1, 6, (2,), generator=generator).tolist()
                    mask[y : y + h, x : x + w] = True
                anomaly_map = anomaly_map + 0.4 * mask
            maps[name] = anomaly_map if levels is None else (anomaly_map * levels).round() / levels
            masks[name], labels[name] = mask, label
    return maps, masks, labels


def flood_fill_regions(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """8-connected parts, the slow obvious way."""
    left = set(zip(*map(list, np.nonzero(mask)), strict=True))
    parts = []
    while left:
        part, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            part.add((y, x))
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= around
            front.extend(around)
        parts.append(part)
    return parts


def slow_aupro(maps: dict, masks: dict, limit: float = 0.3) -> float:
    """AUPRO as it is defined: a threshold at every value that occurs, the mean overlap of all regions at each."""
    names = list(maps)
    regions = [(name, part) for name in names for part in flood_fill_regions(masks[name].numpy())]
    normal = torch.cat([maps[name][~masks[name]] for name in names])
    points = [(0.0, 0.0)]
    for threshold in torch.cat([m.reshape(-1) for m in maps.values()]).unique().flip(0):
        fpr = float((normal >= threshold).double().mean())
        covered = [np.mean([bool(maps[name][y, x] >= threshold) for y, x in part]) for name, part in regions]
        points.append((fpr, float(np.mean(covered))))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x1 > limit:
            if x0 < limit:
                y1, x1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0), limit
            else:
                break
        area += 0.5 * (x1 - x0) * (y0 + y1)
    return area / limit


def pixel_areas(maps: dict, masks: dict, labels: dict, kinds: list[str]) -> tuple[float | None, float | None]:
    counts = pixel_metrics.count_pixels(labels, maps.__getitem__, lambda name: masks[name])
    assert counts is not None
    return counts.areas(kinds)


@pytest.mark.parametrize("levels", [None, 4, 40])
@pytest.mark.parametrize("kinds", [["Burrs"], ["Stains"], ["Burrs", "Stains"]])
def test_pixel_auroc_equals_scikit_learn_with_and_without_ties(levels: int | None, kinds: list[str]) -> None:
    maps, masks, labels = toy_set(1, levels)
    names = [name for name, label in labels.items() if label in (*kinds, "good")]
    expected = roc_auc_score(
        torch.cat([masks[name].reshape(-1) for name in names]).numpy(),
        torch.cat([maps[name].reshape(-1) for name in names]).numpy(),
    )
    assert pixel_areas(maps, masks, labels, kinds)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("levels", [None, 4, 40])
@pytest.mark.parametrize("kinds", [["Burrs"], ["Burrs", "Stains"]])
def test_aupro_equals_its_slow_twin(levels: int | None, kinds: list[str]) -> None:
    maps, masks, labels = toy_set(2, levels, size=12)
    names = [name for name, label in labels.items() if label in (*kinds, "good")]
    expected = slow_aupro({name: maps[name] for name in names}, {name: masks[name] for name in names})
    assert pixel_areas(maps, masks, labels, kinds)[1] == pytest.approx(expected, abs=1e-12)


def test_perfect_inverted_and_constant_maps() -> None:
    _, masks, labels = toy_set(3)
    kinds = ["Burrs", "Stains"]
    perfect = {name: mask.float() for name, mask in masks.items()}
    assert pixel_areas(perfect, masks, labels, kinds) == (pytest.approx(1.0), pytest.approx(1.0))
    inverted = {name: 1.0 - values for name, values in perfect.items()}
    assert pixel_areas(inverted, masks, labels, kinds) == (pytest.approx(0.0), pytest.approx(0.0))
    constant = {name: torch.ones_like(values) for name, values in perfect.items()}
    auroc, aupro = pixel_areas(constant, masks, labels, kinds)
    assert auroc == pytest.approx(0.5)
    assert aupro == pytest.approx(0.15)  # the diagonal's mean height up to 0.3


def test_pixel_figures_ignore_order_and_monotone_scaling() -> None:
    maps, masks, labels = toy_set(4)
    first = pixel_areas(maps, masks, labels, ["Burrs", "Stains"])
    backwards = {name: labels[name] for name in reversed(labels)}
    cubed = {name: values.double().pow(3).float() * 7 - 2 for name, values in maps.items()}
    assert pixel_areas(maps, masks, backwards, ["Stains", "Burrs"]) == pytest.approx(first, abs=1e-12)
    assert pixel_areas(cubed, masks, labels, ["Burrs", "Stains"]) == pytest.approx(first, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.integers(-1, 10),
)
def test_image_figures_equal_scikit_learn(defective: list[int], good: list[int], threshold: int) -> None:
    values = np.array(defective, dtype=float), np.array(good, dtype=float)
    labels, scores = [1] * len(defective) + [0] * len(good), [*defective, *good]
    assert metrics.image_auroc(*values) == pytest.approx(roc_auc_score(labels, scores))
    expected = sklearn_f1(labels, [score > threshold for score in scores], zero_division=0.0)
    assert metrics.f1_score(*values, threshold) == pytest.approx(expected)


def test_evaluate_tells_kinds_apart_and_counts_unlabelled_queries_for_nothing() -> None:
    rows = {"good": [0.1, 0.2, 0.6], "Burrs": [0.15, 0.9], "Stains": [0.7, 0.8], "photo": [0.9]}
    found = metrics.evaluate([detection(f"{k}/{i}", s) for k, v in rows.items() for i, s in enumerate(v)], 0.5)
    assert list(found.per_defect) == ["Burrs", "Stains"]
    assert found.overall.queries == 4
    assert found.overall.image_auroc == pytest.approx(10 / 12)
    assert found.per_defect["Burrs"].image_auroc == pytest.approx(4 / 6)
    assert found.per_defect["Stains"].image_auroc == 1.0
    assert found.overall.fpr == found.per_defect["Burrs"].fpr == pytest.approx(1 / 3)
    assert found.per_defect["Burrs"].recall == 0.5
    assert found.per_defect["Burrs"].image_f1 == pytest.approx(0.5)
    assert found.overall.pixel_auroc is None and found.overall.aupro is None


@pytest.mark.parametrize("label", ["good", "Burrs", "photo"])
def test_one_class_alone_gives_none_and_no_half(label: str) -> None:
    found = metrics.evaluate([detection(f"{label}/{i}", i / 4) for i in range(4)], 0.5).overall
    assert found.image_auroc is None and found.image_auroc_ci is None and found.image_f1 is None
    assert found.fpr == (0.25 if label == "good" else None)
    assert found.recall == (0.25 if label == "Burrs" else None)


def test_no_good_queries_still_gives_pixel_figures_and_no_defects_give_none() -> None:
    maps, masks, labels = toy_set(5)
    only = [detection(name, 0.3) for name, label in labels.items() if label != "good"]
    assert metrics.evaluate(only, 0.5, maps.__getitem__, masks.get).overall.pixel_auroc is not None
    good = [detection(name, 0.3) for name, label in labels.items() if label == "good"]
    assert metrics.evaluate(good, 0.5, maps.__getitem__, masks.get).overall.pixel_auroc is None


def slow_bootstrap(groups: list, good: np.ndarray, count: int) -> np.ndarray:
    random, areas = np.random.default_rng(99), []
    for _ in range(count):
        again = np.concatenate([random.choice(values, len(values)) for values in groups])
        areas.append(metrics.image_auroc(again, random.choice(good, len(good))))
    return np.quantile(areas, [0.025, 0.975])


def test_bootstrap_is_seeded_and_agrees_with_resampling_one_by_one() -> None:
    random = np.random.default_rng(0)
    groups, good = [random.normal(1.0, 1.0, 20), random.normal(2.0, 1.0, 15)], random.normal(0.0, 1.0, 25)
    first = metrics.bootstrap_intervals(groups, good, 0.5, seed=3)
    assert first == metrics.bootstrap_intervals(groups, good, 0.5, seed=3)
    assert first != metrics.bootstrap_intervals(groups, good, 0.5, seed=4)
    assert first["image_auroc_ci"] == pytest.approx(slow_bootstrap(groups, good, 500), abs=0.03)
    low, high = first["fpr_ci"]
    assert low < np.mean(good > 0.5) < high
    low, high = first["image_f1_ci"]
    assert low < metrics.f1_score(np.concatenate(groups), good, 0.5) < high


def test_mask_at_twice_the_size_is_taken_by_the_nearest_pixel() -> None:
    small = torch.rand(6, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    large = small.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(pixel_metrics.fit_mask(large, 6, 8, "m"), small)
    assert torch.equal(pixel_metrics.fit_mask(small, 12, 16, "m"), large)
    assert pixel_metrics.fit_mask(torch.ones(451, 800, dtype=torch.bool), 225, 400, "m").all()  # rounded half


def test_mask_of_another_aspect_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match=r"Burrs/0_mask.png: the mask is 8 x 6 pixels.*8 x 8"):
        pixel_metrics.fit_mask(torch.ones(6, 8, dtype=torch.bool), 8, 8, "Burrs/0_mask.png")
    with pytest.raises(ValueError, match="bool"):
        pixel_metrics.fit_mask(torch.ones(6, 8), 6, 8, "m")


def test_some_masks_missing_or_a_broken_map_is_an_error_that_names_the_query() -> None:
    maps, masks, labels = toy_set(6)
    with pytest.raises(ValueError, match="Burrs/1: no mask"):
        pixel_metrics.count_pixels(labels, maps.__getitem__, lambda name: None if name == "Burrs/1" else masks[name])
    assert pixel_metrics.count_pixels(labels, maps.__getitem__, lambda name: None) is None
    maps["good/2"][0, 0] = math.nan
    with pytest.raises(ValueError, match="good/2: expected a map"):
        pixel_metrics.count_pixels(labels, maps.__getitem__, masks.get)
    with pytest.raises(ValueError, match="Burrs/7: anomaly_score is nan"):
        metrics.evaluate([detection("Burrs/7", math.nan)], 0.5)


def test_psnr_closed_form() -> None:
    image = torch.rand(5, 4, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    assert metrics.psnr(image, image + 0.01) == pytest.approx(40.0, abs=1e-4)
    assert metrics.psnr(image, image) == math.inf


def test_pose_figures_measure_angle_and_distance_and_count_a_lost_query_as_wrong() -> None:
    truth = look_at(torch.tensor([3.0, 0.0, 1.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    turned, moved = truth.clone(), truth.clone()
    angle = math.radians(2.0)
    about_z = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]])
    turned[:3, :3] = about_z @ truth[:3, :3]
    moved[0, 3] += 0.04
    poses = {"good/0": turned, "good/1": moved, "good/2": None, "good/3": truth}
    queries = [detection(name, 0.0, pose, found=pose is not None) for name, pose in poses.items()]
    figures = metrics.pose_metrics(queries, dict.fromkeys(poses, truth))
    assert figures.found == 0.75 and figures.within == 0.5
    assert figures.rotation_deg is not None and figures.translation is not None
    assert figures.rotation_deg.max == pytest.approx(2.0, abs=1e-3)
    assert figures.translation.max == pytest.approx(0.04, abs=1e-6)
    assert figures.translation.median == pytest.approx(0.0, abs=1e-6)
    assert metrics.pose_metrics(queries).rotation_deg is None


def slow_aupimo(pixels: np.ndarray, good: list[np.ndarray], points: int = 20001) -> float:
    """AUPIMO by the trapezoid rule on many rates, the threshold of each sought among all values of good pixels."""
    values = np.unique(np.concatenate([one.reshape(-1) for one in good]))[::-1]
    rates = np.array([np.mean([(one >= value).mean() for one in good]) for value in values])
    at = np.geomspace(aupimo.LOWER, aupimo.UPPER, points)
    recalls = []
    for rate in at:
        row = int(np.searchsorted(rates, rate))  # the value at which good pixels reach the rate
        before = rates[row - 1] if row else 0.0
        share = (rate - before) / (rates[row] - before)
        recalls.append((1 - share) * (pixels > values[row]).mean() + share * (pixels >= values[row]).mean())
    return float(np.trapezoid(recalls, np.log(at)) / np.log(aupimo.UPPER / aupimo.LOWER))


@pytest.mark.parametrize("levels", [None, 300, 5000])
def test_aupimo_equals_its_slow_twin(levels: int | None) -> None:
    random = np.random.default_rng(6)
    good: list[np.ndarray] = [random.normal(0.0, 1.0, (150, 150 + 20 * index)).astype(np.float32) for index in range(4)]
    pixels: np.ndarray = random.normal(3.5, 1.0, 400).astype(np.float32)
    if levels is not None:
        good, pixels = [(one * levels / 10).round() for one in good], (pixels * levels / 10).round()
    found = aupimo.GoodTail.of(good, len(good)).area(pixels)
    assert 0.1 < found < 0.9
    assert found == pytest.approx(slow_aupimo(pixels, good), abs=2e-4)


def test_aupimo_equals_anomalib() -> None:
    functional = pytest.importorskip("anomalib.metrics.pimo.functional")
    random = np.random.default_rng(7)
    maps = torch.tensor(random.normal(0.0, 1.0, (6, 700, 700)), dtype=torch.float32)
    masks = torch.zeros(6, 700, 700, dtype=torch.bool)
    masks[3:, 50:90, 60:100] = True
    maps[3:] += 3.5 * masks[3:]
    scores, _ = functional.aupimo_scores(maps, masks, num_thresholds=100_000, fpr_bounds=(1e-5, 1e-4))[-2:]
    labels = {f"{'good' if index < 3 else 'Burrs'}/{index}": "good" if index < 3 else "Burrs" for index in range(6)}
    rows = dict(zip(labels, range(6)))
    found = aupimo.image_aupimo(labels, lambda name: maps[rows[name]], lambda name: masks[rows[name]])
    assert list(found.values()) == pytest.approx(
        scores[3:].tolist(), abs=0.005
    )  # whose trapezoids span neighbouring values


def test_aupimo_of_perfect_inverted_and_constant_maps() -> None:
    _, masks, labels = toy_set(3)
    defective = [name for name, label in labels.items() if label != "good"]

    def areas(maps: dict) -> list[float]:
        found = aupimo.image_aupimo(labels, maps.__getitem__, masks.__getitem__)
        assert list(found) == defective
        return list(found.values())

    assert areas({name: mask.float() for name, mask in masks.items()}) == pytest.approx([1.0] * 5)
    assert areas({name: 1.0 - mask.float() for name, mask in masks.items()}) == pytest.approx([0.0] * 5)
    by_chance = (aupimo.UPPER - aupimo.LOWER) / math.log(aupimo.UPPER / aupimo.LOWER)
    assert areas({name: torch.ones(mask.shape) for name, mask in masks.items()}) == pytest.approx([by_chance] * 5)


def test_aupimo_needs_good_queries_and_a_mask() -> None:
    maps, masks, labels = toy_set(8)
    only = {name: label for name, label in labels.items() if label != "good"}
    assert aupimo.image_aupimo(only, maps.__getitem__, masks.__getitem__) == {}
    assert aupimo.image_aupimo(labels, maps.__getitem__, lambda name: None) == {}
