"""The whole path on a device that refuses to be mixed with the CPU, against the CPU's own results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import anomaly_nerf_lego
from nerf.fields import load_any_field
from nerf.residual_views import ResidualViews
from nerf.voxel.train import train_voxel_field
from pipeline.model import Model
from retrieval.galleries import load_gallery
from scoring.scorers import load_scorer
from tests.nerf.scene import CONFIG, ball_views
from tests.pretend_device import PRETEND, PretendTensor, pretend_device
from tests.world import write_world
from utils.camera import Intrinsics
from utils.exposure import rendered_pairs
from utils.run_context import RunContext

SMALL = [
    *("--field_resolution", "40", "--field_levels", "2", "--field_steps", "80", "--field_rays_per_step", "2048"),
    *("--retrieval_virtual_views", "60", "--allow_bad_field", "--device", "cpu", "--quiet"),
]
CAMERA = Intrinsics.from_angle(64, 64, 0.69)


def words(folder: Path, name: str) -> list[str]:
    paths = {"data_dir": folder / "data", "ckpt_dir": folder / name / "ckpts", "output_dir": folder / name / "output"}
    return [*(word for key, path in paths.items() for word in (f"--{key}", str(path))), *SMALL, "--obj", "balls"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and the object trained on the CPU."""
    folder = tmp_path_factory.mktemp("pretend")
    write_world(folder / "data/balls", CAMERA, queries=2)
    assert anomaly_nerf_lego.main(words(folder, "cpu")) == 0
    return folder


def on_pretend_device(folder: Path) -> Model:
    """Load what the CPU trained to the pretend device."""
    model = Model.load(folder / "cpu/ckpts/balls", "cpu")
    context, paths = RunContext(PRETEND), folder / "cpu/ckpts/balls"
    return replace(
        model,
        context=context,
        field=load_any_field(paths / "field.safetensors", PRETEND),
        gallery=load_gallery(paths / "gallery.safetensors", model.config.retrieval, context),
        scorer=load_scorer(paths / "calibration.safetensors", model.config.score, context),
    )


def test_pretend_device_refuses_to_be_mixed() -> None:
    with pretend_device():
        here, there = torch.arange(6.0).view(2, 3), torch.arange(6.0).view(2, 3).to(PRETEND)
        assert isinstance(there, PretendTensor) and torch.equal((2 * there[:, 1:] + 1).cpu(), 2 * here[:, 1:] + 1)
        assert torch.zeros(2, device=PRETEND).device == PRETEND == there.new_ones(2).device
        there[there > 4] = 0
        assert there.sum().item() == 10 and torch.equal(here[(here > 4).to("cpu")], torch.tensor([5.0]))
        for mix in (
            lambda: here + there,
            lambda: torch.cat([here, there]),
            lambda: here[there > 1],
            lambda: there.index_add(0, torch.tensor([0]), there[:1]),
        ):
            with pytest.raises(RuntimeError, match="mixed"):
                mix()


def test_query_on_a_device_gives_the_cpu_s_verdict(place: Path) -> None:
    model = Model.load(place / "cpu/ckpts/balls", "cpu")
    with pretend_device():
        moved = on_pretend_device(place)
        assert isinstance(moved.field.residual_views, ResidualViews)  # type: ignore[attr-defined]
        for kind in ("good", "Stains"):
            query = model.photos.read(place / f"data/balls/test/{kind}/1.png")
            expected, found = model.detect_image(query, kind), moved.detect_image(query, kind)
            assert found.verdict == expected.verdict and found.anomaly_map.device == PRETEND
            assert float((found.pose - expected.pose).abs().max()) < 2e-3
            assert float((found.reference.cpu() - expected.reference).abs().mean()) < 1e-3
            assert found.anomaly_score == pytest.approx(expected.anomaly_score, rel=0.05, abs=0.01)


def test_rendering_on_a_device_is_the_cpu_s(place: Path) -> None:
    model = Model.load(place / "cpu/ckpts/balls", "cpu")
    with pretend_device():
        moved = on_pretend_device(place)
        pose = torch.tensor(json.loads((place / "data/balls/poses_truth.json").read_text())["good/1"])
        one = model.field.render_reference(pose, model.intrinsics)
        other = moved.field.render_reference(pose.to(PRETEND), model.intrinsics)
        assert one.expected_residual is not None and other.expected_residual is not None
        for name in ("colour", "opacity", "expected_residual"):
            off = (getattr(one, name) - getattr(other, name).cpu()).abs()
            assert float(off.median()) < 1e-4 and float((off > 1e-3).float().mean()) < 0.01, name


def test_training_runs_on_a_device() -> None:
    views, few = ball_views(), replace(CONFIG, steps=6, rays_per_step=256, residual_views=4)
    with pretend_device():
        trained = train_voxel_field(views, few, RunContext(PRETEND), None)
        shown = trained.calibrate(rendered_pairs(trained, views)).render_reference(
            views.camera_to_world[0], views.intrinsics
        )
        assert shown.colour.device == PRETEND and shown.expected_residual is not None
    expected = train_voxel_field(views, few, RunContext(torch.device("cpu")), None)
    rendered = expected.calibrate(rendered_pairs(expected, views)).render_reference(
        views.camera_to_world[0], views.intrinsics
    )
    assert float((shown.colour.cpu() - rendered.colour).abs().mean()) < 1e-3
