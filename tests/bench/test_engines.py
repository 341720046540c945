"""Engines without a cluster: tasks, and runs that another process is doing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import engines
from bench.config import BenchmarkConfig
from bench.runs import Run, RunResult, lock_of, read_result
from tests.mad_folder import write_object

EXAMPLE = f"{Path(__file__).resolve().parent.parent.parent / 'examples/nearest_view.py'}:NearestView"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_object(tmp_path / "data/01Ball", views=10)
    config = BenchmarkConfig(str(tmp_path / "data"), str(tmp_path / "out"), quiet=True, device="cpu", val_every=3)
    return Run("01Ball", EXAMPLE, 0, config)


def test_a_task_does_its_run_in_the_shared_folder(run: Run) -> None:
    threads = torch.get_num_threads()
    try:
        with lock_of(run):
            assert engines.execute_task(run, threads) is None
        assert engines.execute_task(run, threads) == ""
    finally:
        torch.set_num_threads(threads)
    assert read_result(run).report is not None


def test_a_machine_that_does_not_share_the_folder_is_reported(run: Run) -> None:
    ray = SimpleNamespace(get=lambda ended: ended, exceptions=SimpleNamespace(RayError=OSError))
    result = engines.task_result(ray, "", run)
    assert "does not share" in result.failure and read_result(run).failure == result.failure
    assert engines.task_result(ray, None, run).pending
    assert engines.task_result(ray, "It failed.", run).failure == "It failed."


def test_runs_of_other_processes_are_waited_for_and_come_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, asked = [replace(run, seed=seed) for seed in range(3)], []

    def busy_twice(one: Run) -> RunResult:
        asked.append(one.seed)
        return RunResult(one) if one.seed == 1 and asked.count(1) <= 2 else RunResult(one, failure="told")

    monkeypatch.setattr(engines, "execute", busy_twice)
    monkeypatch.setattr(engines, "POLL_SECONDS", 0.0)
    assert [result.run.seed for result in engines.in_process(runs)] == [0, 2, 1]
    assert asked == [0, 1, 2, 1, 1]


def test_paths_hold_in_any_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    near = replace(run, method="own.py:Own", config=BenchmarkConfig("data", "out"))
    far = engines.absolute(near)
    assert far.method == f"{tmp_path / 'own.py'}:Own" and far.folder == tmp_path / "out/01Ball/Own/seed0"
    assert engines.absolute(replace(near, method="PatchCore")).method == "PatchCore"
