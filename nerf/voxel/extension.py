"""A trained voxel field learns from added views what its own views did not show; all else stays as it is.

What the field's own views showed, it knows from more of them than are added, so those vertices are held: renderings
that show no other surface do not change by a bit, and no old view has to be looked at again. Free to learn is what was
hidden from every old view behind the surface that it showed (space carving, Kutulakos and Seitz 2000), filled with the
same thin grey matter from which training starts. As in training that goes from coarse to fine; vertices that no added
view sees are dropped after each level, which are most, for the inside of every object is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from nerf.residual_building import extend_residual_views
from nerf.residual_views import ResidualViews
from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField
from nerf.voxel.grid import VoxelGrid, cells_around, interpolate, make_grid
from nerf.voxel.kernels import EMPTY_RAW_DENSITY
from nerf.voxel.optimiser import CompiledOptimiser, Optimiser, TorchOptimiser
from nerf.voxel.pixels import TrainingPixels, select_pixels, shrink_factor
from nerf.voxel.state import VoxelTrainingState
from nerf.voxel.train import COARSEST_MARGIN, INITIAL_RAW_DENSITY, OUTSIDE_RAW_DENSITY, SMOOTH_EVERY
from utils.exposure import normalise_exposure, view_gains
from utils.hull import silhouettes
from utils.run_context import RunContext
from utils.views import Views

OUTSIDE = np.array([OUTSIDE_RAW_DENSITY, 0.5, 0.5, 0.5], np.float32)  # of vertices in no cell of the level before
PASSES = 2.0  # times that a level draws each pixel, about
MIN_STEPS = 25  # of a level
SHOWS = 0.02  # opacity of learned matter in a pixel from which the pixel is trained
BEHIND = 0.75  # voxels that a hidden point lies behind the surface that a view shows, at least
HELD_BEHIND = 2.5  # likewise, up to which vertices that the field has are held, for they show through its surface
SLACK = 4  # pixels by which an added silhouette may be wrong


@dataclass(frozen=True)
class Extension:
    """What all levels of an extension share."""

    field: VoxelField  # as trained
    stored: ResidualViews  # its own, whose depths say what the old views showed
    views: Views  # the added ones, exposed as the field is
    masks: np.ndarray  # (views, height, width) bool silhouettes
    pixel: float  # side of a pixel at the object's distance, scene units
    config: FieldConfig
    context: RunContext

    def level(self, number: int, old: VoxelField, before: VoxelTrainingState | None) -> VoxelTrainingState | None:
        """Train one level of the field, from the coarsest on.

        Args:
            number: of the level.
            old: the level as trained.
            before: what the level before ended with.
        Returns:
            The level's state; its peaks are those of vertices that are free. None where no added view sees any, as
            where the voxels are larger than what is hidden: then the next level begins afresh.
        """
        state, free = self.start(old, before)
        views = self.views.shrunk(shrink_factor(self.pixel, state.grid.voxel))
        pixels = select_pixels(views, self.masks, *(() if number else (COARSEST_MARGIN,)))
        pixels = shown_pixels(pixels, views, state, free, margin=1 if number else 4)
        if not free.any() or len(pixels.pixels) == 0:
            return None
        begin, end = ([0, *self.config.level_ends()])[number : number + 2]
        steps = int(np.clip(PASSES * len(pixels.pixels) / self.config.rays_per_step, MIN_STEPS, (end - begin) / 2))
        self.train(state, views, pixels, ~free, steps, number)
        state.peak[~free] = 0.0
        return state

    def start(self, old: VoxelField, before: VoxelTrainingState | None) -> tuple[VoxelTrainingState, np.ndarray]:
        """Return the state that a level starts with, and which of its vertices are free (vertices,) bool."""
        points, known, voxel = lattice_points(old.grid), old.grid.index >= 0, old.grid.voxel
        if before is None:
            cells = cells_around(self.hidden(points, BEHIND * voxel).reshape(known.shape))
        else:
            cells = cells_around(kept_vertices(before))[finer_cells(before.grid, old.grid)]
        grid = make_grid(old.grid.origin, voxel, cells | old.grid.active_cells())
        there = grid.index >= 0
        inside = points[torch.from_numpy(np.flatnonzero(there))]
        held = known[there] & ~self.hidden(inside, HELD_BEHIND * voxel)
        if before is None:
            table = np.tile(OUTSIDE, (grid.vertices, 1))
            table[self.hidden(inside, BEHIND * voxel), 0] = INITIAL_RAW_DENSITY
        else:
            at = np.argwhere(there).astype(np.float32) * np.float32(voxel / before.grid.voxel)
            table = interpolate(before.grid, before.table, at, OUTSIDE)
        table[held] = old.table.numpy()[old.grid.index[there][held]]
        zeros = np.zeros_like(table)
        return VoxelTrainingState(grid, table, zeros, zeros.copy(), np.zeros(grid.vertices, np.float32)), ~held

    def hidden(self, points: Tensor, behind: float) -> np.ndarray:
        """Return which points (points, 3) no old view showed nor saw through, and all added ones may: bool (points,).

        An old view shows what lies up to ``behind`` scene units behind its surface.
        """
        count = len(self.stored.depths)
        mixed = np.random.default_rng(0).permutation(count)  # so that each shows much that the ones before did not
        left = torch.arange(len(points))
        for view in mixed.tolist():
            left = left[behind_surface(self.stored, view, points[left], behind)]
        for mask, pose in zip(self.masks, self.views.camera_to_world):
            left = left[may_show(mask, pose, self.views, points[left])]
        found = np.zeros(len(points), bool)
        found[left.numpy()] = True
        return found

    def train(
        self, state: VoxelTrainingState, views: Views, pixels: TrainingPixels, held: np.ndarray, steps: int, level: int
    ) -> None:
        """Take the optimiser steps of one level, in place."""
        optimiser: Optimiser
        if self.context.device.type == "cpu":
            optimiser = CompiledOptimiser(state, views, self.config.spread, held)
        else:
            optimiser = TorchOptimiser(state, views, self.config.spread, self.context.device, held)
        for step in range(steps):
            done = step / steps
            generator = np.random.default_rng([self.context.seed, level, step])
            batch, offsets = pixels.draw_batch(self.config.rays_per_step, generator)
            decay = np.float32(self.config.lr_decay**done)
            rates = np.array([self.config.density_lr, *[self.config.colour_lr] * 3], np.float32) * decay
            smoothing = min(SMOOTH_EVERY * self.config.density_smoothing * 0.05**done, 0.5)
            optimiser.step(batch, offsets, rates, 0.0 if step % SMOOTH_EVERY else smoothing, mark=done >= 0.6)
        optimiser.read_back(state)


def extend_voxel_field(
    field: VoxelField, views: Views, config: FieldConfig, context: RunContext, new_surface: bool = True
) -> VoxelField:
    """Return a trained field that also knows ``views``: their surfaces where it had none, and their residuals.

    Args:
        field: with residual views; it stays as it is.
        views: added ones, with their poses.
        new_surface: whether they show any that it had not; else only their residuals are added.
    """
    stored = field.residual_views
    assert stored is not None
    masks = silhouettes(views)
    if field.exposure_varies:
        views = normalise_exposure(views, view_gains(views, field.render, absolute=True)[0], masks)
    if not new_surface:
        return replace(field, residual_views=extend_residual_views(stored, field.render, views))
    grown = replace(field.to_device("cpu"), residual_views=None)
    levels: list[VoxelField] = []
    state = None
    extension = Extension(grown, stored.to_device("cpu"), views, masks, pixel_side(field, views), config, context)
    for number, old in enumerate((*grown.coarser, replace(grown, coarser=()))):
        state = extension.level(number, old, state)
        levels.append(old if state is None else merged_level(old, state))
    grown = replace(grown, grid=levels[-1].grid, table=levels[-1].table, coarser=tuple(levels[:-1]))
    grown = grown.to_device(context.device)
    return replace(grown, residual_views=extend_residual_views(stored, grown.render, views))


def pixel_side(field: VoxelField, views: Views) -> float:
    """Return the side of a pixel at the distance of the field's middle, in scene units."""
    centre = torch.from_numpy(field.grid.origin + 0.5 * field.grid.voxel * np.array(field.grid.index.shape))
    distance = (views.camera_to_world[:, :3, 3] - centre).norm(dim=1).median()
    return float(distance) / max(views.intrinsics.focal_x, views.intrinsics.focal_y)


def lattice_points(grid: VoxelGrid) -> Tensor:
    """Return the world positions (nx ny nz, 3) of all vertices of a grid's lattice."""
    axes = [torch.arange(count, dtype=torch.float32) for count in grid.index.shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    return torch.from_numpy(grid.origin) + grid.voxel * points


def kept_vertices(state: VoxelTrainingState) -> np.ndarray:
    """Return which vertices (nx, ny, nz) of a state's lattice are free and were seen."""
    kept, present = np.zeros(state.grid.index.shape, bool), state.grid.index >= 0
    kept[present] = state.peak[state.grid.index[present]] > 0.05
    return kept


def finer_cells(coarse: VoxelGrid, fine: VoxelGrid) -> tuple[np.ndarray, ...]:
    """Return by which indices an array of ``coarse`` cells becomes one of ``fine`` cells, as in ``refine_grid``."""
    ratio = coarse.voxel / fine.voxel
    counts = [count - 1 for count in fine.index.shape]
    middles = [(np.arange(count) + 0.5) / ratio for count in counts]
    limits = [count - 2 for count in coarse.index.shape]
    return np.ix_(*[np.minimum(middle.astype(int), limit) for middle, limit in zip(middles, limits)])


def behind_surface(stored: ResidualViews, view: int, points: Tensor, margin: float) -> Tensor:
    """Return which points (points, 3) an old view does not show: (points,) bool.

    They lie farther than ``margin`` scene units behind the surface that it shows, or outside of its frame.
    """
    pose, lens, depths = stored.camera_to_world[view], stored.intrinsics, stored.depths[view]
    offset = points - pose[:3, 3]
    x, y, z = (offset @ pose[:3, :3]).unbind(-1)
    column = (lens.centre_x - lens.focal_x * x / z).floor().long()
    row = (lens.centre_y + lens.focal_y * y / z).floor().long()
    framed = (z < 0) & (column >= 0) & (row >= 0) & (column < lens.width) & (row < lens.height)
    column, row = column - int(stored.corners[view, 0]), row - int(stored.corners[view, 1])
    within = framed & (column >= 0) & (row >= 0) & (column < depths.shape[1]) & (row < depths.shape[0])
    code = torch.where(within, depths[row.clamp(0, depths.shape[0] - 1), column.clamp(0, depths.shape[1] - 1)], 0)
    surface = stored.ranges[view, 0] + code * stored.ranges[view, 1]
    return ~framed | ((code > 0) & (offset.norm(dim=1) > surface + margin))


def may_show(mask: np.ndarray, pose: Tensor, views: Views, points: Tensor) -> Tensor:
    """Return which points (points, 3) lie in a silhouette (height, width) grown by ``SLACK``, or out of its frame."""
    camera = views.intrinsics
    x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).unbind(-1)
    column = (camera.centre_x - camera.focal_x * x / z).floor().long()
    row = (camera.centre_y + camera.focal_y * y / z).floor().long()
    framed = (z < 0) & (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    grown = torch.from_numpy(cv2.dilate(mask.astype(np.uint8), np.ones((2 * SLACK + 1,) * 2, np.uint8)) > 0)
    return ~framed | grown[row.clamp(0, camera.height - 1), column.clamp(0, camera.width - 1)]


def shown_pixels(
    pixels: TrainingPixels, views: Views, state: VoxelTrainingState, free: np.ndarray, margin: int
) -> TrainingPixels:
    """Select the pixels in or beside which free matter shows.

    The field is rendered with white free matter and all else black, before a black background.
    """
    marked = state.table.copy()
    marked[:, 1:] = free[:, None]
    field = VoxelField(state.grid, torch.from_numpy(marked), (0.0, 0.0, 0.0))
    kernel, shown = np.ones((2 * margin + 1,) * 2, np.uint8), []
    for pose in views.camera_to_world:
        colour = field.render(pose, views.intrinsics).colour[..., 0]
        shown.append(cv2.dilate((colour > SHOWS).numpy().astype(np.uint8), kernel) > 0)
    view, column, row = pixels.pixels[:, :3].T
    return TrainingPixels(pixels.pixels[np.stack(shown)[view, row, column]])


def merged_level(old: VoxelField, state: VoxelTrainingState) -> VoxelField:
    """Return the level with the cells that were learned, without those that are empty or that no view sees."""
    present = state.grid.index >= 0
    seen, solid = np.zeros(present.shape, bool), np.zeros(present.shape, bool)
    seen[present] = (state.peak > 0.01)[state.grid.index[present]]
    solid[present] = (state.table[:, 0] > EMPTY_RAW_DENSITY)[state.grid.index[present]]
    learned = cells_around(seen) & cells_around(solid) & state.grid.active_cells()
    grid = make_grid(old.grid.origin, old.grid.voxel, learned | old.grid.active_cells())
    rows = state.grid.index[grid.index >= 0]
    return replace(old, grid=grid, table=torch.from_numpy(state.table[rows]))
