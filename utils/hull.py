"""Silhouettes of posed views, and the visual hull that they bound."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.errors import InputError
from utils.geometry import common_point
from utils.hull_kernels import count_votes
from utils.views import Views

MIN_FRAMED_SHARE = 1 / 3  # share of the views that must frame a point, or it is outside the hull
FOREGROUND_CONTRAST = 8  # 8-bit steps by which a pixel must differ from the background to be foreground


def silhouette(image: Tensor, background: tuple[float, float, float], alpha: Tensor | None = None) -> np.ndarray:
    """Segment the object, holes filled: (height, width) bool.

    Where there is an alpha channel, it decides. Otherwise foreground is what differs from the background, together with
    the regions of background colour that it encloses: a white face under glare looks like a hole.

    Args:
        image: (height, width, 3) uint8 RGB.
        background: RGB in [0, 1].
        alpha: (height, width) uint8, or None.
    """
    if alpha is not None:
        return alpha.cpu().numpy() > 127
    colour = np.round(255 * np.asarray(background))
    plain = cv2.inRange(image.cpu().numpy(), colour - FOREGROUND_CONTRAST, colour + FOREGROUND_CONTRAST)
    padded = np.pad((plain == 0).astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return padded[1:-1, 1:-1] != 2


def silhouettes(views: Views) -> np.ndarray:
    """Segment the object in all views: (views, height, width) bool."""
    alphas = views.alphas if views.alphas is not None else [None] * len(views)
    return np.stack([silhouette(image, views.background, alpha) for image, alpha in zip(views.images, alphas)])


def dilate(masks: np.ndarray, radius: float) -> np.ndarray:
    """Dilate ``masks`` (views, height, width) bool by ``radius`` pixels, rounded up, in all directions."""
    size = 2 * int(np.ceil(radius)) + 1
    return np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0 for mask in masks])


def dilation_radius(side: float, points_world: Tensor, cameras: Tensor, intrinsics: Intrinsics) -> float:
    """Return half the diagonal of a cell of ``side`` in pixels, at the points' distance from the median camera.

    Silhouettes dilated by it contain every vertex of a cell that the object touches, however thin it is there.
    """
    distance = (cameras[:, :3, 3] - points_world.mean(0)).norm(dim=1).median()
    return 0.5 * 3**0.5 * side * max(intrinsics.focal_x, intrinsics.focal_y) / float(distance)


def framed_pixels(points_world: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> tuple[Tensor, Tensor]:
    """Find the pixel in which each point (points, 3) appears; fastest where ``points_world.T`` is contiguous.

    Returns:
        Which points the frame holds, (points,) bool, and the flat index of their pixels, (points,) int32, else 0.
    """
    x, y, z = camera_to_world[:3, :3].T @ (points_world.T - camera_to_world[:3, 3:])  # (points,) each
    column = intrinsics.centre_x - intrinsics.focal_x * x / z
    row = intrinsics.centre_y + intrinsics.focal_y * y / z
    framed = (z < 0) & (column >= 0) & (row >= 0) & (column < intrinsics.width) & (row < intrinsics.height)
    return framed, torch.where(framed, row.int() * intrinsics.width + column.int(), 0)


def vote_share(inside: Tensor, framed: Tensor, views: int) -> Tensor:
    """Return ``inside / framed`` (points,), counts of views; 0 where fewer than ``MIN_FRAMED_SHARE`` frame it."""
    return torch.where(framed >= MIN_FRAMED_SHARE * views, inside / framed.clamp(min=1), 0.0)


def inside_votes(points_world: Tensor, masks: np.ndarray, cameras: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Return the share of the views framing a point in whose silhouette it lies: (points,).

    A point that fewer than ``MIN_FRAMED_SHARE`` of all views frame gets 0. Voting tolerates silhouettes that are wrong
    in some views; the hull of Laurentini (1994) requires a share of 1.

    Args:
        points_world: (points, 3).
        masks: (views, height, width) bool.
        cameras: (views, 4, 4) camera_to_world.
    """
    points, poses = (tensor.float().contiguous().numpy() for tensor in (points_world, cameras))
    inside, framed = count_votes(points, np.ascontiguousarray(masks), poses, intrinsics.as_array())
    return vote_share(torch.from_numpy(inside), torch.from_numpy(framed), len(masks))


def lattice(low: Tensor, high: Tensor, cells: int) -> tuple[Tensor, float, tuple[int, int, int]]:
    """Return the vertices of cubic cells over a box, ``cells`` of them along its longest side.

    Returns:
        Points (vertices, 3) in x-major order, the cell's side, and the number of vertices along each axis.
    """
    side = float((high - low).max()) / cells
    counts = [max(2, int(np.ceil(float(extent) / side - 1e-6)) + 1) for extent in high - low]
    axes = [low[axis] + side * torch.arange(count, dtype=torch.float32) for axis, count in enumerate(counts)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    return points, side, (counts[0], counts[1], counts[2])


@dataclass(frozen=True)
class Hull:
    """The visual hull of an object on a lattice of cubic cells."""

    low: Tensor  # (3,) position of the first vertex
    side: float  # of a cell
    inside: Tensor  # (nx, ny, nz) bool, by vertex

    @property
    def points(self) -> Tensor:
        """Return the world positions (points, 3) of the vertices inside."""
        return self.low + self.side * self.inside.nonzero().float()


def visual_hull(
    masks: np.ndarray, cameras: Tensor, intrinsics: Intrinsics, bounds: tuple[Tensor, Tensor], cells: int, vote: float
) -> Hull:
    """Compute the hull within ``bounds`` (low, high), ``cells`` along the longest side.

    Silhouettes are dilated, so that thin parts stay; ``vote`` is the share of views that must contain a point.
    """
    points, side, shape = lattice(*bounds, cells)
    grown = dilate(masks, dilation_radius(side, points, cameras, intrinsics))
    votes = inside_votes(points, grown, cameras, intrinsics)
    return Hull(bounds[0], side, (votes >= vote).reshape(shape))


def object_bounds(
    masks: np.ndarray, cameras: Tensor, intrinsics: Intrinsics, vote: float, cells: int = 40, rounds: int = 3
) -> tuple[Tensor, Tensor]:
    """Compute the box (low, high), each (3,), around the object, from cameras and silhouettes alone.

    Raises:
        InputError: where no point lies within the silhouettes of ``vote`` of the views.
    """
    centre = common_point(cameras)
    distance = (cameras[:, :3, 3] - centre).norm(dim=1)
    widest = max(intrinsics.width / intrinsics.focal_x, intrinsics.height / intrinsics.focal_y)
    reach = 0.75 * float(distance.median()) * widest
    low, high = centre - reach, centre + reach
    every = max(1, len(cameras) // 64)
    for _ in range(rounds):
        points, side, _ = lattice(low, high, cells)
        grown = dilate(masks[::every], dilation_radius(side, points, cameras, intrinsics))
        hull = points[inside_votes(points, grown, cameras[::every], intrinsics) >= vote]
        if len(hull) == 0:
            raise InputError(
                f"No point of space lies within the silhouettes of {vote:.0%} of the views: poses and images do "
                f"not match, or the background is not of the expected colour; check transforms.json and --background "
                f"(python -m data masks makes masks of a real one)."
            )
        low, high = hull.amin(0) - side, hull.amax(0) + side
    return low, high
