"""benchmark.py with the worked example: cells, failures, plan, imported maps, and Ray beside this process."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import benchmark
from bench.cells import Cell, Protocol, read_outcome
from bench.imported_maps import import_maps, read_foreign_map
from bench.lock import LOCK, Occupied, locked
from bench.run_cell import run_cell
from evaluation.results import anomaly_map_path
from tests.mad_folder import write_object
from utils.errors import InputError
from utils.images import read_map

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = f"{ROOT / 'examples/nearest_view.py'}:NearestView"
FAULTY = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
from baselines.protocol import Method

@dataclass(frozen=True)
class NoConfig:
    marker: str = ""

class {name}(Method[NoConfig]):
    Config = NoConfig
    def fit(self, views):
        {fit}
    def predict(self, image):
        return image.mean(-1), float(image.mean())
    def tensors(self):
        import torch
        return {{"nothing": torch.zeros(1)}}
    def restore(self, tensors):
        pass
"""


@pytest.fixture
def protocol(tmp_path: Path) -> Protocol:
    for name in ("01Ball", "02Cube"):
        write_object(tmp_path / "data" / name, views=10)
    return Protocol(str(tmp_path / "data"), str(tmp_path / "out"), quiet=True, device="cpu", held_out_every=3)


def words(protocol: Protocol, *more: str) -> list[str]:
    return [
        *("--data_dir", protocol.data_dir, "--output_dir", protocol.output_dir, "--held_out_every", "3"),
        *("--device", "cpu", "--quiet", *more),
    ]


def own_method(folder: Path, name: str, fit: str) -> str:
    path = folder / f"{name.lower()}.py"
    path.write_text(FAULTY.format(name=name, fit=fit))
    return f"{path}:{name}"


def test_a_twelfth_method_enters_the_table_by_one_file(protocol: Protocol, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(words(protocol, "--methods", EXAMPLE, "--seeds", "2")) == 0
    assert "cells=4 failed=0" in capsys.readouterr().out
    folder = Path(protocol.output_dir)
    assert "NearestView" in (folder / "table.md").read_text() and (folder / "index.html").is_file()
    results = folder / "01Ball/NearestView/seed1/results.json"
    before = results.stat().st_mtime_ns
    assert benchmark.main(words(protocol, "--methods", EXAMPLE, "--seeds", "2")) == 0
    assert results.stat().st_mtime_ns == before
    assert benchmark.main(words(protocol, "--methods", EXAMPLE, "--seeds", "2", "--overwrite")) == 0
    assert results.stat().st_mtime_ns != before


def test_a_missing_package_fails_its_method_alone(protocol: Protocol, tmp_path: Path) -> None:
    outcome = run_cell(Cell("01Ball", own_method(tmp_path, "Lacking", "import no_such_package"), 0, protocol))
    assert "needs the package no_such_package" in outcome.failure and ".[benchmark]" in outcome.failure


def test_a_failed_cell_is_told_and_stops_no_other(
    protocol: Protocol, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = own_method(tmp_path, "Broken", "raise RuntimeError('no <luck>')")
    assert benchmark.main(words(protocol, "--methods", broken, EXAMPLE)) == 1
    assert "Broken/seed0: RuntimeError: no <luck>" in capsys.readouterr().err
    table = (Path(protocol.output_dir) / "table.md").read_text()
    assert "luck" in table and "NearestView" in table
    assert benchmark.main(words(protocol, "--methods", broken, EXAMPLE, "--dry_run")) == 0
    plan = capsys.readouterr().out
    assert plan.count("failed before") == 2 and plan.count(" done ") == 2 and "2 of 4 cells to run" in plan


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--methods", "patchcor"], "did you mean patchcore"),
        (["--objects", "01Bal"], "did you mean 01Ball"),
        (["--methods", EXAMPLE, "--set", "NearestView.sizes=3"], "did you mean size"),
        (["--methods", EXAMPLE, "--set", "NearestView.size=big"], "must be of type int"),
        (["--methods", EXAMPLE, "--seeds", "0"], "at least 1"),
        (["--methods", EXAMPLE, "--import_maps", "other"], "NAME=DIR"),
    ],
)
def test_wrong_words_are_one_sentence_before_any_work(protocol: Protocol, wrong: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        benchmark.main(words(protocol, *wrong))


def test_a_setting_of_a_method_can_be_changed(protocol: Protocol) -> None:
    assert (
        benchmark.main(words(protocol, "--methods", EXAMPLE, "--objects", "02Cube", "--set", "nearestview.size=9")) == 0
    )
    content = json.loads((Path(protocol.output_dir) / "02Cube/NearestView/seed0/results.json").read_text())
    assert content["config"]["settings"] == {"size": 9}


def test_maps_of_another_program_score_as_our_own(protocol: Protocol, tmp_path: Path) -> None:
    own = run_cell(Cell("01Ball", EXAMPLE, 0, protocol))
    assert own.report is not None
    shutil.copytree(own.cell.folder / "anomaly_maps", tmp_path / "foreign/01Ball/anomaly_maps")
    scores = {query.name: query.anomaly_score for query in own.report.queries}
    (tmp_path / "foreign/01Ball/scores.json").write_text(json.dumps(scores))
    cell = Cell("01Ball", "Elsewhere", 0, protocol)
    found = import_maps(cell, tmp_path / "foreign")
    assert found.failure == "" and found.report is not None
    for name in ("image_auroc", "pixel_auroc", "aupro"):
        assert getattr(found.report.evaluation.overall, name) == getattr(own.report.evaluation.overall, name)
    assert found.report.evaluation.overall.image_f1 is None and found.report.threshold is None
    again = read_outcome(cell).report
    assert again is not None and again.evaluation == found.report.evaluation
    (tmp_path / "foreign/01Ball/anomaly_maps/test/good/0.tiff").unlink()
    assert "1 are missing (good/0)" in import_maps(cell, tmp_path / "foreign").failure


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.full((3, 3), np.nan, np.float32), "finite"),
        (np.zeros((3, 3, 3), np.float32), "one channel"),
        (np.zeros((3, 3), np.complex64), "numbers"),
    ],
)
def test_a_foreign_map_must_be_a_map(tmp_path: Path, values: np.ndarray, sentence: str) -> None:
    tifffile.imwrite(tmp_path / "map.tiff", values)
    with pytest.raises(InputError, match=sentence):
        read_foreign_map(tmp_path / "map.tiff")


def test_a_broken_tiff_is_one_sentence(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "map.tiff", np.zeros((30, 30), np.float32))
    content = (tmp_path / "map.tiff").read_bytes()
    for length in (0, 4, 60, 300, len(content) // 2):
        (tmp_path / "map.tiff").write_bytes(content[:length])
        with pytest.raises(InputError):
            read_foreign_map(tmp_path / "map.tiff")


def test_a_cell_is_done_by_one_process_at_a_time(protocol: Protocol) -> None:
    cell = Cell("01Ball", EXAMPLE, 0, protocol)
    with locked(cell.folder):
        outcome = run_cell(cell)
        assert outcome.report is None and outcome.failure == ""
        with pytest.raises(Occupied, match=str(os.getpid())), locked(cell.folder):
            pass
    (cell.folder / LOCK).write_text(json.dumps({"host": os.uname().nodename, "pid": 2**22 + 1}))  # nobody's
    assert run_cell(cell).report is not None and not (cell.folder / LOCK).exists()


@pytest.mark.slow
def test_ray_on_two_nodes_gives_what_this_process_gives(
    protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from bench.engines import in_process, loopback_only, on_ray

    monkeypatch.setenv("RAY_worker_niceness", "0")  # else whatever else the machine does comes first
    loopback_only()
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    marker = tmp_path / "killed once"
    step = "\n        "
    die = step.join(
        [
            f"p = Path({str(marker)!r})",
            "if not p.exists():",
            "    p.touch()",
            "    os.kill(os.getpid(), signal.SIGKILL)",
        ]
    )
    dying = own_method(tmp_path, "Dying", die)
    cells = [Cell(name, method, 0, protocol) for name in ("01Ball", "02Cube") for method in (EXAMPLE, dying)]
    node = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **node})
    try:
        cluster.add_node(**node)
        assert cluster.address.startswith("127.0.0.1:")
        outcomes = {outcome.cell: outcome for outcome in on_ray(cells, cluster.address)}
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert marker.exists() and set(outcomes) == set(cells)
    for cell in in_process(
        [replace(cell, protocol=replace(protocol, output_dir=str(tmp_path / "alone"))) for cell in cells]
    ):
        there = outcomes[replace(cell.cell, protocol=protocol)]
        assert there.failure == "" and there.report is not None and cell.report is not None
        assert there.report.evaluation == cell.report.evaluation
        for query in cell.report.queries:
            maps = [read_map(anomaly_map_path(each.cell.folder, query.name)) for each in (cell, there)]
            assert torch.equal(*maps)


def test_files_that_a_task_sends_back_stay_in_the_cells_folder(protocol: Protocol) -> None:
    from bench.engines import write_files

    cell = Cell("01Ball", EXAMPLE, 0, protocol)
    write_files(cell, {"results.json": b"{}", "anomaly_maps/test/good/0.tiff": b"map"})
    assert (cell.folder / "anomaly_maps/test/good/0.tiff").read_bytes() == b"map"
    with pytest.raises(InputError, match="outside"):
        write_files(cell, {"../../results.json": b""})
