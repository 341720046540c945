"""Training on a small world of spheres: same numbers, resumption, quality, files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nerf.voxel.train
from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField, load_voxel_field
from nerf.voxel.grid import make_grid
from nerf.voxel.state import VoxelTrainingState, load_state, save_state
from nerf.voxel.train import extract_field, refine_state, train_voxel_field
from tests.inerf.scene import camera, render
from tests.nerf.scene import (
    CAMERA,
    CONFIG,
    WHITE,
    ball_cells,
    ball_views,
    full_field,
    grids_equal,
    random_field,
    random_table,
    state_of,
)
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.hull import object_bounds, silhouettes
from utils.run_context import RunContext
from utils.views import Views


def train(views: Views, checkpoint: Path | None = None, seed: int = 0, config: FieldConfig = CONFIG) -> VoxelField:
    return train_voxel_field(views, config, RunContext(torch.device("cpu"), seed), checkpoint)


def saved(field: VoxelField, folder: Path) -> bytes:
    """Return the bytes of the field's file."""
    field.save(folder / "field.safetensors")
    return (folder / "field.safetensors").read_bytes()


@pytest.fixture(scope="module")
def views() -> Views:
    return ball_views()


@pytest.fixture(scope="module")
def bounds(views: Views) -> tuple[torch.Tensor, torch.Tensor]:
    return object_bounds(silhouettes(views), views.camera_to_world, views.intrinsics, CONFIG.hull_min_view_share)


@pytest.fixture(scope="module")
def field(views: Views) -> VoxelField:
    return train(views)


def new_poses() -> list[torch.Tensor]:
    """Return poses between those of the views."""
    return [camera(azimuth, elevation) for azimuth, elevation in ((33, 30), (111, -10), (200, 0), (280, -35))]


def test_a_cut_out_object_in_the_colour_of_its_background_is_solid_and_nothing_else_is(views: Views) -> None:
    masks = torch.from_numpy(silhouettes(views))
    white = replace(views, images=torch.full_like(views.images, 255), alphas=(255 * masks).to(torch.uint8))
    field = train(white)
    inner, outer = (
        torch.nn.functional.max_pool2d(each[:, None].float(), 5, 1, 2)[:, 0] == 0 for each in (~masks, masks)
    )
    for index in range(0, len(views), 5):
        opacity = field.render(views.camera_to_world[index], views.intrinsics).opacity
        assert float(opacity[inner[index]].mean()) > 0.95
        assert float(opacity[outer[index]].mean()) < 0.02


def test_new_views_are_rendered_well(field: VoxelField) -> None:
    for pose in new_poses():
        rendering, truth = field.render(pose.float(), CAMERA), render(pose, CAMERA)
        assert -10 * math.log10(float((rendering.colour - truth.colour).square().mean())) > 27
        solid = truth.opacity == 1
        assert float((rendering.depth - truth.depth)[solid].abs().median()) < 0.04  # little more than a voxel
        assert float((rendering.opacity - truth.opacity).abs().mean()) < 0.02


def test_training_improves_on_the_hull(views: Views, field: VoxelField) -> None:
    """More steps fit the views better."""
    short = train(views, config=replace(CONFIG, steps=4))
    errors = []
    for each in (short, field):
        renderings = {i: each.render(views.camera_to_world[i], CAMERA).colour for i in range(0, len(views), 5)}
        errors.append(float(torch.stack([(a - views.image(i)).square().mean() for i, a in renderings.items()]).mean()))
    assert errors[1] < 0.5 * errors[0]


def test_same_seed_same_numbers_other_seed_others(views: Views, field: VoxelField, tmp_path: Path) -> None:
    assert saved(train(views), tmp_path) == saved(field, tmp_path)
    assert saved(train(views, seed=1), tmp_path) != saved(field, tmp_path)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_interrupted_training_ends_with_the_same_field(
    views: Views,
    bounds: tuple[torch.Tensor, torch.Tensor],
    field: VoxelField,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
) -> None:
    """Killed at its ``stop``-th checkpoint: within the first level, at a level's end, within the last level."""
    monkeypatch.setattr(nerf.voxel.train, "SAVE_EVERY", 10)
    monkeypatch.setattr(nerf.voxel.train, "object_bounds", lambda *arguments: bounds)  # the same again: saves time
    checkpoint, original, count = tmp_path / "training.safetensors", save_state, []

    def interrupted(path: Path, state: VoxelTrainingState) -> None:
        original(path, state)
        count.append(state.step)
        if len(count) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(nerf.voxel.train, "save_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(views, checkpoint)
    assert 0 < count[-1] < CONFIG.steps
    assert saved(train(views, checkpoint), tmp_path) == saved(field, tmp_path)
    assert count[stop] > count[stop - 1]  # resumed, not restarted
    assert count[-1] == CONFIG.steps


def test_finished_training_is_not_repeated(views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(CONFIG, steps=6)
    checkpoint = tmp_path / "training.safetensors"
    first = saved(train(views, checkpoint, config=short), tmp_path)

    def stepped(*arguments: object) -> None:
        raise AssertionError("an optimiser step was repeated")

    monkeypatch.setattr("nerf.voxel.optimiser.CompiledOptimiser.step", stepped)
    assert saved(train(views, checkpoint, config=short), tmp_path) == first


def test_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = state_of(random_field())
    for number, array in enumerate((state.mean, state.square)):
        array[:] = random_table(len(array), number)
    state.peak[:] = state.table[:, 1]
    state.step = 17
    save_state(tmp_path / "state.safetensors", state)
    again = load_state(tmp_path / "state.safetensors")
    assert again is not None and again.step == 17 and grids_equal(again.grid, state.grid)
    for name in ("table", "mean", "square", "peak"):
        np.testing.assert_array_equal(getattr(again, name), getattr(state, name))
    assert load_state(None) is None and load_state(tmp_path / "none.safetensors") is None


def test_field_comes_back_bit_for_bit(tmp_path: Path) -> None:
    field, pose = random_field(), camera(40, 20).float()
    first = saved(field, tmp_path)
    again = load_voxel_field(tmp_path / "field.safetensors")
    assert grids_equal(again.grid, field.grid) and torch.equal(again.table, field.table)
    assert again.background == field.background
    one, other = field.render(pose, CAMERA), again.render(pose, CAMERA)
    assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("colour", "opacity", "depth"))
    assert saved(again, tmp_path) == first


def test_trained_field_comes_back_bit_for_bit(field: VoxelField, tmp_path: Path) -> None:
    first = saved(field, tmp_path)
    again = load_voxel_field(tmp_path / "field.safetensors")
    for width in (16, 48, 96):
        camera_now = Intrinsics.from_angle(width, width, 0.69)
        one, other = (each.render(new_poses()[0].float(), camera_now) for each in (field, again))
        assert torch.equal(one.colour, other.colour) and torch.equal(one.depth, other.depth)
    assert saved(again, tmp_path) == first


def test_refining_keeps_colours_and_moments() -> None:
    state = state_of(full_field((6, 6, 6), 0.1, 2.0))
    state.mean[:], state.square[:], state.peak[:], state.step = 0.25, 0.5, 1.0, 9
    finer = refine_state(state, 0.05)
    assert finer.grid.voxel == pytest.approx(0.05) and finer.step == 9 and finer.grid.index.shape == (13, 13, 13)
    assert not finer.peak.any()
    for name in ("table", "mean", "square"):
        expected = np.broadcast_to(getattr(state, name)[:1], finer.table.shape)
        np.testing.assert_allclose(getattr(finer, name), expected, atol=1e-6)


def test_refining_drops_what_no_view_saw() -> None:
    state = state_of(full_field((8, 8, 8), 0.1, 2.0))
    seen = state.grid.index[:2].reshape(-1)
    state.peak[seen] = 0.9
    finer = refine_state(state, 0.05)
    assert bool((finer.grid.index[:5] >= 0).all()) and bool((finer.grid.index[5:] == -1).all())


def test_extraction_changes_no_image() -> None:
    """What no view saw may go; nothing may come in its place."""
    cells = ball_cells(14)
    grid = make_grid(np.full(3, -0.7), 0.1, cells)
    table = np.tile(np.array([20.0, 0.1, 0.2, 0.7], np.float32), (grid.vertices, 1))
    full = VoxelField(grid, torch.from_numpy(table), WHITE)
    state = state_of(full)
    state.peak[:] = 1.0
    field = extract_field(state, WHITE)
    pose = camera(20, 30).float()
    assert torch.equal(field.render(pose, CAMERA).opacity, full.render(pose, CAMERA).opacity)


def test_white_images_are_refused(views: Views) -> None:
    white = replace(views, images=torch.full_like(views.images, 255))
    with pytest.raises(InputError, match="poses and images"):
        train(white)
