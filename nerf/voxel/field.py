"""The voxel field: density and colour on a sparse grid, rendered along rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from nerf.compositing import over_background
from nerf.residual_building import calibrate_expectation
from nerf.residual_views import ResidualViews
from nerf.voxel.grid import BLOCK, MarchArrays, VoxelGrid, grid_from_tensors
from nerf.voxel.kernels import MAX_SAMPLES, TILE, find_tiles, render_window, visible_samples
from nerf.voxel.torch_march import TorchGrid, dense_samples, render_pixels, shade
from utils.camera import Intrinsics, pixel_centres, project_points, world_rays
from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.rendering import Rendering

VOXEL_PER_PIXEL = 1.3  # largest voxel, in pixels, from which an image is rendered, where the field has a choice
RESIDUAL = "residual."  # where files keep the residual views
CONTRAST = 0.08  # difference between neighbouring pixels above which a pixel is rendered with 2 x 2 rays


@dataclass(frozen=True)
class VoxelField:
    """A trained field; satisfies the ``Field`` protocol."""

    grid: VoxelGrid
    table: Tensor  # (vertices, 4) float32: raw density, RGB
    background: tuple[float, float, float]
    coarser: tuple[VoxelField, ...] = ()  # the same object with larger voxels, from coarse to fine
    exposure_varies: bool = False  # whether the views were exposed differently
    residual_views: ResidualViews | None = None  # what the views have over its renderings, at the finest level

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """Render the object as seen from ``camera_to_world`` (4, 4); the result is on the field's device.

        Small images are rendered from the coarsest level whose voxels are not much larger than a pixel.
        """
        return self._level(camera_to_world, intrinsics)._render(camera_to_world, intrinsics)

    def render_reference(
        self, camera_to_world: Tensor, intrinsics: Intrinsics, rendering: Rendering | None = None, without: int = 0
    ) -> Rendering:
        """Render as ``render`` does, unless ``rendering`` is that, and correct it by the training views' residuals.

        ``without`` as many of the views that are nearest in direction.
        """
        rendering = rendering or self.render(camera_to_world, intrinsics)
        stored = self.residual_views
        return rendering if stored is None else stored.correct(rendering, camera_to_world, intrinsics, without)

    def calibrate(self, pairs: Sequence[tuple[Rendering, Tensor]]) -> VoxelField:
        """Return the field with the residuals that ``render_reference`` expects scaled to those of ``pairs``."""
        if self.residual_views is None:
            return self
        return replace(self, residual_views=calibrate_expectation(self.residual_views, pairs))

    def render_pixels(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> Tensor:
        """Return RGB (pixels, 3) at ``pixels`` (pixels, 2), differentiable in ``camera_to_world``.

        One ray a pixel, where images take 2 x 2 at edges. Which samples a ray sees is found without gradients; where
        they lie along it is not differentiated.
        """
        level, device = self._level(camera_to_world, intrinsics), self.table.device
        origins, directions = world_rays(pixels.to(device).float(), intrinsics, camera_to_world.to(device))
        visible = level._visible_compiled if device.type == "cpu" else level._visible_torch
        ray, distance = visible(origins.detach(), directions.detach())
        colour, opacity = shade(origins, directions, ray, distance, level._torch_grid, level.table)
        return over_background(colour, opacity, torch.tensor(self.background, device=device))

    def to_device(self, device: torch.device | str) -> VoxelField:
        """Return the field with the parameters of all its levels on ``device``."""
        coarser = tuple(level.to_device(device) for level in self.coarser)
        stored = None if self.residual_views is None else self.residual_views.to_device(device)
        return replace(self, table=self.table.to(device), coarser=coarser, residual_views=stored)

    def save(self, path: Path) -> None:
        """Write the field; ``load_voxel_field`` reads it back bit for bit."""
        tensors, levels = levels_to_tensors((*self.coarser, self))
        header: dict[str, Any] = {"kind": "voxel", "levels": levels, "background": list(self.background)}
        if self.residual_views is not None:
            tensors |= {f"{RESIDUAL}{name}": each for name, each in self.residual_views.tensors().items()}
            header[RESIDUAL] = self.residual_views.header()
        save_tensors(path, tensors, {**header, "exposure_varies": True} if self.exposure_varies else header)

    def image_bounds(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> tuple[int, int, int, int] | None:
        """Return the left, top, right and bottom pixel bounds of the grid's box; None where it is out of sight."""
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

    def _level(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> VoxelField:
        """Return the coarsest level that serves images from ``camera_to_world``."""
        centre = torch.from_numpy(
            self.grid.origin + 0.5 * self.grid.voxel * np.array(self.grid.index.shape, np.float32)
        )
        distance = float((camera_to_world[:3, 3].detach().cpu().float() - centre).norm())
        pixel = distance / max(intrinsics.focal_x, intrinsics.focal_y)
        return next((field for field in self.coarser if field.grid.voxel <= VOXEL_PER_PIXEL * pixel), self)

    @cached_property
    def _march_arrays(self) -> MarchArrays:
        return self.grid.arrays(self.table.numpy())

    @cached_property
    def _blocks(self) -> tuple[np.ndarray, np.float32]:
        """Return the centres (blocks, 3) of the blocks that hold anything, and the radius of the sphere around one."""
        occupied = np.argwhere(self._march_arrays.gaps == 0)
        centres = self.grid.origin + self.grid.voxel * BLOCK * (occupied + 0.5)
        return centres.astype(np.float32), np.float32(0.5 * 3**0.5 * BLOCK * self.grid.voxel)

    @cached_property
    def _torch_grid(self) -> TorchGrid:
        return TorchGrid.of(self.grid, self.table.device)

    def _visible_compiled(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Return ray and distance (samples,) of the samples that rays (rays, 3) see."""
        distances = np.empty((len(directions), MAX_SAMPLES), np.float32)
        counts = visible_samples(origins.numpy(), directions.numpy(), self._march_arrays, distances)
        ray, number = np.nonzero(np.arange(MAX_SAMPLES) < counts[:, None])
        return torch.from_numpy(ray), torch.from_numpy(distances[ray, number])

    def _visible_torch(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Do as ``_visible_compiled``, but include samples behind opaque ones."""
        offsets = torch.full_like(origins[:, 0], 0.5)
        samples = dense_samples(origins, directions, offsets, self._torch_grid, self.table)
        return samples.ray, samples.distance

    def _render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        bounds = self.image_bounds(camera_to_world, intrinsics)
        shape, device = (intrinsics.height, intrinsics.width), self.table.device
        colour = torch.tensor(self.background, device=device).repeat(*shape, 1)
        opacity, depth = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
        if bounds is not None:
            left, top, right, bottom = bounds
            part = (slice(top, bottom), slice(left, right))
            render = self._render_compiled if device.type == "cpu" else self._render_torch
            colour[part], opacity[part], depth[part] = render(camera_to_world, intrinsics, bounds)
        return Rendering(colour.clamp_(0, 1), opacity, depth)

    def _render_compiled(
        self, pose: Tensor, camera: Intrinsics, bounds: tuple[int, int, int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        left, top, right, bottom = bounds
        window = np.empty((bottom - top, right - left, 5), np.float32)
        tiles = np.empty((-(-len(window) // TILE), -(-window.shape[1] // TILE)), np.float32)
        place = (pose.cpu().float().contiguous().numpy(), camera.as_array(), (left, top))
        find_tiles(*place, *self._blocks, tiles)
        behind = np.array(self.background, np.float32)
        workers = numba.get_num_threads()
        render_window(place, self._march_arrays, tiles, behind, np.float32(CONTRAST), workers, window)
        values = torch.from_numpy(window)
        return values[..., :3], values[..., 3], values[..., 4]

    def _render_torch(
        self, pose: Tensor, camera: Intrinsics, bounds: tuple[int, int, int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        (left, top, right, bottom), device = bounds, self.table.device
        pixels, pose = pixel_centres(camera, device)[top:bottom, left:right], pose.to(device).float()
        return render_pixels(
            pixels, lambda at: world_rays(at, camera, pose), self._torch_grid, self.table, self.background, CONTRAST
        )


def levels_to_tensors(levels: tuple[VoxelField, ...]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Return the tensors and headers by which files keep levels; ``levels_from_tensors`` reads them."""
    tensors: dict[str, Tensor] = {}
    headers = []
    for number, level in enumerate(levels):
        arrays, header = level.grid.to_tensors()
        tensors |= {f"{number}.{name}": array for name, array in {"table": level.table, **arrays}.items()}
        headers.append(header)
    return tensors, headers


def levels_from_tensors(
    tensors: dict[str, Tensor], headers: list[dict[str, Any]], backgrounds: list[list[float]]
) -> tuple[VoxelField, ...]:
    """Return the levels of ``levels_to_tensors``, each before its own background."""
    levels = []
    for number, (header, (red, green, blue)) in enumerate(zip(headers, backgrounds)):
        arrays = {name: tensors[f"{number}.{name}"] for name in ("table", "cells", "origin")}
        levels.append(VoxelField(grid_from_tensors(arrays, header), arrays["table"], (red, green, blue)))
    return tuple(levels)


def load_voxel_field(path: Path, device: torch.device | str = "cpu") -> VoxelField:
    """Return the field that ``VoxelField.save`` wrote, on ``device``."""
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        levels = levels_from_tensors(tensors, header["levels"], [header["background"]] * len(header["levels"]))
        varies = bool(header.get("exposure_varies", False))
        stored = None
        if RESIDUAL in header:
            stored = ResidualViews.restore(
                {name.removeprefix(RESIDUAL): each for name, each in tensors.items()}, header[RESIDUAL]
            )
        field = replace(levels[-1], coarser=levels[:-1], exposure_varies=varies, residual_views=stored)
        return field.to_device(device)
