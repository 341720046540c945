"""benchmark.py with the worked example: runs, failures, plan, imported maps, and Ray beside this process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from filelock import Timeout

import benchmark
from bench.config import BenchmarkConfig
from bench.engines import in_process, listen_on_loopback, on_ray
from bench.execute import execute
from bench.imported_maps import import_maps, read_foreign_map
from bench.runs import LOCK, Run, lock_of, read_result
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
    config_type = NoConfig
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
def config(tmp_path: Path) -> BenchmarkConfig:
    for name in ("01Ball", "02Cube"):
        write_object(tmp_path / "data" / name, views=10)
    return BenchmarkConfig(str(tmp_path / "data"), str(tmp_path / "out"), quiet=True, device="cpu", val_every=3)


def options(config: BenchmarkConfig, *more: str) -> list[str]:
    return [
        *("--data_dir", config.data_dir, "--output_dir", config.output_dir, "--val_every", "3"),
        *("--device", "cpu", "--quiet", *more),
    ]


def custom_method(folder: Path, name: str, fit: str) -> str:
    path = folder / f"{name.lower()}.py"
    path.write_text(FAULTY.format(name=name, fit=fit))
    return f"{path}:{name}"


def test_a_twelfth_method_enters_the_table_by_one_file(
    config: BenchmarkConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(options(config, "--methods", EXAMPLE, "--seeds", "2")) == 0
    assert "runs=4 failed=0" in capsys.readouterr().out
    folder = Path(config.output_dir)
    assert "NearestView" in (folder / "table.md").read_text() and (folder / "index.html").is_file()
    results = folder / "01Ball/NearestView/seed1/results.json"
    before = results.stat().st_mtime_ns
    assert benchmark.main(options(config, "--methods", EXAMPLE, "--seeds", "2")) == 0
    assert results.stat().st_mtime_ns == before
    assert benchmark.main(options(config, "--methods", EXAMPLE, "--seeds", "2", "--overwrite")) == 0
    assert results.stat().st_mtime_ns != before


def test_a_missing_package_fails_its_method_alone(config: BenchmarkConfig, tmp_path: Path) -> None:
    result = execute(Run("01Ball", custom_method(tmp_path, "Lacking", "import no_such_package"), 0, config))
    assert "needs the package no_such_package" in result.failure and ".[benchmark]" in result.failure


def test_a_failed_run_is_reported_and_stops_no_other(
    config: BenchmarkConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = custom_method(tmp_path, "Broken", "raise RuntimeError('no <luck>')")
    assert benchmark.main(options(config, "--methods", broken, EXAMPLE)) == 1
    assert "Broken/seed0: RuntimeError: no <luck>" in capsys.readouterr().err
    table = (Path(config.output_dir) / "table.md").read_text()
    assert "luck" in table and "NearestView" in table
    assert benchmark.main(options(config, "--methods", broken, EXAMPLE, "--dry_run")) == 0
    plan = capsys.readouterr().out
    assert plan.count("failed before") == 2 and plan.count(" done ") == 2 and "2 of 4 runs to do" in plan


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
def test_wrong_options_are_one_sentence_before_any_work(
    config: BenchmarkConfig, wrong: list[str], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        benchmark.main(options(config, *wrong))


def test_a_setting_of_a_method_can_be_changed(config: BenchmarkConfig) -> None:
    assert (
        benchmark.main(options(config, "--methods", EXAMPLE, "--objects", "02Cube", "--set", "nearestview.size=9")) == 0
    )
    content = json.loads((Path(config.output_dir) / "02Cube/NearestView/seed0/results.json").read_text())
    assert content["config"]["settings"] == {"size": 9}


def test_maps_of_another_program_score_as_our_own(config: BenchmarkConfig, tmp_path: Path) -> None:
    own = execute(Run("01Ball", EXAMPLE, 0, config))
    assert own.report is not None
    shutil.copytree(own.run.folder / "anomaly_maps", tmp_path / "foreign/01Ball/anomaly_maps")
    scores = {query.name: query.anomaly_score for query in own.report.queries}
    (tmp_path / "foreign/01Ball/scores.json").write_text(json.dumps(scores))
    run = Run("01Ball", "Elsewhere", 0, config)
    found = import_maps(run, tmp_path / "foreign")
    assert found.failure == "" and found.report is not None
    for name in ("image_auroc", "pixel_auroc", "aupro"):
        assert getattr(found.report.evaluation.overall, name) == getattr(own.report.evaluation.overall, name)
    assert found.report.evaluation.overall.image_f1 is None and found.report.threshold is None
    again = read_result(run).report
    assert again is not None and again.evaluation == found.report.evaluation
    (tmp_path / "foreign/01Ball/anomaly_maps/test/good/0.tiff").unlink()
    assert "1 are missing (good/0)" in import_maps(run, tmp_path / "foreign").failure


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


def test_a_run_is_done_by_one_process_at_a_time(config: BenchmarkConfig) -> None:
    run = Run("01Ball", EXAMPLE, 0, config)
    with lock_of(run):
        assert execute(run).pending
        with pytest.raises(Timeout), lock_of(run):
            pass
        with pytest.raises(InputError, match="another process"):
            benchmark.main(options(config, "--methods", EXAMPLE, "--objects", "01Ball", "--overwrite"))
    assert execute(run).report is not None


def test_a_killed_process_leaves_its_run_to_the_next_one(config: BenchmarkConfig) -> None:
    run = Run("01Ball", EXAMPLE, 0, config)
    lock_of(run)
    code = f"import filelock, os; filelock.FileLock({str(run.folder / LOCK)!r}).acquire(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (run.folder / LOCK).exists() and execute(run).report is not None


@pytest.mark.slow
def test_ray_on_two_nodes_gives_what_this_process_gives(
    config: BenchmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else whatever else the machine does comes first
    listen_on_loopback()
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
    dying = custom_method(tmp_path, "Dying", die)
    runs = [Run(name, method, 0, config) for name in ("01Ball", "02Cube") for method in (EXAMPLE, dying)]
    node = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **node})
    try:
        cluster.add_node(**node)
        assert cluster.address.startswith("127.0.0.1:")
        results = {result.run: result for result in on_ray(runs, cluster.address)}
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert marker.exists() and set(results) == set(runs)
    alone = replace(config, output_dir=str(tmp_path / "alone"))
    for here in in_process([replace(run, config=alone) for run in runs]):
        there = results[replace(here.run, config=config)]
        assert there.failure == "" and there.report is not None and here.report is not None
        assert there.report.evaluation == here.report.evaluation
        for query in here.report.queries:
            maps = [read_map(anomaly_map_path(each.run.folder, query.name)) for each in (here, there)]
            assert torch.equal(*maps)
