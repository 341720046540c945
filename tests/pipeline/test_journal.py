from __future__ import annotations

from pathlib import Path

import torch

from evaluation.results import QueryResult
from pipeline.journal import Journal
from utils.images import read_map, write_map


def detection(name: str, score: float = 1.5) -> QueryResult:
    pose = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    return QueryResult(name, score, "good", True, pose, 0.25, stage_seconds={"refine": 0.2})


def same(first: QueryResult, second: QueryResult) -> bool:
    assert first.camera_to_world is not None and second.camera_to_world is not None
    equal = torch.equal(first.camera_to_world, second.camera_to_world)
    return equal and {**first.__dict__, "camera_to_world": 0} == {**second.__dict__, "camera_to_world": 0}


def test_interrupted_test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "inputs")
    for name in ("Burrs/0", "good/0"):
        journal.add(detection(name), torch.ones(2, 3))
    with (tmp_path / ".unfinished/detections.jsonl").open("a") as file:
        file.write('{"name": "good/1", "anom')  # cut short
    again = Journal.open(tmp_path, "inputs")
    assert set(again.done) == {"Burrs/0", "good/0"} and same(again.done["good/0"], detection("good/0"))


def test_other_inputs_start_afresh(tmp_path: Path) -> None:
    Journal.open(tmp_path, "inputs").add(detection("good/0"), torch.ones(2, 3))
    assert Journal.open(tmp_path, "inputs").done and not Journal.open(tmp_path, "inputs", afresh=True).done
    Journal.open(tmp_path, "inputs").add(detection("good/0"), torch.ones(2, 3))
    assert not Journal.open(tmp_path, "others").done


def test_last_maps_stay_until_the_new_ones_are_complete(tmp_path: Path) -> None:
    write_map(tmp_path / "anomaly_maps/test/good/0.tiff", torch.zeros(2, 3))
    write_map(tmp_path / "anomaly_maps/test/good/9.tiff", torch.zeros(2, 3))
    journal = Journal.open(tmp_path, "inputs")
    journal.add(detection("good/0"), torch.ones(2, 3))
    assert read_map(tmp_path / "anomaly_maps/test/good/0.tiff").sum() == 0
    assert journal.anomaly_map("good/0").sum() == 6
    journal.publish(tmp_path)
    assert read_map(tmp_path / "anomaly_maps/test/good/0.tiff").sum() == 6
    assert not (tmp_path / "anomaly_maps/test/good/9.tiff").exists() and not (tmp_path / ".unfinished").exists()
