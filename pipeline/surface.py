"""The object's surface as a cloud of points, on which the anomaly maps of several photos meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from utils.camera import Intrinsics, pixel_centres, project_points, world_rays
from utils.geometry import WEAK_PRIOR, common_point, farthest_points
from utils.rendering import SOLID, Field, Rendering
from utils.smoothing import largest

VIEWPOINTS = 64  # poses of views from which the surface is collected, and from which photos may be proposed
SIDE = 256  # longer side, in pixels, of what is rendered from each
POINTS = 12_000  # at most
SPACING = 1.5  # pixels of those renderings between two points
MIN_FACING = 0.2  # cosine between normal and direction to the camera, below which a photo does not show a point
STEP = 4.0  # pixels by which the depth may change from one pixel to the next on one surface
BEHIND = 2.5  # spacings by which a point may lie off the surface that a photo shows, where that faces the camera
REACH = 0.005  # of an image's longer side, beyond which a value counts


@dataclass(frozen=True)
class Sight:
    """How a camera sees the points of a surface."""

    pixels: Tensor  # (points,) int64: flat number of the pixel; 0 where none
    facing: Tensor  # (points,) float32: cosine between normal and direction to the camera; 0 where not seen

    @property
    def seen(self) -> Tensor:
        """Which points it sees: (points,) bool."""
        return self.facing > 0


@dataclass(frozen=True)
class Surface:
    """Points spread evenly over the part of the surface that training views showed; on the CPU."""

    points: Tensor  # (points, 3) float32, world
    normals: Tensor  # (points, 3) float32, outward
    colours: Tensor  # (points, 3) float32 RGB in [0, 1]
    spacing: float  # scene units between neighbours, about

    def sight(self, camera_to_world: Tensor, intrinsics: Intrinsics, rendering: Rendering) -> Sight:
        """Find the points that a camera sees.

        Args:
            camera_to_world: (4, 4).
            intrinsics: of the camera.
            rendering: of the object at this pose, whose depth says what hides what.
        """
        pose = camera_to_world.cpu().float()
        pixels, axial = project_points(self.points, intrinsics, pose)
        columns, rows = (pixels[:, axis].floor().long() for axis in (0, 1))
        inside = (axial > 0) & (columns >= 0) & (columns < intrinsics.width)
        inside &= (rows >= 0) & (rows < intrinsics.height)
        flat = torch.where(inside, rows * intrinsics.width + columns, 0)
        toward = pose[:3, 3] - self.points
        distance = toward.norm(dim=1)
        facing = (toward * self.normals).sum(1) / distance
        depth, opacity = (image.detach().cpu().reshape(-1)[flat] for image in (rendering.depth, rendering.opacity))
        # Beside a pixel's centre a slanted surface is nearer or farther, by the tangent of its slant.
        allowed = BEHIND * self.spacing / facing.clamp(min=MIN_FACING).sqrt()
        seen = inside & (opacity > SOLID) & (facing > MIN_FACING) & ((distance - depth).abs() < allowed)
        return Sight(torch.where(seen, flat, 0), torch.where(seen, facing, 0.0))

    def neighbours(self, count: int) -> Tensor:
        """Return the ``count`` nearest points of each, itself included; all where there are fewer: (points, count)."""
        count = min(count, len(self.points))
        if count == 0:
            return torch.zeros(0, 0, dtype=torch.int64)
        places = self.points.numpy()
        return torch.from_numpy(cKDTree(places).query(places, range(1, count + 1))[1]).long()


def sampled(image: Tensor, sight: Sight) -> Tensor:
    """Return the values (points,) float32 of an anomaly map (height, width) at the points; NaN where not seen.

    Every pixel counts for the point that is shown nearest to it, so that the largest value is that of the image, and
    what sticks out beside a silhouette counts for the points at its foot. Values reach a little beyond their pixels,
    by as much as poses err.
    """
    values = largest(image.detach().cpu().float(), reach_of(image.shape))
    shows = torch.zeros(values.numel(), dtype=torch.bool)
    shows[sight.pixels[sight.seen]] = True
    if not bool(shows.any()):
        return torch.full((len(sight.pixels),), torch.nan)
    places = ~shows.view(values.shape).numpy()
    rows, columns = distance_transform_edt(places, return_distances=False, return_indices=True)
    nearest = torch.from_numpy(rows.astype(np.int64) * image.shape[1] + columns).reshape(-1)
    best = torch.zeros(values.numel()).scatter_reduce(0, nearest, values.reshape(-1), "amax")
    return torch.where(sight.seen, best[sight.pixels], torch.nan)


def reach_of(shape: Sequence[int]) -> int:
    """Return the pixels by which values of an image of this shape reach beyond their own."""
    return max(1, round(REACH * max(shape)))


def spread_poses(camera_to_world: Tensor, count: int = VIEWPOINTS) -> Tensor:
    """Choose at most ``count`` of the cameras (views, 4, 4), spread over the directions from which they look."""
    poses = camera_to_world.detach().cpu().float()
    directions = normalize(poses[:, :3, 3] - common_point(poses, WEAK_PRIOR), dim=1)

    def distances_from(row: int) -> Tensor:
        return 1.0 - directions @ directions[row]

    chosen = [row for _, row in zip(range(count), farthest_points(distances_from, 0))]
    return poses[sorted(chosen)]


def smaller(intrinsics: Intrinsics, side: int = SIDE) -> Intrinsics:
    """Return the camera of images with a longer side of at most ``side`` pixels."""
    scale = min(1.0, side / max(intrinsics.width, intrinsics.height))
    return intrinsics.resized(max(1, round(intrinsics.width * scale)), max(1, round(intrinsics.height * scale)))


def collect_surface(field: Field, camera_to_world: Tensor, intrinsics: Intrinsics) -> Surface:
    """Collect the surface that shows from cameras (cameras, 4, 4), where training views showed it.

    Args:
        intrinsics: the cameras of the training views.
    """
    small, shots = smaller(intrinsics), []
    for pose in camera_to_world:
        shots.append(oriented_points(field.render_reference(pose, small), pose, small))
    points, normals, colours, footprints = (torch.cat(each) for each in zip(*shots))
    if len(points) == 0:
        return Surface(points, normals, colours, 1.0)
    spacing = SPACING * float(footprints.median())
    while True:
        surface = thinned_out(points, normals, colours, spacing)
        if len(surface.points) <= POINTS:
            return surface
        spacing *= max(1.05, math.sqrt(len(surface.points) / POINTS))


def oriented_points(rendering: Rendering, pose: Tensor, camera: Intrinsics) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return points, normals, colours (points, 3) and sizes of a pixel (points,) of the surface that is shown.

    Left out are pixels at steps of the depth, seen at grazing angles, or shown by no training view.
    """
    depth, solid = rendering.depth.detach().cpu().float(), rendering.opacity.detach().cpu() > SOLID
    origins, directions = world_rays(pixel_centres(camera), camera, pose.cpu().float())
    places = origins + depth[..., None] * directions  # (height, width, 3)
    across, down = places[1:-1, 2:] - places[1:-1, :-2], places[2:, 1:-1] - places[:-2, 1:-1]
    normals = normalize(torch.linalg.cross(across, down, dim=-1), dim=-1)
    middle = (slice(1, -1), slice(1, -1))
    normals = normals * -(normals * directions[middle]).sum(-1, keepdim=True).sign()
    footprint = depth[middle] / max(camera.focal_x, camera.focal_y)
    whole = torch.ones_like(solid[middle])
    flat = torch.ones_like(solid[middle])
    for rows, columns in (
        (slice(1, -1), slice(2, None)),
        (slice(1, -1), slice(None, -2)),
        (slice(2, None), slice(1, -1)),
        (slice(None, -2), slice(1, -1)),
    ):
        whole &= solid[rows, columns]
        flat &= (depth[rows, columns] - depth[middle]).abs() < STEP * footprint
    kept = solid[middle] & whole & flat & (-(normals * directions[middle]).sum(-1) > MIN_FACING)
    if rendering.views_seen is not None:
        kept &= rendering.views_seen.cpu()[middle] > 0
    colours = rendering.colour.detach().cpu()[middle]
    return places[middle][kept], normals[kept], colours[kept], footprint[kept]


def thinned_out(points: Tensor, normals: Tensor, colours: Tensor, spacing: float) -> Surface:
    """Return the means of all points in each cell of side ``spacing`` whose normals point to the same side."""
    cells = (points / spacing).floor().long()
    cells = cells - cells.amin(0)
    axis = normals.abs().argmax(1)
    side = 2 * axis + (normals.gather(1, axis[:, None])[:, 0] > 0)
    sizes = cells.amax(0) + 1
    key = ((cells[:, 0] * sizes[1] + cells[:, 1]) * sizes[2] + cells[:, 2]) * 6 + side
    _, group, counts = key.unique(return_inverse=True, return_counts=True)

    def mean(values: Tensor) -> Tensor:
        return torch.zeros(len(counts), 3).index_add(0, group, values) / counts[:, None]

    return Surface(mean(points), normalize(mean(normals), dim=1), mean(colours), spacing)
