"""OmniposeAD as a method of the benchmark, and its ablation."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import anomaly_nerf_lego
import auroc_test
import benchmark
from baselines.registry import make_method
from bench.ablation import ablation_runs
from bench.config import BenchmarkConfig
from bench.execute import execute
from bench.omniposead import PAPER, OmniposeADConfig, OmniposeADPaper
from bench.runs import Run
from data.mad import load_views
from evaluation.results import anomaly_map_path, read_results
from pipeline.config import Config, read_config
from scoring.registry import SCORES
from tests.lite0 import need_lite0
from tests.world import write_world
from utils.camera import Intrinsics
from utils.config import groups_of
from utils.errors import InputError
from utils.images import read_map
from utils.run_context import RunContext
from utils.weights import Weights

CPU = torch.device("cpu")
SMALL = {
    "field_resolution": 32,
    "field_levels": 1,
    "field_steps": 60,
    "field_rays_per_step": 2048,
    "retrieval_virtual_views": 60,
}
TINY = {
    "netdepth": 2,
    "netwidth": 16,
    "netdepth_fine": 2,
    "netwidth_fine": 16,
    "N_samples": 8,
    "N_importance": 8,
    "N_iters": 20,
    "N_rand": 64,
    "batch_size": 64,
    "inerf_steps": 3,
    "score_size": 64,
    "retrieval_loftr_size": 48,
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path / "data/balls", Intrinsics.from_angle(48, 48, 0.69), queries=1)


def test_the_benchmark_finds_what_the_two_scripts_find(world: Path, tmp_path: Path) -> None:
    argv = [f"--{key}={value}" for key, value in SMALL.items()]
    argv += [f"--{key}_dir={tmp_path / key}" for key in ("data", "ckpt", "output")]
    argv += [f"--obj={world.name}", "--val_every=12", "--allow_bad_field", "--device=cpu", "--quiet"]
    assert anomaly_nerf_lego.main(argv) == 0 and auroc_test.main(argv) == 0
    expected = read_results(tmp_path / "output/balls/results.json")
    config = BenchmarkConfig(str(tmp_path / "data"), str(tmp_path / "runs"), val_every=12, device="cpu", quiet=True)
    run = Run("balls", "OmniposeAD", 0, config, tuple(SMALL.items()))
    result = execute(run)
    assert result.failure == "" and result.report is not None
    found = result.report
    assert [one.anomaly_score for one in found.queries] == [one.anomaly_score for one in expected.queries]
    assert found.threshold == expected.threshold and found.evaluation.overall == expected.evaluation.overall
    assert found.evaluation.pose.found == expected.evaluation.pose.found == 1.0
    assert found.evaluation.pose.within == expected.evaluation.pose.within
    for query in expected.queries:
        maps = [read_map(anomaly_map_path(folder, query.name)) for folder in (tmp_path / "output/balls", run.folder)]
        assert torch.equal(*maps)


def test_the_papers_presets() -> None:
    paper, fast = OmniposeADPaper.preset(False), OmniposeADPaper.preset(True)
    assert all(getattr(paper, group) == getattr(read_config(PAPER), group) for group in groups_of(OmniposeADConfig))
    assert (fast.field.method, fast.refine.method, fast.nerf.N_iters) == ("mlp", "adam", 600)
    assert paper.nerf.near == fast.nerf.near == 2.0 and paper.nerf != Config().nerf
    assert make_method("OmniposeAD-paper", RunContext(CPU), overrides={"near": 1.0}).config.nerf.near == 1.0


def test_the_papers_score_alone_is_a_method() -> None:
    ours, theirs = (make_method(name, RunContext(CPU)).config for name in ("OmniposeAD", "OmniposeAD-paper-score"))
    assert (ours.score.method, theirs.score.method) == ("calibrated", "paper")
    assert replace(theirs, score=ours.score) == ours


def test_the_papers_path_comes_back_from_its_files(world: Path, tmp_path: Path) -> None:
    views = load_views(world, 48, (1.0, 1.0, 1.0))
    context = RunContext(CPU, weights=Weights(backbone="random"), folder=tmp_path / "model")
    method = make_method("OmniposeAD-paper", context, overrides=TINY)
    method.fit(views.subset([0, 5, 11, 20, 30, 41]))
    method.save(tmp_path / "model")
    again = make_method("OmniposeAD-paper", context, overrides=TINY)
    again.load(tmp_path / "model")
    (first_map, first), (second_map, second) = (one.predict(views.image(3)) for one in (method, again))
    assert first == second and torch.equal(first_map, second_map) and first_map.shape == (48, 48)
    assert method.fingerprints() == {"loftr_indoor": "random", "efficientnet_b4": "random"}


def test_an_unknown_setting_of_the_program_is_an_error() -> None:
    with pytest.raises(InputError, match="did you mean netdepth"):
        make_method("OmniposeAD", RunContext(CPU), overrides={"net_depth": 3})


def test_ablation_lists_all_combinations_and_trains_a_field_once() -> None:
    runs = ablation_runs(BenchmarkConfig(), ["a", "b"], 1, [("score", "paper"), ("N_iters", 6)])
    assert len(runs) == 2 * 2 * 4 * 2 and len({run.folder for run in runs}) == len(runs)
    assert {dict(run.overrides)["score"] for run in runs} == {"paper"}
    trained = [run for run in runs if "field_from" not in dict(run.overrides)]
    assert [run.name for run in trained] == [
        f"{name}/{field}-thumbnails-gauss_newton-paper/seed0" for name in "ab" for field in ("voxel", "mlp")
    ]
    assert dict(runs[1].overrides)["field_from"] == str(trained[0].folder.absolute() / "model")
    for run in runs:
        assert dict(run.overrides).get("retrieval_hypotheses") == (1 if "adam" in run.name else None)
        make_method(run.method, RunContext(CPU), overrides=dict(run.overrides))


def test_ablation_from_the_command_line(world: Path, tmp_path: Path) -> None:
    need_lite0()  # nothing stands in for it in the score "features"
    page, out = tmp_path / "page.md", tmp_path / "out"
    fixed = {**SMALL, "field": "voxel", "retrieval": "thumbnails", "refine": "gauss_newton", "score_size": 64}
    argv = ["--data_dir", str(world.parent), "--output_dir", str(out), "--device", "cpu", "--quiet"]
    argv += ["--backbone", "random"]
    argv += ["--ablation", "--val_every", "12", "--page", str(page), "--dirty"]
    argv += ["--set", *(f"OmniposeAD.{key}={value}" for key, value in fixed.items())]
    assert benchmark.main(argv) == 0
    runs = sorted((out / "balls").iterdir())
    assert [run.name for run in runs] == [f"voxel-thumbnails-gauss_newton-{score}" for score in sorted(SCORES.names)]
    assert [(run / "seed0/model/field.safetensors").exists() for run in runs] == [True, False, False, False]
    text = page.read_text()
    row = r"\| voxel-thumbnails-gauss\\_newton-{} +\| +1 of 1 \|( +[\d.]+ \|){{6}}\n"
    assert (
        re.search(row.format("calibrated"), text)
        and re.search(row.format("features"), text)
        and re.search(row.format("paper<sup>†random</sup>"), text)
    )
    assert "Random weights stood in" in text and "field_steps = 60" in text.replace("\\", "")
    assert "field_from" not in text and (out / "ablation/index.html").is_file()
    with pytest.raises(InputError, match="ray"):
        benchmark.main([*argv, "--engine", "ray"])
