"""One optimiser step on the voxel field: compiled on the CPU, in torch on other devices."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np
import torch
from torch import Tensor

from nerf.compositing import over_background
from nerf.voxel.adam_kernels import adam_step, smooth_density
from nerf.voxel.kernels import GRADIENT_COLUMNS, accumulate_gradient
from nerf.voxel.state import VoxelTrainingState
from nerf.voxel.torch_march import TorchGrid, march_rays
from utils.camera import camera_directions
from utils.views import Views

DENSITY_BOUND = 30.0  # raw densities stay within +- this
MAX_CHUNKS = 8  # gradient buffers, at most; one a thread
REFRESH_EVERY = 10  # steps after which the solid cells are found again; checkpoints are written at multiples of it


def drawn_background(plain: np.ndarray, step: int) -> np.ndarray:
    """Return the RGB (3,) float32 before which cut-out views are shown in a step: their own in every second one.

    Before one colour alone, matter of that colour costs nothing, and a surface of that colour may as well be missing.
    """
    return plain if step % 2 else np.random.default_rng(step).random(3, dtype=np.float32)


class Optimiser(Protocol):
    """Takes steps on a state's table."""

    def step(self, batch: np.ndarray, offsets: np.ndarray, rates: np.ndarray, smoothing: float, mark: bool) -> float:
        """Take one step and return the mean squared error before it.

        Args:
            batch, offsets: see ``TrainingPixels.draw_batch``.
            rates: (4,) learning rates of raw density and RGB.
            smoothing: how far raw densities move to their neighbours' mean, in [0, 1].
            mark: whether to update the peaks.
        """

    def read_back(self, state: VoxelTrainingState) -> None:
        """Copy table, moments and peaks into ``state``."""


class CompiledOptimiser:
    """Adam on the touched vertices, in compiled loops, in place on the state's arrays; ``held`` ones stay as they are.

    ``held`` is (vertices,) bool.
    """

    def __init__(self, state: VoxelTrainingState, views: Views, spread: float, held: np.ndarray | None = None) -> None:
        self.state, self.count, self.spread = state, state.step, np.float32(spread)
        self.held = None if held is None else (held[:, None], state.table.copy())
        cameras = views.camera_to_world.float().contiguous().numpy()
        alphas = np.empty((0, 0, 0), np.uint8) if views.alphas is None else views.alphas.numpy()
        self.plain = np.array(views.background, np.float32)
        self.views = (cameras, views.intrinsics.as_array(), views.images.numpy(), alphas, self.plain)
        chunks = min(numba.get_num_threads(), MAX_CHUNKS)
        self.gradient = np.zeros((chunks, state.grid.vertices, GRADIENT_COLUMNS), np.float32)
        touched = np.empty((chunks, state.grid.vertices), np.int32)
        self.buffers = (self.gradient, touched, np.empty(chunks, np.int64))
        self.neighbours, self.active = state.grid.neighbour_rows(), state.grid.active_cells()
        self.scratch = np.empty(state.grid.vertices, np.float32)
        self.grid = state.grid.arrays(state.table, self.active)

    def step(self, batch: np.ndarray, offsets: np.ndarray, rates: np.ndarray, smoothing: float, mark: bool) -> float:
        """See ``Optimiser``."""
        state = self.state
        if self.count % REFRESH_EVERY == 0:
            self.grid = state.grid.arrays(state.table, self.active)
        error = self.accumulate(batch, offsets)
        self.count += 1
        correction = np.array([1 - 0.9**self.count, 1 - 0.99**self.count], np.float32)
        moments = (state.mean, state.square)
        adam_step(state.table, moments, *self.buffers, rates, correction, state.peak, mark)
        if smoothing > 0:
            amount, bound = np.float32(smoothing), np.float32(DENSITY_BOUND)
            smooth_density(state.table, self.neighbours, amount, bound, self.scratch)
        if self.held is not None:
            np.copyto(state.table, self.held[1], where=self.held[0])
        return error

    def accumulate(self, batch: np.ndarray, offsets: np.ndarray) -> float:
        """Add the batch's gradient to the buffers and return its mean squared error."""
        behind = drawn_background(self.plain, self.count) if self.views[3].size else self.plain
        return float(accumulate_gradient(batch, offsets, (*self.views, behind), self.grid, self.spread, *self.buffers))

    def read_back(self, state: VoxelTrainingState) -> None:
        """See ``Optimiser``; all but the count lives in the state already."""


class TorchOptimiser:
    """The same step with torch's automatic differentiation, on any device."""

    def __init__(
        self,
        state: VoxelTrainingState,
        views: Views,
        spread: float,
        device: torch.device,
        held: np.ndarray | None = None,
    ) -> None:
        self.grid = TorchGrid.of(state.grid, device)
        self.table, self.mean, self.square, self.peak = (
            torch.from_numpy(array).to(device).clone() for array in (state.table, state.mean, state.square, state.peak)
        )
        self.camera, self.images = views.intrinsics, views.images.to(device)
        self.cameras = views.camera_to_world.float().to(device)
        self.alphas = None if views.alphas is None else views.alphas.to(device)
        self.plain = np.array(views.background, np.float32)
        self.neighbours = torch.from_numpy(state.grid.neighbour_rows()).to(device).long()
        self.count, self.spread = state.step, spread
        self.held = None if held is None else (torch.from_numpy(held)[:, None].to(device), self.table.clone())

    def step(self, batch: np.ndarray, offsets: np.ndarray, rates: np.ndarray, smoothing: float, mark: bool) -> float:
        """See ``Optimiser``."""
        self.table.requires_grad_(True)
        error, cost = self.error(torch.from_numpy(batch), torch.from_numpy(offsets), mark)
        (gradient,) = torch.autograd.grad(cost, self.table)
        self.table = self.table.detach()
        self.count += 1
        touched = gradient != 0
        self.mean = torch.where(touched, 0.9 * self.mean + 0.1 * gradient, self.mean)
        self.square = torch.where(touched, 0.99 * self.square + 0.01 * gradient**2, self.square)
        size = (self.square / (1 - 0.99**self.count)).sqrt() + 1e-12
        change = torch.from_numpy(rates).to(self.table) * (self.mean / (1 - 0.9**self.count)) / size
        self.table = self.table - torch.where(touched, change, 0.0)
        if smoothing > 0:
            self.table[:, 0] = smooth_raw_density(self.table[:, 0], self.neighbours, smoothing)
        if self.held is not None:
            self.table = torch.where(*self.held, self.table)
        return float(error.detach())

    def error(self, batch: Tensor, offsets: Tensor, mark: bool) -> tuple[Tensor, Tensor]:
        """Return the mean squared colour error of ``batch``, and half its sum plus the cost of the rays' spread.

        The latter is what is descended; it is differentiable in the table.
        """
        device = self.table.device
        view, column, row, rays = batch.to(device).long().unbind(-1)
        pixel = torch.repeat_interleave(torch.arange(len(batch), device=device), rays)
        first = torch.cumsum(rays, 0) - rays
        number = torch.arange(len(pixel), device=device) - first[pixel]
        fine = (rays[pixel] == 4)[:, None]
        pattern = torch.where(fine, 0.25 + 0.5 * torch.stack([number % 2, number // 2], -1), 0.5)
        at = torch.stack([column, row], -1)[pixel] + pattern
        pose = self.cameras[view[pixel]]
        directions = (pose[:, :3, :3] @ camera_directions(at, self.camera)[..., None])[..., 0]
        marched = march_rays(pose[:, :3, 3], directions, offsets.to(device)[pixel], self.grid, self.table)
        behind, target = torch.from_numpy(self.plain).to(device), self.images[view, row, column].float() / 255
        if self.alphas is not None:
            drawn = torch.from_numpy(drawn_background(self.plain, self.count)).to(device)
            target = target + (1 - self.alphas[view, row, column].float()[:, None] / 255) * (drawn - behind)
            behind = drawn
        colour = over_background(marched.colour, marched.opacity, behind)
        mean = torch.zeros(len(batch), 3, device=device).index_add(0, pixel, colour / rays[pixel][:, None])
        if mark:
            weights = marched.weights[:, None].expand(-1, 8).reshape(-1)
            self.peak.scatter_reduce_(0, marched.rows.reshape(-1), weights, "amax")
        square = (mean - target) ** 2
        return square.mean(), 0.5 * square.sum() + self.spread / self.grid.voxel * marched.spread.sum()

    def read_back(self, state: VoxelTrainingState) -> None:
        """See ``Optimiser``."""
        arrays = (self.table, self.mean, self.square, self.peak)
        state.table, state.mean, state.square, state.peak = (array.cpu().numpy().copy() for array in arrays)


def smooth_raw_density(raw: Tensor, neighbours: Tensor, amount: float) -> Tensor:
    """Return raw densities (vertices,) moved to their neighbours' mean; the twin of ``adam_kernels.smooth_density``.

    Args:
        neighbours: (vertices, 6), see ``VoxelGrid.neighbour_rows``.
    """
    pairs = neighbours.reshape(-1, 3, 2)
    both = (pairs >= 0).all(-1)
    bends = raw[pairs.clamp(min=0)].mean(-1) - raw[:, None]
    bend = torch.where(both, bends, torch.zeros_like(bends)).sum(-1)
    return (raw + amount * bend / both.sum(-1).clamp(min=1)).clamp(-DENSITY_BOUND, DENSITY_BOUND)
