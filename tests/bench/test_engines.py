"""Engines without a cluster: what a task sends back, and cells that another process is doing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import engines
from bench.cells import Cell, Outcome, Protocol, read_outcome
from bench.run_cell import run_cell
from evaluation.results import anomaly_map_path
from tests.mad_folder import write_object
from utils.images import read_map

EXAMPLE = f"{Path(__file__).resolve().parent.parent.parent / 'examples/nearest_view.py'}:NearestView"


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    write_object(tmp_path / "data/01Ball", views=10)
    protocol = Protocol(str(tmp_path / "data"), str(tmp_path / "out"), quiet=True, device="cpu", held_out_every=3)
    return Cell("01Ball", EXAMPLE, 0, protocol)


def test_a_machine_without_the_output_folder_sends_what_one_with_it_writes(cell: Cell, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        answer = engines.do_cell(cell, str(tmp_path / "seen nowhere"), threads)
    finally:
        torch.set_num_threads(threads)
    assert answer is not None and answer[0] == "" and answer[1] is not None and not cell.folder.exists()
    engines.write_files(cell, answer[1])
    alone = run_cell(replace(cell, protocol=replace(cell.protocol, output_dir=str(tmp_path / "alone"))))
    sent = read_outcome(cell)
    assert sent.report is not None and alone.report is not None
    assert sent.report.evaluation == alone.report.evaluation
    for query in alone.report.queries:
        maps = [read_map(anomaly_map_path(one.cell.folder, query.name)) for one in (sent, alone)]
        assert torch.equal(*maps)


def test_cells_of_other_processes_are_waited_for_and_come_once(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, asked = [replace(cell, seed=seed) for seed in range(3)], []

    def busy_twice(one: Cell) -> Outcome:
        asked.append(one.seed)
        return Outcome(one) if one.seed == 1 and asked.count(1) <= 2 else Outcome(one, failure="told")

    monkeypatch.setattr(engines, "run_cell", busy_twice)
    monkeypatch.setattr(engines, "POLL_SECONDS", 0.0)
    assert [outcome.cell.seed for outcome in engines.in_process(cells)] == [0, 2, 1]
    assert asked == [0, 1, 2, 1, 1]


def test_paths_hold_in_any_folder(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    near = replace(cell, method="own.py:Own", protocol=Protocol("data", "out"))
    far = engines.absolute(near)
    assert far.method == f"{tmp_path / 'own.py'}:Own" and far.folder == tmp_path / "out/01Ball/Own/seed0"
    assert engines.absolute(replace(near, method="PatchCore")).method == "PatchCore"
