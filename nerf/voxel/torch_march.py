"""The voxel field's ray marching in plain torch: what runs on CUDA, and the twin that the compiled loops answer to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nerf.voxel.grid import BLOCK, Grid

OPAQUE = 0.005  # transmittance below which a ray ends
FAINT = 1e-3  # optical depth below which a sample is skipped
RAYS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class TorchGrid:
    """A grid's arrays on a device."""

    origin: Tensor  # (3,)
    voxel: float
    index: Tensor  # (nx, ny, nz) int32
    blocks: Tensor  # bool

    @staticmethod
    def of(grid: Grid, device: torch.device | str) -> TorchGrid:
        """``grid`` on ``device``."""
        arrays = (torch.from_numpy(a).to(device) for a in (grid.origin, grid.index, grid.blocks))
        origin, index, blocks = arrays
        return TorchGrid(origin, grid.voxel, index, blocks)


@dataclass(frozen=True)
class Marched:
    """What rays meet."""

    colour: Tensor  # (rays, 3), without the background
    opacity: Tensor  # (rays,)
    depth: Tensor  # (rays,) weighted sum of distances
    corners: Tensor  # (samples, 8) rows of the parameter table
    weights: Tensor  # (samples,) compositing weights


def box_interval(start: Tensor, slope: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the lattice's box: (rays,) each, in units of the ray's parameter."""
    size = torch.tensor([side - 1 for side in shape], device=start.device, dtype=start.dtype)
    safe = torch.where(slope.abs() < 1e-9, torch.full_like(slope, 1e-9), slope)
    one, other = (1e-4 - start) / safe, (size - 1e-4 - start) / safe
    near = torch.minimum(one, other).amax(-1).clamp(min=0)
    return near, torch.maximum(one, other).amin(-1)


def sample_positions(
    origins: Tensor, directions: Tensor, offsets: Tensor, grid: TorchGrid, step: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All samples inside active cells, sorted by ray and distance.

    Args:
        origins, directions: (rays, 3), world; directions of unit length.
        offsets: (rays,) in [0, 1), distance of the first sample from the box in steps.
        step: distance between samples, scene units.
    Returns:
        Ray (samples,), distance (samples,), corner rows (samples, 8), trilinear weights (samples, 8).
    """
    start, slope = (origins - grid.origin) / grid.voxel, directions / grid.voxel
    near, far = box_interval(start, slope, grid.index.shape)
    counts = ((far - near) / step - offsets).ceil().clamp(min=0)
    longest = int(counts.max()) if len(counts) else 0
    number = torch.arange(longest, device=origins.device)
    ray, order = torch.nonzero(number < counts[:, None], as_tuple=True)
    distance = near[ray] + (offsets[ray] + order) * step
    position = start[ray] + slope[ray] * distance[:, None]
    cell = position.floor().long()
    limit = torch.tensor(grid.index.shape, device=cell.device) - 2
    inside = ((cell >= 0) & (cell <= limit)).all(-1)
    block = cell.clamp(min=0).minimum(limit) // BLOCK
    inside &= grid.blocks[block[:, 0], block[:, 1], block[:, 2]]
    ray, distance, position, cell = ray[inside], distance[inside], position[inside], cell[inside]
    corner = torch.tensor(list(np.ndindex(2, 2, 2)), device=cell.device)  # (8, 3)
    at = cell[:, None] + corner
    rows = grid.index[at[..., 0], at[..., 1], at[..., 2]].long()
    active = (rows >= 0).all(-1)
    fraction = (position - cell)[:, None]
    weights = torch.where(corner.bool(), fraction, 1 - fraction).prod(-1)
    return ray[active], distance[active], rows[active], weights[active]


@torch.no_grad()
def solid_samples(
    origins: Tensor, directions: Tensor, offsets: Tensor, grid: TorchGrid, table: Tensor, step: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What ``sample_positions`` gives, without the samples that are all but clear."""
    ray, distance, rows, trilinear = sample_positions(origins, directions, offsets, grid, step)
    raw = (table[rows, 0] * trilinear).sum(-1)
    solid = torch.nn.functional.softplus(raw) * (step / grid.voxel) > FAINT
    return ray[solid], distance[solid], rows[solid], trilinear[solid]


def march_rays(
    origins: Tensor, directions: Tensor, offsets: Tensor, grid: TorchGrid, table: Tensor, step: float
) -> Marched:
    """Composited colour, opacity and depth of rays; differentiable in ``table`` (vertices, 4).

    NeRF's eq. 3 with transmittance from the shifted cumulative optical depth; see ``nerf/voxel/kernels.py``.
    """
    ray, distance, rows, trilinear = solid_samples(origins, directions, offsets, grid, table, step)
    values = (table[rows] * trilinear[..., None]).sum(1)  # (samples, 4)
    weights = sample_weights(values[:, 0], ray, len(origins), step / grid.voxel)
    colour = values.new_zeros(len(origins), 3).index_add(0, ray, weights[:, None] * values[:, 1:])
    opacity = values.new_zeros(len(origins)).index_add(0, ray, weights)
    depth = values.new_zeros(len(origins)).index_add(0, ray, weights.detach() * distance)
    return Marched(colour, opacity.clamp(max=1), depth, rows, weights.detach())


def sample_weights(raw: Tensor, ray: Tensor, rays: int, thickness: float) -> Tensor:
    """Compositing weights (samples,) of samples with raw densities ``raw``, sorted by ``ray`` and distance.

    Args:
        thickness: distance between samples, in voxels.
    """
    optical = torch.nn.functional.softplus(raw) * thickness
    count = torch.bincount(ray, minlength=rays)
    first = torch.cumsum(count, 0) - count  # each ray's first sample
    place = torch.arange(len(ray), device=ray.device) - first[ray]
    # A row a ray: a running sum across rays would leak one ray's rounding into another's gradient.
    by_ray = optical.new_zeros(rays, int(count.max()) if len(ray) else 1).index_put((ray, place), optical)
    inside = (torch.cumsum(by_ray, 1) - by_ray)[ray, place]
    passed = torch.exp(-inside.clamp(min=0))
    alive = passed >= OPAQUE
    after = passed * torch.exp(-optical)
    alpha = torch.where(after < OPAQUE, torch.ones_like(optical), 1 - torch.exp(-optical))
    return torch.where(alive, passed * alpha, torch.zeros_like(passed))


def shade(
    origins: Tensor, directions: Tensor, ray: Tensor, distance: Tensor, grid: TorchGrid, table: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """Colour (rays, 3), without the background, and opacity (rays,); differentiable in the rays.

    The samples, ``distance`` (samples,) along each one's ``ray`` (samples,), move with the rays and stay where they
    are along them: gradients flow through the trilinear weights, to no parameter.
    """
    start, slope = (origins - grid.origin) / grid.voxel, directions / grid.voxel  # (rays, 3)
    position = start[ray] + slope[ray] * distance[:, None]  # (samples, 3)
    limit = torch.tensor(grid.index.shape, device=table.device) - 2
    cell = position.detach().long().clamp(min=0).minimum(limit)
    corner = torch.tensor(list(np.ndindex(2, 2, 2)), device=table.device)  # (8, 3)
    at = cell[:, None] + corner
    rows = grid.index[at[..., 0], at[..., 1], at[..., 2]]  # (samples, 8)
    values = table[rows.clamp(min=0)].unflatten(1, (2, 2, 2)).to(position.dtype)  # (samples, 2, 2, 2, 4)
    for axis, part in enumerate((position - cell).unbind(-1)):
        values = torch.lerp(values[:, 0], values[:, 1], part.view(-1, *[1] * (3 - axis)))
    weights = sample_weights(values[:, 0], ray, len(origins), step / grid.voxel)
    weights = weights * (rows >= 0).all(-1)  # rounding may put a sample on the other side of a cell's face
    colour = weights.new_zeros(len(origins), 3).index_add(0, ray, weights[:, None] * values[:, 1:])
    return colour, weights.new_zeros(len(origins)).index_add(0, ray, weights)


def render_pixels(
    pixels: Tensor,
    rays_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    grid: TorchGrid,
    table: Tensor,
    background: tuple[float, float, float],
    step: float,
    contrast: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour (h, w, 3), opacity and depth (h, w) at ``pixels`` (h, w, 2); 2 x 2 rays where neighbours differ."""
    behind = torch.tensor(background, device=table.device)

    def through(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = []
        for chunk in at.reshape(-1, 2).split(RAYS_AT_ONCE):
            origins, directions = rays_of(chunk)
            offsets = torch.full_like(chunk[:, 0], 0.5)
            with torch.no_grad():
                met = march_rays(origins, directions, offsets, grid, table, step * grid.voxel)
            parts.append((met.colour + (1 - met.opacity)[:, None] * behind, met.opacity, met.depth))
        return tuple(torch.cat(part) for part in zip(*parts))  # type: ignore[return-value]

    shape = pixels.shape[:2]
    colour, opacity, depth = through(pixels)
    again = differs(torch.cat([colour, opacity[:, None]], -1).reshape(*shape, 4), contrast).reshape(-1)
    if bool(again.any()):
        pattern = torch.tensor([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]], device=pixels.device)
        finer = through(pixels.reshape(-1, 2)[again][:, None] + pattern)
        colour[again], opacity[again], depth[again] = (part.unflatten(0, (-1, 4)).mean(1) for part in finer)
    depth = torch.where(opacity > 1e-3, depth / opacity.clamp(min=1e-3), torch.zeros_like(depth))
    return colour.reshape(*shape, 3), opacity.reshape(shape), depth.reshape(shape)


def differs(image: Tensor, contrast: float) -> Tensor:
    """Pixels (h, w) of which a channel of ``image`` (h, w, channels) differs from a side neighbour's by more."""
    result = torch.zeros(image.shape[:2], dtype=torch.bool, device=image.device)
    down = (image[1:] - image[:-1]).abs().amax(-1) > contrast
    right = (image[:, 1:] - image[:, :-1]).abs().amax(-1) > contrast
    result[1:] |= down
    result[:-1] |= down
    result[:, 1:] |= right
    result[:, :-1] |= right
    return result
