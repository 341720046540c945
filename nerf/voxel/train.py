"""Training of the voxel field, coarse to fine, from the visual hull of the views."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField, active_cells
from nerf.voxel.grid import cells_around, interpolate, make_grid, refine_grid
from nerf.voxel.optimiser import CompiledOptimiser, Optimiser, TorchOptimiser
from nerf.voxel.pixels import Pixels, training_pixels
from nerf.voxel.state import State, load_state, save_state
from utils.exposure import gains_vary, normalise_exposure, view_gains
from utils.hull import Hull, object_bounds, silhouettes, visual_hull
from utils.progress import Progress
from utils.views import Views

FOG = -1.5  # raw density of the hull at first: thin, so that what lies behind learns too
FAINT = -4.0  # raw density below which a sample takes less than a hundredth of the light
EMPTY = -7.0  # raw density outside the grid
SAVE_EVERY = 200  # steps between two checkpoints


def train_field(
    views: Views,
    config: FieldConfig,
    device: torch.device,
    seed: int,
    checkpoint_path: Path | None,
    progress: Progress,
) -> VoxelField:
    """A field trained on ``views``; continues from ``checkpoint_path`` where an interrupted training left one.

    The visual hull, carved by vote, is a fog at first; Adam on its colours and densities carves what the silhouettes
    left standing. After each level the grid is cut down to what the views see and refined.
    """
    masks = silhouettes(views)
    first, ends = config.resolutions()[0], config.level_ends()
    low, high = object_bounds(masks, views.camera_to_world, views.intrinsics, config.hull_min_view_share)
    hull = visual_hull(masks, views.camera_to_world, views.intrinsics, (low, high), first, config.hull_min_view_share)
    state = load_state(checkpoint_path) or fog(hull)
    pixels = training_pixels(views, masks, hull.points)
    with progress.bar("train", ends[-1]) as bar:
        bar.update(state.step)
        for level, (resolution, end) in enumerate(zip(config.resolutions(), ends)):
            if state.step >= end and level + 1 < len(ends):
                continue
            if state.grid.voxel > 1.01 * float((high - low).max()) / resolution:
                last, gains = finished(state, views), state.gains
                coarser = (*state.coarser, last)
                state = refine(state, first_voxel(low, high, resolution))
                state.coarser, state.gains = coarser, updated_gains(gains, views, last)
            train_level(state, even(views, state, masks), pixels, config, level, device, seed, checkpoint_path, bar)
    field = replace(finished(state, views), exposure_varies=state.gains is not None)
    return replace(on(field, device), coarser=tuple(on(level, device) for level in state.coarser))


def updated_gains(gains: np.ndarray | None, views: Views, field: VoxelField) -> np.ndarray | None:
    """The views' gains against what a level ended with; None as long as they do not tell of different exposures."""
    found, scatter = view_gains(views, field.render)
    return found if gains is not None or gains_vary(found, scatter) else None


def even(views: Views, state: State, masks: np.ndarray) -> Views:
    """The views as one exposure would have shown them; as they are where they were exposed alike."""
    return views if state.gains is None else normalise_exposure(views, state.gains, masks)


def first_voxel(low: torch.Tensor, high: torch.Tensor, resolution: int) -> float:
    """Side of a voxel of which ``resolution`` span the box's longest side."""
    return float((high - low).max()) / resolution


def fog(hull: Hull) -> State:
    """The state training begins with: the visual hull, a grey fog."""
    grid = make_grid(hull.low.numpy(), hull.side, cells_around(hull.inside.numpy()))
    table = np.full((grid.vertices, 4), 0.5, np.float32)
    table[:, 0] = FOG
    return State(grid, table, np.zeros_like(table), np.zeros_like(table), np.zeros(grid.vertices, np.float32))


def refine(state: State, voxel: float) -> State:
    """The state on a grid with voxels of side ``voxel``, cut down to what was seen; Adam goes on with its moments."""
    grid, positions = refine_grid(state.grid, state.peak > 0.05, state.grid.voxel / voxel)
    outside = np.array([EMPTY, 0.5, 0.5, 0.5, *[0.0] * 8], np.float32)
    everything = np.concatenate([state.table, state.mean, state.square], axis=1)
    parts = np.split(interpolate(state.grid, everything, positions, outside), 3, axis=1)
    table, mean, square = (np.ascontiguousarray(part) for part in parts)
    return State(grid, table, mean, square, np.zeros(grid.vertices, np.float32), state.step)


def train_level(
    state: State,
    views: Views,
    pixels: Pixels,
    config: FieldConfig,
    level: int,
    device: torch.device,
    seed: int,
    checkpoint_path: Path | None,
    bar: object,
) -> None:
    """The optimiser steps of one level, in place."""
    begin, end = ([0, *config.level_ends()])[level : level + 2]
    optimiser: Optimiser
    if device.type == "cpu":
        optimiser = CompiledOptimiser(state, views)
    else:
        optimiser = TorchOptimiser(state, views, device)
    errors: list[float] = []
    for step in range(state.step, end):
        done = (step - begin) / (end - begin)
        batch, offsets = pixels.batch(config.rays_per_step, np.random.default_rng([seed, step]))
        decay = config.lr_decay**done
        rates = np.array([config.density_lr, *[config.colour_lr] * 3], np.float32) * np.float32(decay)
        errors.append(optimiser.step(batch, offsets, rates, config.density_smoothing * 0.05**done, mark=done >= 0.6))
        bar.update()  # type: ignore[attr-defined]
        if len(errors) == 20:
            bar.set_postfix_str(f"PSNR {-10 * math.log10(sum(errors) / 20):.1f} dB")  # type: ignore[attr-defined]
            errors.clear()
        if checkpoint_path and (step + 1) % SAVE_EVERY == 0 and step + 1 < end:
            optimiser.read_back(state)
            state.step = step + 1
            save_state(checkpoint_path, state)
    optimiser.read_back(state)
    state.step = end
    if checkpoint_path:
        save_state(checkpoint_path, state)


def finished(state: State, views: Views) -> VoxelField:
    """The field, on the CPU, without the cells that no view sees or that are empty at all corners."""
    has = state.grid.index >= 0
    seen, solid = np.zeros(has.shape, bool), np.zeros(has.shape, bool)
    seen[has] = (state.peak > 0.01)[state.grid.index[has]]
    solid[has] = (state.table[:, 0] > FAINT)[state.grid.index[has]]
    cells = cells_around(seen) & cells_around(solid) & active_cells(state.grid)
    grid = make_grid(state.grid.origin, state.grid.voxel, cells)
    rows = state.grid.index[grid.index >= 0]
    return VoxelField(grid, torch.from_numpy(state.table[rows]), views.background)


def on(field: VoxelField, device: torch.device) -> VoxelField:
    """The field with its parameters on ``device``."""
    return replace(field, table=field.table.to(device))
