"""The choice of a score: both kinds are calibrated, written and read in the same way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from pipeline.config import Config
from pipeline.methods import remark_of, run_context, score_method
from scoring.calibration import Calibration
from scoring.scorers import Scorer, calibrate, load_scorer
from scoring.settings import ScoreConfig
from tests.lite0 import need_lite0
from tests.scoring.disc import pair
from utils.checkpoint import load_tensors, save_tensors
from utils.errors import InputError

NORMAL = [pair(seed, False)[:2] for seed in range(4)]


def config(method: Literal["calibrated", "features", "paper", "plain"]) -> Config:
    return Config(backbone="random", device="cpu", score=ScoreConfig(method, size=64, sigma=1.0))


def calibrated(pairs: list, settings: Config) -> Scorer:
    return calibrate(pairs, score_method(settings).make(run_context(settings)), settings.score.false_positive_rate)


def load(path: Path, settings: Config) -> Scorer:
    return load_scorer(path, settings.score, run_context(settings))


@pytest.mark.parametrize("method", ["calibrated", "features", "paper", "plain"])
def test_a_defect_is_above_the_threshold_and_all_comes_back_bit_for_bit(
    method: Literal["calibrated", "features", "paper", "plain"], tmp_path: Path
) -> None:
    if method == "features":
        need_lite0()
    scorer = calibrated(NORMAL, config(method))
    assert load_and_compare(scorer, config(method), tmp_path / "scorer.safetensors") > scorer.threshold
    assert scorer.p_value(scorer.threshold) == pytest.approx(0.05, abs=1e-9)
    assert all(scorer.compare(*normal)[1] < scorer.threshold for normal in NORMAL)


def test_lite0_stands_in_for_the_papers_network_and_the_file_says_so(tmp_path: Path) -> None:
    need_lite0()
    settings, path = replace(config("paper"), backbone="lite0"), tmp_path / "scorer.safetensors"
    scorer = calibrated(NORMAL, settings)
    assert load_and_compare(scorer, settings, path) > scorer.threshold
    assert load_tensors(path)[1]["weights"].startswith("lite0:")
    assert "EfficientNet-Lite0 stood in" in remark_of(settings)
    with pytest.raises(InputError, match=r"made with the weights lite0:.*found the weights random"):
        load(path, config("paper"))


@pytest.mark.parametrize("backbone", ["paper", "lite0", "random"])
def test_scores_whose_network_is_their_own_have_no_stand_in(backbone: Literal["paper", "lite0", "random"]) -> None:
    for method in ("calibrated", "features", "plain"):
        assert remark_of(replace(config(method), backbone=backbone)) == ""


def load_and_compare(scorer: Scorer, settings: Config, path: Path) -> float:
    """The score of a defective pair, the same before and after a file."""
    scorer.save(path)
    again = load(path, settings)
    query, reference, _ = pair(7, True)
    (map_, score), (map_again, score_again) = scorer.compare(query, reference), again.compare(query, reference)
    assert torch.equal(map_, map_again)
    assert score == score_again
    assert (again.threshold, again.p_value(score)) == (scorer.threshold, scorer.p_value(score))
    assert map_.shape == query.shape[:2]
    assert bool((map_ >= 0).all())
    return score


def test_the_papers_file_holds_no_network(tmp_path: Path) -> None:
    path = tmp_path / "scorer.safetensors"
    calibrated(NORMAL[:1], config("paper")).save(path)
    tensors, header = load_tensors(path)
    assert sorted(tensors) == ["confirmed", "numbers", "scores"]
    assert header == {"kind": "paper", "weights": "random"}


def test_other_weights_than_those_of_the_calibration_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scorer.safetensors"
    tensors = Calibration.of([1.0], 0.05).tensors()
    save_tensors(path, tensors, {"kind": "paper", "weights": "6ed6700e361e"})
    with pytest.raises(InputError, match="made with the weights 6ed6700e361e, found the weights random"):
        load(path, config("paper"))


def test_files_of_another_kind_and_no_pairs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scorer.safetensors"
    save_tensors(path, Calibration.of([1.0], 0.05).tensors(), {"kind": "guess"})
    with pytest.raises(InputError, match="unknown kind of score 'guess'"):
        load(path, config("paper"))
    with pytest.raises(ValueError, match="at least one pair"):
        calibrated([], config("calibrated"))


def test_what_no_view_showed_is_not_anomalous() -> None:
    scorer = calibrated(NORMAL, config("calibrated"))
    query, reference, mask = pair(7, True)
    (row, column), seen = mask.nonzero()[0].tolist(), torch.full((64, 64), 3, dtype=torch.uint8)
    known, judged = scorer.compare(query, replace(reference, views_seen=seen))[1], scorer.compare(query, reference)[1]
    assert known == judged > scorer.threshold
    seen[row - 4 : row + 9, column - 4 : column + 9] = 0
    unseen = replace(reference, views_seen=seen)
    anomaly_map, score = scorer.compare(query, unseen)
    assert float(anomaly_map[mask].max()) == 0.0 and score == float(anomaly_map.max()) < scorer.threshold
    assert unseen.unseen is not None and bool(unseen.unseen[mask].all())
    assert unseen.seen_share() == pytest.approx(1 - 169 / float((reference.opacity > 0.5).sum()), abs=1e-6)
    assert unseen.seen_share(4) == 0.0 and reference.seen_share() is None and reference.unseen is None


def test_a_few_unseen_pixels_change_nothing() -> None:
    scorer = calibrated(NORMAL, config("calibrated"))
    query, reference, mask = pair(7, True)
    seen = torch.ones(64, 64, dtype=torch.uint8)
    seen[tuple(mask.nonzero()[12].tolist())] = 0
    few = replace(reference, views_seen=seen)
    assert few.seen_share() == 1.0 and few.unseen is None
    assert torch.equal(scorer.compare(query, few)[0], scorer.compare(query, reference)[0])
