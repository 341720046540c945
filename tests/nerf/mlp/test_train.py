"""MlpTrainingState of the paper's field on a small world of spheres: it learns, resumes and restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nerf.mlp.train
from evaluation.metrics import psnr
from nerf.fields import load_any_field
from nerf.mlp.field import MlpField
from nerf.mlp.method import MlpMethod
from nerf.mlp.train import MlpTrainingState, depth_range, draw_pixels, save_training, start_training, train_mlp_field
from nerf.settings import NerfConfig
from tests.inerf.scene import CENTRES, RADII, camera, render
from tests.nerf.scene import CAMERA, ball_views, random_field
from utils.camera import Intrinsics, project_points
from utils.checkpoint import save_tensors
from utils.errors import InputError
from utils.run_context import RunContext
from utils.views import Views

CPU = torch.device("cpu")
TINY = NerfConfig(
    netdepth=2, netwidth=16, netdepth_fine=2, netwidth_fine=16, multires=4, multires_views=2, near=1.6, far=4.4,
    N_samples=8, N_importance=6, N_rand=32, N_iters=45, precrop_iters=10, nerf_lrate=2e-3, raw_noise_std=0.1,
)  # fmt: skip
LEARNING = replace(
    TINY, netwidth=48, netwidth_fine=48, N_samples=16, N_importance=8, N_rand=128, N_iters=200, precrop_iters=0,
    nerf_lrate=3e-3, raw_noise_std=0.0, near=None, far=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def views() -> Views:
    return ball_views(Intrinsics.from_angle(32, 32, 0.69))


def train(views: Views, config: NerfConfig, path: Path | None = None, seed: int = 0) -> MlpField:
    return train_mlp_field(views, config, RunContext(CPU, seed), path)


def saved(field: MlpField, folder: Path) -> bytes:
    """Return the bytes of the field's file."""
    field.save(folder / "field.safetensors")
    return (folder / "field.safetensors").read_bytes()


def test_it_learns(views: Views) -> None:
    field = MlpMethod(LEARNING).train(views, RunContext(CPU), None)
    pose = camera(33, 20).float()
    rendering, truth = field.render(pose, CAMERA), render(pose, CAMERA)
    blank = psnr(torch.ones_like(truth.colour), truth.colour)
    assert psnr(rendering.colour, truth.colour) > blank + 6
    assert float((rendering.opacity - truth.opacity).abs().mean()) < 0.12


def test_same_seed_same_numbers_other_seed_others(views: Views, tmp_path: Path) -> None:
    first = saved(train(views, TINY), tmp_path)
    torch.manual_seed(5)
    assert saved(train(views, TINY), tmp_path) == first
    assert saved(train(views, TINY, seed=1), tmp_path) != first
    assert saved(train(views, replace(TINY, no_batching=False)), tmp_path) != first


@pytest.mark.parametrize("stop", [1, 19, 20, 33])
def test_interrupted_training_ends_with_the_same_field(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    path, original, count = tmp_path / "training.safetensors", save_training, []
    whole = saved(train(views, TINY), tmp_path)

    def interrupted(where: Path, training: MlpTrainingState) -> None:
        original(where, training)
        count.append(training.step)
        if len(count) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(nerf.mlp.train, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(nerf.mlp.train, "save_training", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(views, TINY, path)
    assert saved(train(views, TINY, path), tmp_path) == whole
    assert count[: stop + 1] == list(range(1, stop + 2)) and count[-1] == TINY.N_iters


def test_finished_training_is_not_repeated(views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "training.safetensors"
    first = saved(train(views, TINY, path), tmp_path)
    monkeypatch.setattr(nerf.mlp.train, "take_step", None)
    assert saved(train(views, TINY, path), tmp_path) == first


def test_a_checkpoint_of_other_networks_is_refused(views: Views, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    train(views, replace(TINY, N_iters=1), path)
    with pytest.raises(InputError, match=r"training\.safetensors"):
        train(views, replace(TINY, netwidth=8), path)


def lifeless(attempts: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave the first ``attempts`` starts without density; return the list that will hold all of them."""
    original, begun = start_training, []

    def start_dead(config: NerfConfig, context: RunContext, attempt: int) -> MlpTrainingState:
        training = original(config, context, attempt)
        begun.append(attempt)
        if attempt < attempts:
            with torch.no_grad():
                training.networks.coarse.density.bias.fill_(-1e4)
        return training

    monkeypatch.setattr(nerf.mlp.train, "start_training", start_dead)
    return begun


def test_a_training_without_density_restarts(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = lifeless(2, monkeypatch)
    field = train(views, replace(TINY, raw_noise_std=0.0))
    assert begun[:3] == [0, 1, 2]
    assert float(field.render(views.camera_to_world[0], CAMERA).opacity.max()) > 0


def test_it_fails_after_the_last_attempt(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nerf.mlp.train, "MAX_ATTEMPTS", 3)
    assert lifeless(99, monkeypatch) == []
    with pytest.raises(InputError, match="lost all density"):
        train(views, replace(TINY, raw_noise_std=0.0))


def test_near_and_far_hold_the_object(views: Views) -> None:
    near, far = depth_range(views)
    for pose in views.camera_to_world:
        _, depth = project_points(CENTRES, views.intrinsics, pose)
        assert near <= float((depth - RADII).min()) and float((depth + RADII).max()) <= far
    assert near > 1.3 and far < 4.7


def images(height: int, width: int, count: int = 4) -> torch.Tensor:
    return torch.zeros(count, height, width, 3, dtype=torch.uint8)


@pytest.mark.parametrize("no_batching", [True, False])
def test_rays_are_drawn_from_everywhere(no_batching: bool) -> None:
    config = replace(TINY, no_batching=no_batching, N_rand=40, precrop_iters=0)
    views_seen, pixels_seen = set(), set()
    for step in range(40):
        view, pixels = draw_pixels(images(6, 9), config, step, torch.Generator().manual_seed(step))
        assert view.shape == (() if no_batching else (40,)) and pixels.shape == (40, 2)
        drawn = [tuple(pixel) for pixel in pixels.tolist()]
        assert not no_batching or len(set(drawn)) == 40
        views_seen |= set(view.reshape(-1).tolist())
        pixels_seen |= set(drawn)
    assert views_seen == {0, 1, 2, 3}
    assert pixels_seen == {(x, y) for x in range(9) for y in range(6)}


def test_the_first_rays_come_from_the_middle() -> None:
    config = replace(TINY, N_rand=500, precrop_iters=3, precrop_frac=0.5)
    for step, expected in ((2, {(x, y) for x in range(2, 6) for y in range(3, 9)}), (3, None)):
        _, pixels = draw_pixels(images(12, 8), config, step, torch.Generator().manual_seed(0))
        drawn = {tuple(pixel) for pixel in pixels.tolist()}
        assert drawn == (expected or {(x, y) for x in range(8) for y in range(12)})


def test_the_learning_rate_falls_to_a_tenth(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, original = [], torch.optim.Adam.step

    def noted(self: torch.optim.Adam) -> None:
        rates.append(self.param_groups[0]["lr"])
        original(self)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    train(views, replace(TINY, N_iters=11, lrate_decay=0.01))
    assert rates[0] == pytest.approx(2e-3) and rates[10] == pytest.approx(2e-4)
    assert rates[5] == pytest.approx(2e-3 * 10**-0.5)


def test_files_are_read_by_their_kind(views: Views, tmp_path: Path) -> None:
    train(views, replace(TINY, N_iters=1)).save(tmp_path / "mlp.safetensors")
    random_field().save(tmp_path / "voxel.safetensors")
    pose = views.camera_to_world[0]
    assert isinstance(load_any_field(tmp_path / "mlp.safetensors", CPU), MlpField)
    voxels = load_any_field(tmp_path / "voxel.safetensors", CPU)
    assert torch.equal(voxels.render(pose, CAMERA).colour, random_field().render(pose, CAMERA).colour)
    save_tensors(tmp_path / "other.safetensors", {}, {"kind": "gallery"})
    with pytest.raises(InputError, match="'gallery', expected a field"):
        load_any_field(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        load_any_field(tmp_path / "none.safetensors")
