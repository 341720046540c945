"""The voxel field's ray marching in plain torch: what runs on CUDA, and the twin that the compiled loops answer to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from nerf.compositing import accumulate_along_rays, compositing_weights, over_background
from nerf.voxel.grid import BLOCK, STEP, VoxelGrid, occupied_blocks
from nerf.voxel.kernels import EMPTY_RAW_DENSITY, MIN_TRANSMITTANCE

RAYS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class TorchGrid:
    """A grid's arrays on a device."""

    origin: Tensor  # (3,)
    voxel: float
    step: float
    index: Tensor  # (nx, ny, nz) int32
    blocks: Tensor  # bool, see `occupied_blocks`

    @staticmethod
    def of(grid: VoxelGrid, device: torch.device | str) -> TorchGrid:
        """Copy ``grid`` to ``device``."""
        arrays = (grid.origin, grid.index, occupied_blocks(grid.active_cells()))
        origin, index, blocks = (torch.from_numpy(array).to(device) for array in arrays)
        return TorchGrid(origin, grid.voxel, grid.step, index, blocks)

    def to_lattice(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Return rays (rays, 3) in lattice units; distances along them stay in scene units."""
        return (origins - self.origin) / self.voxel, directions / self.voxel

    def nearest_cell(self, cell: Tensor) -> Tensor:
        """Return the cells (samples, 3) of the lattice that are nearest to ``cell`` (samples, 3)."""
        limit = torch.tensor(self.index.shape, device=cell.device) - 2
        return cell.clamp(min=0).minimum(limit)

    def corner_rows(self, cell: Tensor) -> Tensor:
        """Return the table rows (samples, 8) of the corners of cells (samples, 3); -1 where there is none."""
        at = cell[:, None] + corner_offsets(cell.device)
        return self.index[at[..., 0], at[..., 1], at[..., 2]].long()


class RaySamples(NamedTuple):
    """Samples of rays inside active cells, sorted by ray and distance."""

    ray: Tensor  # (samples,)
    distance: Tensor  # (samples,) along the ray, scene units
    rows: Tensor  # (samples, 8) rows of the parameter table
    trilinear: Tensor  # (samples, 8) interpolation weights

    def where(self, chosen: Tensor) -> RaySamples:
        """Return the samples that ``chosen`` (samples,) bool marks."""
        return RaySamples(*(part[chosen] for part in self))


@dataclass(frozen=True)
class MarchedRays:
    """Composited rays."""

    colour: Tensor  # (rays, 3), without the background
    opacity: Tensor  # (rays,)
    depth: Tensor  # (rays,) weighted sum of distances
    rows: Tensor  # (samples, 8) rows of the parameter table
    weights: Tensor  # (samples,) compositing weights
    spread: Tensor  # (rays,) sum of w_i w_j |t_i - t_j| over the pairs of samples, scene units


def corner_offsets(device: torch.device) -> Tensor:
    """Return the offsets (8, 3) of a cell's corners."""
    return torch.tensor(list(np.ndindex(2, 2, 2)), device=device)


def box_interval(origins: Tensor, directions: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the distances (rays,) at which rays (rays, 3), in lattice units, enter and leave the lattice's box."""
    size = torch.tensor([side - 1 for side in shape], device=origins.device, dtype=origins.dtype)
    safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    one, other = (1e-4 - origins) / safe, (size - 1e-4 - origins) / safe
    near = torch.minimum(one, other).amax(-1).clamp(min=0)
    return near, torch.maximum(one, other).amin(-1)


def active_samples(origins: Tensor, directions: Tensor, offsets: Tensor, grid: TorchGrid) -> RaySamples:
    """Return all samples inside active cells.

    Args:
        origins, directions: (rays, 3), world; directions of unit length.
        offsets: (rays,) in [0, 1), distance of the first sample from the box in steps.
    """
    start, direction = grid.to_lattice(origins, directions)
    near, far = box_interval(start, direction, grid.index.shape)
    counts = ((far - near) / grid.step - offsets).ceil().clamp(min=0)
    longest = int(counts.max()) if len(counts) else 0
    number = torch.arange(longest, device=origins.device)
    ray, order = torch.nonzero(number < counts[:, None], as_tuple=True)
    distance = near[ray] + (offsets[ray] + order) * grid.step
    position = start[ray] + direction[ray] * distance[:, None]
    cell = position.floor().long()
    nearest = grid.nearest_cell(cell)
    block = nearest // BLOCK
    inside = (cell == nearest).all(-1) & grid.blocks[block[:, 0], block[:, 1], block[:, 2]]
    ray, distance, position, cell = ray[inside], distance[inside], position[inside], cell[inside]
    rows = grid.corner_rows(cell)
    fraction = (position - cell)[:, None]
    weights = torch.where(corner_offsets(cell.device).bool(), fraction, 1 - fraction).prod(-1)
    return RaySamples(ray, distance, rows, weights).where((rows >= 0).all(-1))


@torch.no_grad()
def dense_samples(origins: Tensor, directions: Tensor, offsets: Tensor, grid: TorchGrid, table: Tensor) -> RaySamples:
    """Return the active samples that absorb enough light to be seen."""
    samples = active_samples(origins, directions, offsets, grid)
    raw = (table[samples.rows, 0] * samples.trilinear).sum(-1)
    return samples.where(raw > float(EMPTY_RAW_DENSITY))


def march_rays(origins: Tensor, directions: Tensor, offsets: Tensor, grid: TorchGrid, table: Tensor) -> MarchedRays:
    """Composite rays (rays, 3), see ``active_samples``; differentiable in ``table`` (vertices, 4)."""
    samples = dense_samples(origins, directions, offsets, grid, table)
    values = (table[samples.rows] * samples.trilinear[..., None]).sum(1)  # (samples, 4)
    rays, weights = len(origins), sample_weights(values[:, 0], samples.ray, len(origins))
    spread = ray_spread(weights, samples.ray, samples.distance, rays)
    colour = accumulate_along_rays(weights[:, None] * values[:, 1:], samples.ray, rays)
    opacity = accumulate_along_rays(weights, samples.ray, rays)
    depth = accumulate_along_rays(weights.detach() * samples.distance, samples.ray, rays)
    return MarchedRays(colour, opacity.clamp(max=1), depth, samples.rows, weights.detach(), spread)


def in_rows(values: Tensor, ray: Tensor, rays: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return ``values`` (samples,), sorted by ray, in one row a ray (rays, longest), and where each sample stands.

    A running sum across rays would leak one ray's rounding into another's gradient.
    """
    count = torch.bincount(ray, minlength=rays)
    first = torch.cumsum(count, 0) - count  # each ray's first sample
    where = (ray, torch.arange(len(ray), device=ray.device) - first[ray])
    empty = values.new_zeros(rays, int(count.max()) if len(ray) else 1)
    return empty.index_put(where, values), where


def sample_weights(raw: Tensor, ray: Tensor, rays: int) -> Tensor:
    """Return the compositing weights (samples,) of samples with raw densities ``raw``, sorted by ray and distance."""
    optical_depth, where = in_rows(softplus(raw) * STEP, ray, rays)
    return compositing_weights(optical_depth, float(MIN_TRANSMITTANCE))[where]


def ray_spread(weights: Tensor, ray: Tensor, distance: Tensor, rays: int) -> Tensor:
    """Return the sum of w_i w_j |t_i - t_j| over the pairs of each ray's samples (rays,); samples sorted by distance.

    The distortion loss of mip-NeRF 360 (arXiv:2111.12077, eq. 15) for samples without length.
    """
    by_ray, _ = in_rows(weights, ray, rays)
    moments, _ = in_rows(weights * distance, ray, rays)
    before, moments_before = by_ray.cumsum(1) - by_ray, moments.cumsum(1) - moments
    return (moments * before - by_ray * moments_before).sum(1)


def shade(
    origins: Tensor, directions: Tensor, ray: Tensor, distance: Tensor, grid: TorchGrid, table: Tensor
) -> tuple[Tensor, Tensor]:
    """Return colour (rays, 3), without the background, and opacity (rays,); differentiable in the rays.

    The samples, ``distance`` (samples,) along each one's ``ray`` (samples,), move with the rays and stay where they
    are along them: gradients flow through the trilinear weights, to no parameter.
    """
    start, direction = grid.to_lattice(origins, directions)  # (rays, 3)
    position = start[ray] + direction[ray] * distance[:, None]  # (samples, 3)
    cell = grid.nearest_cell(position.detach().long())
    rows = grid.corner_rows(cell)
    values = table[rows.clamp(min=0)].unflatten(1, (2, 2, 2)).to(position.dtype)  # (samples, 2, 2, 2, 4)
    for axis, fraction in enumerate((position - cell).unbind(-1)):
        values = torch.lerp(values[:, 0], values[:, 1], fraction.view(-1, *[1] * (3 - axis)))
    weights = sample_weights(values[:, 0], ray, len(origins))
    weights = weights * (rows >= 0).all(-1)  # rounding may put a sample on the other side of a cell's face
    colour = accumulate_along_rays(weights[:, None] * values[:, 1:], ray, len(origins))
    return colour, accumulate_along_rays(weights, ray, len(origins))


def render_pixels(
    pixels: Tensor,
    rays_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    grid: TorchGrid,
    table: Tensor,
    background: tuple[float, float, float],
    contrast: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return colour (height, width, 3), opacity and depth (height, width) at ``pixels`` (height, width, 2).

    Args:
        rays_of: origins and directions of the rays through pixels (rays, 2).
        contrast: pixels that differ from a neighbour by more are rendered again, with 2 x 2 rays.
    """
    behind = torch.tensor(background, device=table.device)

    @torch.no_grad()
    def render_rays(at: Tensor) -> list[Tensor]:
        parts = []
        for chunk in at.reshape(-1, 2).split(RAYS_AT_ONCE):
            marched = march_rays(*rays_of(chunk), torch.full_like(chunk[:, 0], 0.5), grid, table)
            colour = over_background(marched.colour, marched.opacity, behind)
            parts.append((colour, marched.opacity, marched.depth))
        return [torch.cat(part) for part in zip(*parts)]

    shape = pixels.shape[:2]
    colour, opacity, depth = render_rays(pixels)
    again = edge_pixels(torch.cat([colour, opacity[:, None]], -1).reshape(*shape, 4), contrast).reshape(-1)
    if bool(again.any()):
        pattern = torch.tensor([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]], device=pixels.device)
        finer = render_rays(pixels.reshape(-1, 2)[again][:, None] + pattern)
        colour[again], opacity[again], depth[again] = (part.unflatten(0, (-1, 4)).mean(1) for part in finer)
    depth = torch.where(opacity > 1e-3, depth / opacity.clamp(min=1e-3), torch.zeros_like(depth))
    return colour.reshape(*shape, 3), opacity.reshape(shape), depth.reshape(shape)


def edge_pixels(image: Tensor, contrast: float) -> Tensor:
    """Return a mask (height, width) of the pixels that differ from one beside them by more than ``contrast``.

    Args:
        image: (height, width, channels); the largest difference of a channel counts.
    """
    mask = torch.zeros(image.shape[:2], dtype=torch.bool, device=image.device)
    for axis in (0, 1):
        differs = image.diff(dim=axis).abs().amax(-1) > contrast
        for side in (0, 1):
            mask.narrow(axis, side, differs.shape[axis]).logical_or_(differs)
    return mask
