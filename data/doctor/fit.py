"""Do poses fit silhouettes? A hull carved from the other views is projected back onto each view's own silhouette.

A point of the object lies within every silhouette, so under right poses the hull that all other views carve covers
each silhouette and hardly more; under wrong ones it is carved away, or bulges (silhouette coherence, Hernández et al.,
IEEE PAMI 2007). The measure is the intersection over union (IoU), each view left out of its own hull.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.errors import InputError
from utils.geometry import common_point
from utils.hull import framed_pixels, object_bounds, visual_hull, vote_share

VOTE, FORGIVING_VOTE = 0.95, 0.8  # shares of the views that must have a point in their silhouette
BOUNDS_CELLS, BOUNDS_ROUNDS = 20, 2  # of the search for the object


@dataclass(frozen=True)
class Fit:
    """How well poses and silhouettes fit."""

    iou: np.ndarray  # (views,) of each silhouette and the hull that the other views carve
    points: np.ndarray  # (points, 3) float32, centres of the hull's cells
    side: float  # of a cell

    @property
    def misfit(self) -> float:
        """Return 1 minus the mean IoU, by which hypotheses are compared."""
        return 1.0 - float(self.iou.mean())


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in one thread, which is faster for arrays as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fit_hull(masks: np.ndarray, poses: np.ndarray, camera: Intrinsics, cells: int, vote: float = VOTE) -> Fit:
    """Carve a hull and compare it with the silhouettes.

    Args:
        masks: (views, height, width) bool silhouettes.
        poses: (views, 4, 4) camera_to_world.
        camera: of all views, for images of the masks' size.
        cells: along the object's longest side.
        vote: share of the views, of those that frame it, that must have a point in their silhouette.
    Returns:
        The fit; all IoU are 0 where the silhouettes of ``vote`` of the views have no point in common.
    """
    nothing = Fit(np.zeros(len(masks)), np.empty((0, 3), np.float32), 0.0)
    centre = common_point(torch.from_numpy(poses)).double().numpy()
    distance = float(np.median(np.linalg.norm(poses[:, :3, 3] - centre, axis=1)))
    if not 0.0 < distance < np.inf:
        return nothing
    near = poses.copy()
    near[:, :3, 3] = (poses[:, :3, 3] - centre) / distance  # the common point is the origin, its distance the unit
    cameras = torch.from_numpy(near).float()
    try:
        bounds = object_bounds(masks, cameras, camera, vote, BOUNDS_CELLS, BOUNDS_ROUNDS)
    except InputError:
        return nothing
    hull = visual_hull(masks, cameras, camera, bounds, cells // 2, vote)
    points, side = split_cells(hull.points, hull.side), 0.5 * hull.side
    iou, points = left_out_iou(points, side * max(camera.focal_x, camera.focal_y), masks, cameras, camera, vote)
    return Fit(iou, (centre + distance * points.numpy()).astype(np.float32), distance * side)


def split_cells(points: Tensor, side: float) -> Tensor:
    """Return the centres (8 * points, 3) of the octants of cells of ``side`` around ``points`` (points, 3)."""
    offsets = torch.tensor([-0.25 * side, 0.25 * side])
    return (points[:, None] + torch.cartesian_prod(offsets, offsets, offsets)).reshape(-1, 3)


def left_out_iou(
    points: Tensor, cell_pixels: float, masks: np.ndarray, cameras: Tensor, camera: Intrinsics, vote: float
) -> tuple[np.ndarray, Tensor]:
    """Return the IoU (views,) of each silhouette and the hull of the other views, and the points of all views' hull.

    Args:
        points: (points, 3) centres of cells that may belong to the hull.
        cell_pixels: side of a cell in pixels.
        masks: (views, height, width) bool.
        cameras: (views, 4, 4) camera_to_world.
        camera: of all views.
        vote: share of the views that must have a point in their silhouette.
    """
    points = points.T.contiguous().T
    framed, pixels = map(torch.stack, zip(*(framed_pixels(points, pose, camera) for pose in cameras)))
    shown = [mask.index_select(0, one) for mask, one in zip(torch.from_numpy(masks).flatten(1), pixels)]
    inside = torch.stack(shown) & framed  # (views, points)
    votes, chances = (each.sum(dim=0, dtype=torch.float32) for each in (inside, framed))
    iou = np.zeros(len(masks))
    for view, mask in enumerate(masks):
        share = vote_share(votes - inside[view].byte(), chances - framed[view].byte(), len(masks) - 1)
        carved = (share >= vote) & framed[view]
        hull = filled(pixels[view].numpy()[carved.numpy()], camera, cell_pixels)
        union = np.count_nonzero(hull | mask)
        iou[view] = np.count_nonzero(hull & mask) / union if union else 1.0
    return iou, points[vote_share(votes, chances, len(masks)) >= vote].contiguous()


def hull_silhouette(fit: Fit, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Return the silhouette (height, width) bool of a fit's hull in a view with ``pose`` (4, 4)."""
    if len(fit.points) == 0:
        return np.zeros((camera.height, camera.width), dtype=bool)
    distance = float(np.linalg.norm(fit.points.mean(axis=0) - pose[:3, 3]))
    framed, pixels = framed_pixels(torch.from_numpy(fit.points), torch.from_numpy(pose).float(), camera)
    return filled(pixels[framed].numpy(), camera, fit.side * camera.focal_x / distance)


def filled(pixels: np.ndarray, camera: Intrinsics, cell_pixels: float) -> np.ndarray:
    """Return the mask (height, width) bool of cells ``cell_pixels`` wide, from the flat pixels of their centres."""
    drawn = np.zeros(camera.height * camera.width, dtype=np.uint8)
    drawn[pixels] = 1
    size = max(3, int(np.ceil(cell_pixels)) | 1)
    padded = np.pad(drawn.reshape(camera.height, camera.width), size)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    return closed[size:-size, size:-size] > 0
