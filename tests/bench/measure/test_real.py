"""The measurements, really run on a tiny object."""

from __future__ import annotations

import argparse
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

import anomaly_nerf_lego
import auroc_test
from bench.measure import clutter, cost_shape, main_table, profile, reliability, scores, worst_errors
from bench.measure.command import Cost
from data.__main__ import main as data_main
from evaluation.results import GOOD, read_results, write_results
from pipeline.model import Model
from tests.world import write_world
from utils.camera import Intrinsics
from utils.errors import InputError

TINY = """
min_psnr = 1
val_every = 12
field_resolution = 32
field_levels = 1
field_steps = 60
field_rays_per_step = 2048
retrieval_virtual_views = 60
netdepth = 2
netwidth = 16
netdepth_fine = 2
netwidth_fine = 16
N_samples = 8
N_importance = 8
N_rand = 64
batch_size = 64
inerf_steps = 3
score_size = 64
retrieval_loftr_size = 48
"""
SCRIPTS = {"anomaly_nerf_lego.py": anomaly_nerf_lego.main, "auroc_test.py": auroc_test.main}


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """A world of 48 x 48 pixels, and the options of a measurement of it."""
    write_world(tmp_path / "data/balls", Intrinsics.from_angle(48, 48, 0.69), queries=1)
    (tmp_path / "tiny.txt").write_text(TINY)
    return ["--config", str(tmp_path / "tiny.txt"), "--page", str(tmp_path / "page.md"), "--dirty", "--quiet"]


def run_in_process(argv: Sequence[str]) -> Cost:
    """What ``run_script`` runs, without the start of a process."""
    start = time.perf_counter()
    assert (data_main(list(argv[2:])) if argv[0] == "-m" else SCRIPTS[argv[0]](list(argv[1:]))) == 0
    return Cost(time.perf_counter() - start, None)


def test_main_table_and_profile(tiny: list[str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert main_table.main([str(tmp_path / "data/balls"), *tiny, "--device", "cpu", "--work", str(work)]) == 0
    text = (tmp_path / "page.md").read_text()
    assert re.search(r"\| queries, defective \+ good +\| +2 \+ 1 \|", text)
    assert re.search(r"\| poses found +\| +100.0 % \|", text) and re.search(
        r"\| peak memory, test +\| +\d+ MB \|", text
    )
    assert profile.main([str(work / "output/balls/results.json"), "--page", str(tmp_path / "page.md"), "--dirty"]) == 0
    text = (tmp_path / "page.md").read_text()
    rows = re.findall(r"\| (\w+) +\| +([\d.]+) \| +([\d.]+) \| +(\d+)% \|", text)
    assert [row[0] for row in rows] == ["retrieve", "refine", "render", "compare", "all"]
    assert "balls, 3 queries" in text and rows[-1][3] == "100" and "## Whole path" in text


def test_reliability(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "run_script", run_in_process)
    options = [*tiny, "--device", "cpu", "--work", str(tmp_path / "work")]
    assert reliability.main([str(tmp_path / "data/balls"), *options]) == 0
    text = (tmp_path / "page.md").read_text()
    (ratio,) = re.findall(r"\| measured / expected residual, all pixels +\| +([\d.]+) +\|", text)
    assert 0.5 < float(ratio) < 2.0 and len(re.findall(r"\| – tenth \d+ +\| +[\d.]+ +\|", text)) == 10
    plain, corrected = (float(value) for value in re.findall(r"\| PSNR as \w+ +\| +([\d.]+) dB", text))
    assert corrected > plain and (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_profile_needs_stages(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no results here"):
        profile.main([str(tmp_path / "results.json"), "--page", str(tmp_path / "page.md"), "--dirty"])


def test_cost_shape(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_shape, "run_script", run_in_process)
    sizes = "--views 30 --base_views 30 --sides 64 --base_side 64 --queries 4 --workers 1 --device cpu".split()
    assert cost_shape.main([*tiny, *sizes, "--work", str(tmp_path / "work")]) == 0
    text = (tmp_path / "page.md").read_text()
    assert len(re.findall(r"\| 30 +\| +64 \| +4 \| +[\d.]+ s", text)) == 3
    assert "toy locomotive" in text


def test_scores(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "run_script", run_in_process)
    options = [*tiny, "--device", "cpu", "--work", str(tmp_path / "work"), "--scores", "plain", "calibrated"]
    assert scores.main([str(tmp_path / "data/balls"), *options]) == 0
    text = (tmp_path / "page.md").read_text()
    assert len(re.findall(r"\| balls +\| +[\d.]+ \([\d.]+ to [\d.]+\) \| +[\d.]+ \([\d.]+ to [\d.]+\) \|", text)) == 3
    assert len(re.findall(r"\| mean +\| +[\d.]+ \| +[\d.]+ \|", text)) == 5 and "Below the plain difference: " in text
    results = tmp_path / "work/output/balls/results.json"
    report = read_results(results)
    queries = [replace(query, verdict=GOOD) for query in report.queries]
    write_results(results, replace(report, threshold=1e6, queries=queries))
    missed, other = worst_errors.error_rows(results.parent)
    assert re.search(r"pose \d\.\d\d° off", missed[0].caption) and len(missed) == len(other) == len(worst_errors.HEADS)
    assert worst_errors.main([str(results.parent), "--out", str(tmp_path / "errors.png")]) == 0
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
    shutil.rmtree(tmp_path / "data/balls/test/Missing")
    with pytest.raises(InputError, match="results of Missing/0, which has no image"):
        worst_errors.error_rows(results.parent)


def test_clutter(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clutter, "run_script", run_in_process)
    monkeypatch.setattr(Model, "saliency", property(lambda _: lambda image: np.ones(image.shape[:2], np.float32)))
    options = [*tiny, "--device", "cpu", "--work", str(tmp_path / "work"), "--every", "2"]
    assert clutter.main([str(tmp_path / "data/balls"), *options]) == 0
    text = (tmp_path / "page.md").read_text()
    rows = re.findall(r"\| balls +\| +([\w -]+?) +\| +(\d) \| +(\d+)% \| +(\d) \| +([\d.]+) \|", text)
    assert [row[0] for row in rows] == list(clutter.WAYS) and all(row[1] == "2" for row in rows)
    assert rows[0][2] != "0" and rows[0][4] == "1.000" and float(rows[1][4]) < 0.6
    with pytest.raises(InputError, match="poses_truth"):
        (tmp_path / "data/balls/poses_truth.json").unlink()
        clutter.measure_object(cast(Model, None), tmp_path / "data/balls", [], argparse.Namespace(seed=0))
