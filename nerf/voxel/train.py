"""Training of the voxel field, coarse to fine, from the visual hull of the views."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nerf.residual_building import build_residual_views
from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField
from nerf.voxel.grid import cells_around, interpolate, make_grid, refine_grid
from nerf.voxel.kernels import EMPTY_RAW_DENSITY
from nerf.voxel.optimiser import CompiledOptimiser, Optimiser, TorchOptimiser
from nerf.voxel.pixels import SILHOUETTE_MARGIN, select_pixels, shrink_factor
from nerf.voxel.state import VoxelTrainingState, load_state, save_state
from utils.exposure import gains_vary, normalise_exposure, view_gains
from utils.hull import Hull, object_bounds, silhouettes, visual_hull
from utils.run_context import RunContext
from utils.views import Views

INITIAL_RAW_DENSITY = -1.5  # inside the visual hull; low, so that occluded voxels also receive gradients
OUTSIDE_RAW_DENSITY = -7.0  # of vertices that refinement adds where there was no grid
SAVE_EVERY = 200  # steps between two checkpoints
PSNR_EVERY = 20  # steps over which the displayed PSNR is averaged
SMOOTH_EVERY = 8  # steps between two smoothings of the densities
GAUGED_VIEWS = 32  # views, about, on which it is found out whether exposures vary
COARSEST_MARGIN = 12  # pixels around the silhouettes that the first level trains, to carve away what lies outside


@dataclass(frozen=True)
class VoxelTrainer:
    """What all levels of a training share."""

    views: Views
    masks: np.ndarray  # (views, height, width) bool silhouettes
    pixel: float  # side of a pixel at the object's distance, scene units
    config: FieldConfig
    context: RunContext
    checkpoint_path: Path | None

    def train_level(self, state: VoxelTrainingState, level: int, bar: tqdm) -> None:
        """Take the optimiser steps of one level, in place, on views whose pixels are not much larger than a voxel."""
        config, context = self.config, self.context
        views = self.views if state.gains is None else normalise_exposure(self.views, state.gains, self.masks)
        views = views.shrunk(shrink_factor(self.pixel, state.grid.voxel))
        pixels = select_pixels(views, self.masks, SILHOUETTE_MARGIN if level else COARSEST_MARGIN)
        begin, end = ([0, *config.level_ends()])[level : level + 2]
        optimiser: Optimiser
        if context.device.type == "cpu":
            optimiser = CompiledOptimiser(state, views, config.spread)
        else:
            optimiser = TorchOptimiser(state, views, config.spread, context.device)
        errors: list[float] = []
        for step in range(state.step, end):
            done = (step - begin) / (end - begin)
            batch, offsets = pixels.draw_batch(config.rays_per_step, np.random.default_rng([context.seed, step]))
            decay = np.float32(config.lr_decay**done)
            rates = np.array([config.density_lr, *[config.colour_lr] * 3], np.float32) * decay
            smoothing = 0.0 if step % SMOOTH_EVERY else min(SMOOTH_EVERY * config.density_smoothing * 0.05**done, 0.5)
            errors.append(optimiser.step(batch, offsets, rates, smoothing, mark=done >= 0.6))
            bar.update()
            if len(errors) == PSNR_EVERY:
                bar.set_postfix_str(f"PSNR {-10 * math.log10(sum(errors) / PSNR_EVERY):.1f} dB")
                errors.clear()
            if self.checkpoint_path and (step + 1) % SAVE_EVERY == 0 and step + 1 < end:
                self.save(state, optimiser, step + 1)
        self.save(state, optimiser, end)

    def save(self, state: VoxelTrainingState, optimiser: Optimiser, step: int) -> None:
        """Bring ``state`` up to date and write a checkpoint, if there is a path for it."""
        optimiser.read_back(state)
        state.step = step
        if self.checkpoint_path:
            save_state(self.checkpoint_path, state)


def train_voxel_field(
    views: Views, config: FieldConfig, context: RunContext, checkpoint_path: Path | None
) -> VoxelField:
    """Train a field on ``views``; resume from ``checkpoint_path`` if an interrupted training left its state there.

    Training starts from the visual hull at a low density; Adam on colours and densities carves what the silhouettes
    left standing. After each level the grid is reduced to what the views see and refined.
    """
    masks, share = silhouettes(views), config.hull_min_view_share
    low, high = object_bounds(masks, views.camera_to_world, views.intrinsics, share)
    resolutions, ends = config.resolutions(), config.level_ends()
    hull = visual_hull(masks, views.camera_to_world, views.intrinsics, (low, high), resolutions[0], share)
    state = load_state(checkpoint_path) or init_from_hull(hull)
    distance = (views.camera_to_world[:, :3, 3] - 0.5 * (low + high)).norm(dim=1).median()
    pixel = float(distance) / max(views.intrinsics.focal_x, views.intrinsics.focal_y)
    trainer = VoxelTrainer(views, masks, pixel, config, context, checkpoint_path)
    with context.progress.bar("train", ends[-1]) as bar:
        bar.update(state.step)
        for level, (resolution, end) in enumerate(zip(resolutions, ends)):
            if state.step >= end and level + 1 < len(ends):
                continue
            if level and context.refine_cameras:
                views = context.refine_cameras(level, views, partial(finished_field, state, views.background))
                trainer = replace(trainer, views=views)
            voxel = float((high - low).max()) / resolution
            if state.grid.voxel > 1.01 * voxel:
                state = start_level(state, views, voxel)
            trainer.train_level(state, level, bar)
    field = finished_field(state, views.background).to_device(context.device)
    if not config.residual_views:
        return field
    exposed = views if state.gains is None else normalise_exposure(views, state.gains, masks)
    return replace(field, residual_views=build_residual_views(field.render, exposed, config.residual_views))


def init_from_hull(hull: Hull) -> VoxelTrainingState:
    """Return the initial state: the visual hull, grey, at a low density."""
    grid = make_grid(hull.low.numpy(), hull.side, cells_around(hull.inside.numpy()))
    table = np.full((grid.vertices, 4), 0.5, np.float32)
    table[:, 0] = INITIAL_RAW_DENSITY
    peak = np.zeros(grid.vertices, np.float32)
    return VoxelTrainingState(grid, table, np.zeros_like(table), np.zeros_like(table), peak)


def start_level(state: VoxelTrainingState, views: Views, voxel: float) -> VoxelTrainingState:
    """Return the state with which the level of side ``voxel`` starts: the last level is kept and the grid refined.

    Exposure gains are estimated against the last level: of some views, and of all once they are found to vary.
    """
    level, finer = extract_field(state, views.background), refine_state(state, voxel)
    some = views.subset(list(range(0, len(views), -(-len(views) // GAUGED_VIEWS))))
    varies = state.gains is not None or gains_vary(*view_gains(some, level.render))
    gains = view_gains(views, level.render)[0] if varies else None
    return replace(finer, coarser=(*state.coarser, level), gains=gains)


def refine_state(state: VoxelTrainingState, voxel: float) -> VoxelTrainingState:
    """Return the state on a grid with voxels of side ``voxel``, reduced to what was seen, with Adam's moments."""
    grid, positions = refine_grid(state.grid, state.peak > 0.05, state.grid.voxel / voxel)
    outside = np.array([OUTSIDE_RAW_DENSITY, 0.5, 0.5, 0.5, *[0.0] * 8], np.float32)
    columns = np.concatenate([state.table, state.mean, state.square], axis=1)
    parts = np.split(interpolate(state.grid, columns, positions, outside), 3, axis=1)
    table, mean, square = (np.ascontiguousarray(part) for part in parts)
    return VoxelTrainingState(grid, table, mean, square, np.zeros(grid.vertices, np.float32), state.step)


def finished_field(state: VoxelTrainingState, background: tuple[float, float, float]) -> VoxelField:
    """Return the field with its coarser levels, on the CPU."""
    field = extract_field(state, background)
    return replace(field, coarser=state.coarser, exposure_varies=state.gains is not None)


def extract_field(state: VoxelTrainingState, background: tuple[float, float, float]) -> VoxelField:
    """Return the field, on the CPU, without the cells that no view sees or that are empty at all corners."""
    present = state.grid.index >= 0
    seen, solid = np.zeros(present.shape, bool), np.zeros(present.shape, bool)
    seen[present] = (state.peak > 0.01)[state.grid.index[present]]
    solid[present] = (state.table[:, 0] > EMPTY_RAW_DENSITY)[state.grid.index[present]]
    cells = cells_around(seen) & cells_around(solid) & state.grid.active_cells()
    grid = make_grid(state.grid.origin, state.grid.voxel, cells)
    rows = state.grid.index[grid.index >= 0]
    return VoxelField(grid, torch.from_numpy(state.table[rows]), background)
