"""The voxel field: density and colour on a sparse grid, rendered along rays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nerf.voxel.grid import STEP, Grid, lens_array, make_grid
from nerf.voxel.kernels import MAX_SAMPLES, render_window, visible_samples
from nerf.voxel.torch_march import TorchGrid, render_pixels, shade, solid_samples
from utils.camera import Intrinsics, pixel_centres, project_points, world_rays
from utils.checkpoint import load_tensors, save_tensors
from utils.rendering import Rendering

VOXEL_PER_PIXEL = 1.3  # the largest voxel, in pixels, from which a picture is rendered, where the field has a choice
CONTRAST = 0.08  # difference between neighbouring pixels above which a pixel is rendered with 2 x 2 rays


@dataclass(frozen=True)
class VoxelField:
    """A trained field; satisfies the ``Field`` protocol."""

    grid: Grid
    table: Tensor  # (vertices, 4) float32: raw density, RGB
    background: tuple[float, float, float]
    coarser: tuple[VoxelField, ...] = ()  # the same object with larger voxels, from coarse to fine
    exposure_varies: bool = False  # whether the views were exposed differently

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """The object as seen from ``camera_to_world`` (4, 4); the answer lies on the field's device.

        Small pictures are rendered from the coarsest level whose voxels a pixel does not outgrow.
        """
        return self._level(camera_to_world, intrinsics)._render(camera_to_world, intrinsics)

    def _level(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> VoxelField:
        """The coarsest level that serves pictures from ``camera_to_world``."""
        centre = torch.from_numpy(
            self.grid.origin + 0.5 * self.grid.voxel * np.array(self.grid.index.shape, np.float32)
        )
        distance = float((camera_to_world[:3, 3].detach().cpu().float() - centre).norm())
        pixel = distance / max(intrinsics.focal_x, intrinsics.focal_y)
        return next((field for field in self.coarser if field.grid.voxel <= VOXEL_PER_PIXEL * pixel), self)

    def render_pixels(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> Tensor:
        """RGB (pixels, 3) at ``pixels`` (pixels, 2), differentiable in ``camera_to_world``.

        One ray a pixel, where pictures take 2 x 2 at edges. Which samples a ray sees is found without gradients; where
        they lie along it is not differentiated.
        """
        level, device = self._level(camera_to_world, intrinsics), self.table.device
        origins, directions = world_rays(pixels.to(device).float(), intrinsics, camera_to_world.to(device))
        see = level._seen_compiled if device.type == "cpu" else level._seen_torch
        ray, distance = see(origins.detach(), directions.detach())
        step = STEP * level.grid.voxel
        colour, opacity = shade(origins, directions, ray, distance, level._torch_grid, level.table, step)
        return colour + (1 - opacity)[:, None] * torch.tensor(self.background, device=device)

    @cached_property
    def _torch_grid(self) -> TorchGrid:
        return TorchGrid.of(self.grid, self.table.device)

    def _seen_compiled(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Ray and distance (samples,) of the samples that rays (rays, 3) from one camera see."""
        distances = np.empty((len(directions), MAX_SAMPLES), np.float32)
        grid = self.grid.arrays(self.table.numpy())
        counts = visible_samples(origins.numpy(), directions.numpy(), grid, distances)
        ray, number = np.nonzero(np.arange(MAX_SAMPLES) < counts[:, None])
        return torch.from_numpy(ray), torch.from_numpy(distances[ray, number])

    def _seen_torch(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """As ``_seen_compiled``, and samples behind what is opaque."""
        offsets, step = torch.full_like(origins[:, 0], 0.5), STEP * self.grid.voxel
        return solid_samples(origins, directions, offsets, self._torch_grid, self.table, step)[:2]

    def _render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        window = self.window(camera_to_world, intrinsics)
        shape, device = (intrinsics.height, intrinsics.width), self.table.device
        colour = torch.tensor(self.background, device=device).repeat(*shape, 1)
        opacity, depth = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
        if window is not None:
            left, top, right, bottom = window
            part = (slice(top, bottom), slice(left, right))
            render = self._render_compiled if device.type == "cpu" else self._render_torch
            render(camera_to_world, intrinsics, left, top, colour[part], opacity[part], depth[part])
        return Rendering(colour.clamp_(0, 1), opacity, depth)

    def window(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom pixel bounds of the grid's box in the picture; None where it is out of sight."""
        low = torch.from_numpy(self.grid.origin)
        extent = self.grid.voxel * (torch.tensor(self.grid.index.shape, dtype=torch.float32) - 1)
        corners = torch.tensor(list(np.ndindex(2, 2, 2)), dtype=torch.float32) * extent + low
        pixels, depth = project_points(corners, intrinsics, camera_to_world.cpu().float())
        if bool((depth <= 0).all()):
            return None
        if bool((depth <= 0).any()):
            return 0, 0, intrinsics.width, intrinsics.height
        left, top = (int(value) for value in pixels.amin(0).floor().clamp(min=0))
        right, bottom = (int(value) for value in pixels.amax(0).ceil())
        right, bottom = min(right, intrinsics.width), min(bottom, intrinsics.height)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _render_compiled(
        self, pose: Tensor, camera: Intrinsics, left: int, top: int, colour: Tensor, opacity: Tensor, depth: Tensor
    ) -> None:
        window = np.empty((*opacity.shape, 5), np.float32)
        render_window(
            pose.cpu().float().contiguous().numpy(), lens_array(camera), (left, top),
            self.grid.arrays(self.table.numpy()), np.array(self.background, np.float32), np.float32(CONTRAST),
            window,
        )  # fmt: skip
        values = torch.from_numpy(window)
        colour[:], opacity[:], depth[:] = values[..., :3], values[..., 3], values[..., 4]

    def _render_torch(
        self, pose: Tensor, camera: Intrinsics, left: int, top: int, colour: Tensor, opacity: Tensor, depth: Tensor
    ) -> None:
        device = self.table.device
        pixels = pixel_centres(camera, device)[top : top + opacity.shape[0], left : left + opacity.shape[1]]
        pose, grid = pose.to(device).float(), self._torch_grid
        colour[:], opacity[:], depth[:] = render_pixels(
            pixels, lambda at: world_rays(at, camera, pose), grid, self.table, self.background, STEP, CONTRAST
        )

    def save(self, path: Path) -> None:
        """Write the field; ``load_field`` reads it back bit for bit."""
        tensors: dict[str, Tensor] = {}
        levels = []
        for number, level in enumerate((*self.coarser, self)):
            arrays, header = grid_tensors(level.grid)
            tensors |= {f"{number}.{name}": array for name, array in {"table": level.table, **arrays}.items()}
            levels.append(header)
        header = {"kind": "voxel", "levels": levels, "background": list(self.background)}
        save_tensors(path, tensors, {**header, "exposure_varies": True} if self.exposure_varies else header)


def active_cells(grid: Grid) -> np.ndarray:
    """Cells (nx - 1, ny - 1, nz - 1) whose eight corners all have parameters."""
    has = grid.index >= 0
    cells = np.ones([count - 1 for count in has.shape], bool)
    for corner in np.ndindex(2, 2, 2):
        cells &= has[tuple(slice(c, count - 1 + c) for c, count in zip(corner, has.shape))]
    return cells


def grid_tensors(grid: Grid) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a file keeps of a grid: tensors and header; ``grid_of`` reads them."""
    cells = active_cells(grid)
    tensors = {
        "cells": torch.from_numpy(np.packbits(cells.reshape(-1))),
        "origin": torch.from_numpy(grid.origin.copy()),  # levels share one origin in memory
    }
    return tensors, {"voxel": grid.voxel, "cells": list(cells.shape)}


def grid_of(tensors: dict[str, Tensor], header: dict[str, Any]) -> Grid:
    """The grid that ``grid_tensors`` took apart."""
    shape = header["cells"]
    cells = np.unpackbits(tensors["cells"].numpy(), count=int(np.prod(shape))).astype(bool).reshape(shape)
    return make_grid(tensors["origin"].numpy(), header["voxel"], cells)


def load_field(path: Path, device: torch.device | str = "cpu") -> VoxelField:
    """The field that ``VoxelField.save`` wrote, on ``device``."""
    tensors, metadata = load_tensors(path)
    background = tuple(metadata["background"])
    levels: list[VoxelField] = []
    for number, header in enumerate(metadata["levels"]):
        prefix = f"{number}."
        own = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        levels.append(VoxelField(grid_of(own, header), own["table"].to(device), background))
    varies = bool(metadata.get("exposure_varies", False))
    return replace(levels[-1], coarser=tuple(levels[:-1]), exposure_varies=varies)
