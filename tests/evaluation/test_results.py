"""The results file: its keys, its way back, and what becomes of a broken one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluation.metrics import evaluate
from evaluation.results import (
    ObjectReport,
    QueryResult,
    anomaly_map_path,
    query_seconds,
    read_results,
    report_to_json,
    verdict_at,
    write_results,
)
from utils.device import environment


def small_report(labelled: bool = True) -> ObjectReport:
    pose = torch.linspace(0, 1, 16).reshape(4, 4) / 3
    rows = [("good/0", 0.1), ("good/10", 0.7), ("Burrs/2", 0.9), ("Stains/0", 1 / 3)]
    queries = [
        QueryResult(
            name if labelled else f"photos/{index}",
            score,
            verdict_at(score, 0.5),
            pose_found=index != 3,
            camera_to_world=pose if index != 3 else None,
            seconds=0.1 * (index + 1),
            defect_type=name.split("/")[0] if labelled else None,
            stage_seconds={"refine": 0.05 * (index + 1), "render": 0.01},
        )
        for index, (name, score) in enumerate(rows)
    ]
    truth = {"good/0": pose, "Burrs/2": pose}
    return ObjectReport(
        object_name="toy",
        threshold=0.5,
        evaluation=evaluate(queries, 0.5, true_poses=truth if labelled else None),
        queries=tuple(queries),
        psnr=39.5 if labelled else None,
        seconds={"train": 20.0, "gallery": 1.0, "calibrate": 2.0},
        config={"image_size": 400, "seed": 0},
        environment={"python": "3.11"},
        remark="Three queries were left out.",
    )


def test_the_file_has_the_keys_that_others_build_on() -> None:
    content = report_to_json(small_report())
    assert {
        "object_name",
        "image_auroc",
        "image_auroc_ci",
        "pixel_auroc",
        "aupro",
        "image_f1",
        "fpr",
        "remark",
        "threshold",
        "per_defect",
        "psnr",
        "pose",
        "seconds",
        "queries",
        "config",
        "environment",
    } <= set(content)
    assert set(content["per_defect"]) == {"Burrs", "Stains"}
    assert set(content["pose"]) == {"rotation_deg", "translation", "found", "within"}
    assert set(content["pose"]["rotation_deg"]) == {"median", "p90", "max"}
    assert set(content["seconds"]) == {"train", "gallery", "calibrate", "query_median", "query_p90", "stages"}
    keys = {"name", "defect_type", "anomaly_score", "p_value", "verdict", "pose_found", "pose_confidence", "seen_share"}
    keys |= {"camera_to_world", "seconds", "stage_seconds"}
    assert set(content["queries"][0]) == keys


@pytest.mark.parametrize("labelled", [True, False])
def test_reading_gives_back_what_was_written(tmp_path: Path, labelled: bool) -> None:
    report = small_report(labelled)
    write_results(tmp_path / "toy" / "results.json", report)
    again = read_results(tmp_path / "toy" / "results.json")
    assert report_to_json(again) == report_to_json(report)
    assert again.evaluation == report.evaluation
    pose = again.queries[0].camera_to_world
    assert pose is not None and torch.equal(pose, report.queries[0].camera_to_world)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["results.json"]


def test_a_number_json_cannot_say_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, small_report())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="psnr is NaN or infinite"):
        write_results(path, replace(small_report(), psnr=math.inf))
    assert path.read_bytes() == before


def test_missing_truncated_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(FileNotFoundError, match="run auroc_test"):
        read_results(path)
    write_results(path, small_report())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a JSON file"):
        read_results(path)
    older = report_to_json(small_report())
    del older["remark"]
    labelled = report_to_json(small_report())
    labelled["queries"][0]["label"] = labelled["queries"][0].pop("defect_type")
    for foreign in ({"object_name": "toy"}, [1, 2], older, labelled):
        path.write_text(json.dumps(foreign))
        with pytest.raises(ValueError, match=r"no results file of this version .* --overwrite"):
            read_results(path)


def test_query_seconds_are_a_median_and_a_high_percentile_of_each_stage() -> None:
    spent = query_seconds(small_report().queries)
    assert spent["query_median"] == pytest.approx(0.25)
    assert spent["query_p90"] == pytest.approx(0.37)
    assert spent["stages"] == {"refine": pytest.approx(0.125), "render": pytest.approx(0.01)}


def test_map_paths_follow_the_test_folder_and_never_leave_it(tmp_path: Path) -> None:
    assert anomaly_map_path(tmp_path, "Burrs/10") == tmp_path / "anomaly_maps" / "test" / "Burrs" / "10.tiff"
    assert anomaly_map_path(tmp_path, "good/a.b").name == "a.b.tiff"
    for name in ("../0", "/etc/0", "good/../../0", ""):
        with pytest.raises(ValueError, match="query name"):
            anomaly_map_path(tmp_path, name)


def test_environment_can_be_written_and_names_the_machine() -> None:
    found = environment("cpu")
    json.dumps(found, allow_nan=False)
    assert found["torch"] == torch.__version__ and found["device"] == "cpu" and found["cores"] >= 1
    assert {"python", "numpy", "cpu", "threads", "commit", "date"} <= set(found)


def test_the_seen_share_of_the_queries_is_averaged_where_it_is_known(tmp_path: Path) -> None:
    report = small_report()
    first, second, *others = report.queries
    seen = [replace(first, seen_share=0.4), replace(second, seen_share=1.0), *others]
    report = replace(report, queries=seen, threshold_ci=(0.2, 0.9), surface_seen=(0.7, 0.4))
    assert report_to_json(report)["seen_share"] == pytest.approx(0.7)
    assert report_to_json(small_report())["seen_share"] is None
    write_results(tmp_path / "results.json", report)
    again = read_results(tmp_path / "results.json")
    assert again.threshold_ci == (0.2, 0.9) and again.surface_seen == (0.7, 0.4)
    assert [query.seen_share for query in again.queries[:2]] == [0.4, 1.0]
