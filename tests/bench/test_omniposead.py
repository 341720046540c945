"""OmniposeAD as a method of the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import anomaly_nerf_lego
import auroc_test
from baselines.registry import make_method
from bench.config import BenchmarkConfig
from bench.execute import execute
from bench.omniposead import OmniposeADConfig, OmniposeADPaper, program_settings
from bench.runs import Run
from data.mad import load_views
from evaluation.results import anomaly_map_path, read_results
from pipeline.config import Config, read_config
from tests.world import write_world
from utils.camera import Intrinsics
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
    "held_out_every": 12,
}


def text_of(settings: dict) -> str:
    return "; ".join(f"{key} = {value}" for key, value in settings.items())


def test_the_benchmark_finds_what_the_two_scripts_find(tmp_path: Path) -> None:
    write_world(tmp_path / "data/balls", Intrinsics.from_angle(48, 48, 0.69), queries=1)
    words = [f"--{key}={value}" for key, value in SMALL.items()]
    words += [f"--{key}_dir={tmp_path / key}" for key in ("data", "ckpt", "output")]
    words += ["--obj=balls", "--allow_bad_field", "--device=cpu", "--quiet"]
    assert anomaly_nerf_lego.main(words) == 0 and auroc_test.main(words) == 0
    expected = read_results(tmp_path / "output/balls/results.json")
    config = BenchmarkConfig(
        str(tmp_path / "data"), str(tmp_path / "runs"), held_out_every=12, device="cpu", quiet=True
    )
    overrides = (("settings", text_of({key: SMALL[key] for key in SMALL if key != "held_out_every"})),)
    run = Run("balls", "OmniposeAD", 0, config, overrides)
    result = execute(run)
    assert result.failure == "" and result.report is not None
    assert [one.anomaly_score for one in result.report.queries] == [one.anomaly_score for one in expected.queries]
    assert result.report.threshold == expected.threshold
    assert result.report.evaluation.overall == expected.evaluation.overall
    for query in expected.queries:
        maps = [read_map(anomaly_map_path(folder, query.name)) for folder in (tmp_path / "output/balls", run.folder)]
        assert torch.equal(*maps)


def test_the_papers_preset_is_that_of_its_config_file() -> None:
    wanted = read_config(Path(__file__).resolve().parents[2] / "configs/paper.txt")
    found = program_settings(OmniposeADPaper.config_type().settings, RunContext(CPU))
    assert (found.field, found.nerf, found.retrieval, found.refine, found.score) == (
        wanted.field,
        wanted.nerf,
        wanted.retrieval,
        wanted.refine,
        wanted.score,
    )
    assert Config().nerf != found.nerf


def test_the_papers_path_comes_back_from_its_files(tmp_path: Path) -> None:
    write_world(tmp_path / "balls", Intrinsics.from_angle(48, 48, 0.69), queries=1)
    views = load_views(tmp_path / "balls", 48, (1.0, 1.0, 1.0))
    small = "netdepth = 2; netwidth = 16; netdepth_fine = 2; netwidth_fine = 16; N_samples = 8; N_importance = 8"
    tiny = "N_iters = 20; N_rand = 64; batch_size = 64; inerf_steps = 3; score_size = 64; retrieval_loftr_size = 48"
    overrides = {"settings": f"{OmniposeADPaper.config_type().settings}; {small}; {tiny}"}
    context = RunContext(CPU, weights=Weights(random=True), folder=tmp_path / "model")
    method = make_method("OmniposeAD-paper", context, overrides=overrides)
    method.fit(views.subset([0, 5, 11, 20, 30, 41]))
    method.save(tmp_path / "model")
    again = make_method("OmniposeAD-paper", context, overrides=overrides)
    again.load(tmp_path / "model")
    (first_map, first), (second_map, second) = (one.predict(views.image(3)) for one in (method, again))
    assert first == second and torch.equal(first_map, second_map) and first_map.shape == (48, 48)
    assert method.fingerprints() == {"loftr_indoor": "random", "efficientnet_b4": "random"}


def test_an_unknown_setting_of_the_program_is_an_error() -> None:
    with pytest.raises(InputError, match="did you mean netdepth"):
        program_settings(OmniposeADConfig("net_depth = 3").settings, RunContext(CPU))
