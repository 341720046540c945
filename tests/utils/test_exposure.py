"""Views of one object at exposures that are known: the gains are found, undone, and taken into account."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nerf.voxel.train
from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField, load_voxel_field
from nerf.voxel.state import VoxelTrainingState, save_state
from nerf.voxel.train import train_voxel_field
from tests.inerf.scene import camera, render
from tests.nerf.scene import CAMERA, CONFIG, WHITE, ball_views
from utils.camera import Intrinsics
from utils.exposure import (
    MeanColourRenderer,
    apply_gain,
    gains_vary,
    match_exposure,
    match_renderer,
    normalise_exposure,
    view_gains,
)
from utils.hull import silhouettes
from utils.rendering import Rendering
from utils.run_context import RunContext
from utils.views import Views

LONGER = replace(CONFIG, steps=400)
CPU, BEHIND = torch.device("cpu"), torch.tensor(WHITE)


def known_gains(views: int) -> np.ndarray:
    """Exposures within some twenty per cent, whites within some five: (views, 3), of geometric mean 1."""
    noise = np.random.default_rng(0)
    logs = noise.normal(0, 0.08, (views, 1)) + noise.normal(0, 0.03, (views, 3))
    return np.exp(logs - logs.mean(0)).astype(np.float32)


def seen_with(gains: np.ndarray) -> Views:
    """The spheres' views, each brightened by its gains."""
    views = ball_views()
    images = []
    for pose, gain in zip(views.camera_to_world, gains):
        images.append(apply_gain(render(pose, CAMERA), torch.from_numpy(gain), BEHIND).colour)
    return replace(views, images=(255 * torch.stack(images)).round().to(torch.uint8))


def trained(views: Views, checkpoint: Path | None = None, config: FieldConfig = LONGER) -> VoxelField:
    return train_voxel_field(views, config, RunContext(CPU), checkpoint)


@pytest.fixture(scope="module")
def varied() -> Views:
    return seen_with(known_gains(24))


@pytest.fixture(scope="module")
def field(varied: Views) -> VoxelField:
    return trained(varied)


def test_gains_are_found_and_undone(varied: Views) -> None:
    gains, scatter = view_gains(varied, render)
    assert np.abs(gains / known_gains(24) - 1).max() < 0.02 and scatter.max() < 0.02
    assert gains_vary(gains, scatter)
    plain, restored = seen_with(np.ones((24, 3), np.float32)), normalise_exposure(varied, gains, silhouettes(varied))
    whole = torch.stack([render(pose, CAMERA).opacity == 1 for pose in plain.camera_to_world])
    off = (restored.images.float() - plain.images.float()).abs()[whole]
    assert off.mean() < 2 < (varied.images.float() - plain.images.float()).abs()[whole].mean()


def test_with_alpha_edges_are_undone_too(varied: Views) -> None:
    plain = seen_with(np.ones((24, 3), np.float32))
    alphas = torch.stack([(255 * render(pose, CAMERA).opacity).round() for pose in plain.camera_to_world])
    with_alpha = replace(varied, alphas=alphas.to(torch.uint8))
    restored = normalise_exposure(with_alpha, known_gains(24), silhouettes(with_alpha))
    assert (restored.images.float() - plain.images.float()).abs().max() < 4


def test_glare_and_chance_are_no_exposure() -> None:
    noise = np.random.default_rng(1)
    whitened = np.exp(np.stack([noise.normal(0, each, 50) for each in (0.01, 0.06, 0.09)], axis=1))
    change_brightness, little, much = (
        np.exp(noise.normal(0, 0.06, (50, 1)).repeat(3, axis=1)),
        np.full(3, 0.05),
        np.full(3, 0.3),
    )
    assert gains_vary(change_brightness, little) and not gains_vary(change_brightness, much)
    assert not gains_vary(whitened, little) and not gains_vary(np.ones((50, 3)), little)


def test_views_that_show_next_to_nothing_get_no_gain(varied: Views) -> None:
    blank = replace(varied, images=torch.full_like(varied.images, 255))
    assert np.array_equal(view_gains(blank, render)[0], np.ones((24, 3), np.float32))


def test_alike_views_train_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = trained(ball_views())
    assert not field.exposure_varies and match_renderer(field, ball_views().image(0), WHITE) is field
    monkeypatch.setattr(nerf.voxel.train, "gains_vary", lambda *_: False)
    assert torch.equal(trained(ball_views()).table, field.table)
    field.save(tmp_path / "field.safetensors")
    assert not load_voxel_field(tmp_path / "field.safetensors").exposure_varies


def test_a_field_of_varied_views_is_better_for_it(
    varied: Views, field: VoxelField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert field.exposure_varies
    field.save(tmp_path / "field.safetensors")
    assert load_voxel_field(tmp_path / "field.safetensors").exposure_varies
    monkeypatch.setattr(nerf.voxel.train, "gains_vary", lambda *_: False)
    naive = trained(varied)
    errors = {}
    for name, each in (("aware", field), ("naive", naive)):
        errors[name] = 0.0
        for azimuth, elevation in ((33, 30), (111, -10), (200, 0), (280, -35)):
            pose = camera(azimuth, elevation)
            truth = render(pose, CAMERA)
            query = apply_gain(truth, torch.tensor([0.8, 0.82, 0.79]), BEHIND).colour
            found = match_exposure(each.render(pose.float(), CAMERA), query, WHITE)
            errors[name] += float((found.colour - query).abs()[truth.opacity == 1].mean())
    assert errors["aware"] < 0.93 * errors["naive"]


def test_an_interrupted_training_of_varied_views_ends_with_the_same_field(
    varied: Views, field: VoxelField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nerf.voxel.train, "SAVE_EVERY", 100)
    last = LONGER.steps - 150

    def interrupted(path: Path, state: VoxelTrainingState) -> None:
        save_state(path, state)
        if state.step >= last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(nerf.voxel.train, "save_state", interrupted)
        trained(varied, tmp_path / "unfinished.safetensors")
    again = trained(varied, tmp_path / "unfinished.safetensors")
    assert again.exposure_varies and torch.equal(again.table, field.table)


class Spheres:
    """The spheres as a field."""

    exposure_varies = True

    def render(self, camera_to_world: torch.Tensor, intrinsics: Intrinsics) -> Rendering:
        return render(camera_to_world, intrinsics)


def test_a_query_is_matched_and_its_defect_has_little_say() -> None:
    pose, gain = camera(40, 20), torch.tensor([0.7, 0.8, 0.75])
    truth = apply_gain(render(pose, CAMERA), gain, BEHIND)
    query = truth.colour.clone()
    row, column = (int(each.median()) for each in (truth.opacity == 1).nonzero().unbind(-1))
    query[row - 2 : row + 2, column - 2 : column + 2] = torch.tensor([1.0, 0.0, 0.0])
    unmatched = render(pose, CAMERA)
    difference = (match_exposure(unmatched, query, WHITE).colour - truth.colour).abs()
    assert difference.max() < 0.04 < (unmatched.colour - truth.colour).abs().max()
    renderer = match_renderer(Spheres(), query, WHITE)  # type: ignore[arg-type]
    assert isinstance(renderer, MeanColourRenderer)
    small = CAMERA.resized(CAMERA.width // 2, CAMERA.height // 2)
    for each in (CAMERA, small):
        solid = render(pose, each).opacity == 1
        found, wanted = (
            renderer.render(pose, each).colour[solid],
            apply_gain(render(pose, each), gain, BEHIND).colour[solid],
        )
        assert (found - wanted).abs().mean() < 0.6 * (render(pose, each).colour[solid] - wanted).abs().mean()


def test_a_query_that_shows_nothing_is_not_matched() -> None:
    field = Spheres()
    assert match_renderer(field, torch.ones(48, 48, 3), WHITE) is field  # type: ignore[arg-type]
