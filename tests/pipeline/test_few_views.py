"""Few views: trained on all of them, each held out once; what they did not show is said and not judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import anomaly_nerf_lego
import auroc_test
import detect
from pipeline.held_out import HeldOut
from tests.test_end_to_end import words
from tests.world import write_world


@pytest.mark.slow
@pytest.mark.parametrize("views", [4, 10])
def test_few_views_give_a_result_that_says_what_was_seen(
    views: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_world(tmp_path / "data/balls", queries=1)
    few = ("--view_split", "few_shot", "--few_shot_views", str(views))
    assert anomaly_nerf_lego.main(words(tmp_path, *few)) == 0
    said = capsys.readouterr()
    assert f"has {views} training views, too few to hold some out" in said.err
    assert f"was learned from {views} views; its 95 % interval" in said.err
    assert f"balls {views} views show " in said.out
    record = json.loads((tmp_path / "ckpts/balls/training.json").read_text())
    assert record["trained_views"] == views and 0 <= record["surface_seen"][1] <= record["surface_seen"][0] <= 1
    assert auroc_test.main(words(tmp_path, *few)) == 0
    results = json.loads((tmp_path / "output/balls/results.json").read_text())
    assert all(0 <= query["seen_share"] <= 1 for query in results["queries"])
    low, high = results["threshold_ci"]
    assert low < results["threshold"] < high and results["surface_seen"] == record["surface_seen"]
    assert "Seen of the queries" in (tmp_path / "output/balls/report.html").read_text()
    assert detect.main(words(tmp_path, str(tmp_path / "data/balls/test/good/0.png"))) in (0, 1)
    (line,) = (tmp_path / "output/balls/detect/detections.jsonl").read_text().splitlines()
    share, warned = json.loads(line)["seen_share"], "was seen in training" in capsys.readouterr().err
    assert warned == (share < 0.9)


def test_an_interrupted_calibration_trains_the_fields_that_judge_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_world(tmp_path / "data/balls", queries=1)
    few = ("--view_split", "few_shot", "--few_shot_views", "5", "--field_steps", "60")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(HeldOut, "references", stop)
        anomaly_nerf_lego.main(words(tmp_path, *few))
    field = (tmp_path / "ckpts/balls/field.safetensors").stat().st_mtime_ns
    assert anomaly_nerf_lego.main(words(tmp_path, *few)) == 0
    assert (tmp_path / "ckpts/balls/field.safetensors").stat().st_mtime_ns == field
    assert (tmp_path / "ckpts/balls/calibration.safetensors").is_file()
