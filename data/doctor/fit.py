"""Do poses fit silhouettes? A hull carved from the other views, re-projected onto each view's own silhouette.

A point of the object lies within every silhouette, so under right poses the hull that all other views carve covers
each silhouette and hardly more; under wrong ones it is carved away, or bulges (silhouette coherence, Hernández et al.,
IEEE PAMI 2007). The figure is the intersection over union (IoU), each view left out of its own hull.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from utils.camera import Intrinsics
from utils.geometry import common_point
from utils.hull import FRAMED, dilated

VOTE, FORGIVING = 0.95, 0.8  # shares of the views that must have a point in their silhouette
COARSE_CELLS = 20  # along the longest side, to find where the object is
REACH = 0.75  # half the first box's side as a share of what a frame spans at the cameras' distance


@dataclass(frozen=True)
class Fit:
    """How well poses and silhouettes fit."""

    iou: np.ndarray  # (views,) of each silhouette and the hull that the other views carve
    points: np.ndarray  # (points, 3) float32, centres of the hull's cells
    side: float  # of a cell

    @property
    def misfit(self) -> float:
        """1 minus the mean IoU: what hypotheses are compared by."""
        return 1.0 - float(self.iou.mean())


def fit_hull(masks: np.ndarray, poses: np.ndarray, camera: Intrinsics, cells: int, vote: float = VOTE) -> Fit:
    """Carve a hull and hold it against the silhouettes.

    Args:
        masks: (views, height, width) bool silhouettes.
        poses: (views, 4, 4) camera_to_world.
        camera: of all views, for pictures of the masks' size.
        cells: along the object's longest side.
        vote: share of the views, of those that frame it, that must have a point in their silhouette.
    Returns:
        The fit; all IoU are 0 where the silhouettes of ``vote`` of the views have no point in common.
    """
    centre = common_point(torch.from_numpy(poses)).double().numpy()
    distance = float(np.median(np.linalg.norm(poses[:, :3, 3] - centre, axis=1)))
    if not 0.0 < distance < np.inf:
        return Fit(np.zeros(len(masks)), np.empty((0, 3), np.float32), 0.0)
    near = poses.copy()
    near[:, :3, 3] = (poses[:, :3, 3] - centre) / distance  # the common point is the origin, its distance the unit
    iou, points, side = _carve(masks, near, camera, cells, vote)
    return Fit(iou, (centre + distance * points).astype(np.float32), distance * side)


def _carve(
    masks: np.ndarray, poses: np.ndarray, camera: Intrinsics, cells: int, vote: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """IoU (views,), hull (points, 3) and cell's side, for cameras that look at the origin from about 1 away."""
    focal = max(camera.focal_x, camera.focal_y)
    half = REACH * max(camera.width / camera.focal_x, camera.height / camera.focal_y)
    points, side = _lattice(np.full(3, -half), np.full(3, half), COARSE_CELLS)
    for wanted in (COARSE_CELLS, cells // 2, 0):
        reach = min(0.5 * 3**0.5 * side * focal, 0.2 * camera.width)
        kept = points[_agreed(*_votes(points, dilated(masks, reach), poses, camera)[1:], vote)]
        if len(kept) == 0:
            return np.zeros(len(masks)), kept, side
        if wanted:
            points, side = _lattice(kept.min(axis=0) - 0.5 * side, kept.max(axis=0) + 0.5 * side, wanted)
    points, side = _split(kept, side), 0.5 * side
    pixels, inside, seen = _votes(points, masks, poses, camera)
    return _left_out_iou(masks, pixels, inside, seen, side * focal, vote), points[_agreed(inside, seen, vote)], side


def shadow(points: np.ndarray, side: float, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """The silhouette (height, width) bool of a hull of cells of ``side`` around ``points`` (points, 3)."""
    if len(points) == 0:
        return np.zeros((camera.height, camera.width), dtype=bool)
    distance = float(np.linalg.norm(points.mean(axis=0) - pose[:3, 3]))
    return _filled(_pixels(points, pose, camera), camera.width, camera.height, side * camera.focal_x / distance)


def _lattice(low: np.ndarray, high: np.ndarray, cells: int) -> tuple[np.ndarray, float]:
    """Centres (points, 3) float32 of cubic cells that fill a box, ``cells`` along its longest side; the cells' side."""
    side = float((high - low).max()) / cells
    axes = [np.arange(low[axis] + 0.5 * side, high[axis] + 0.499 * side, side) for axis in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32), side


def _split(points: np.ndarray, side: float) -> np.ndarray:
    """The centres of the eight halves of each cell."""
    corners = np.stack(np.meshgrid(*[[-0.25, 0.25]] * 3, indexing="ij"), axis=-1).reshape(8, 3) * side
    return (points[:, None] + corners).reshape(-1, 3).astype(np.float32)


def _pixels(points: np.ndarray, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """The flat index of the pixel in which each point appears: (points,) int32; width * height where none does."""
    turned = (points - pose[:3, 3].astype(np.float32)) @ pose[:3, :3].astype(np.float32)
    depth = -turned[:, 2]
    ahead = depth > 0
    scale = 1.0 / np.where(ahead, depth, 1.0)
    column = np.clip(camera.focal_x * turned[:, 0] * scale + camera.centre_x, -1, camera.width)
    row = np.clip(camera.centre_y - camera.focal_y * turned[:, 1] * scale, -1, camera.height)
    framed = ahead & (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    return np.where(framed, row.astype(np.int32) * camera.width + column.astype(np.int32), camera.width * camera.height)


def _votes(
    points: np.ndarray, masks: np.ndarray, poses: np.ndarray, camera: Intrinsics
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each point's pixel, whether it is in the silhouette, and whether it is framed: three times (views, points)."""
    pixels = np.stack([_pixels(points, pose, camera) for pose in poses])
    outside = masks[0].size
    inside = np.stack([np.append(mask.reshape(-1), False)[pixel] for mask, pixel in zip(masks, pixels)])
    return pixels, inside, pixels < outside


def _agreed(inside: np.ndarray, seen: np.ndarray, vote: float) -> np.ndarray:
    """The points (points,) bool for which enough of the views vote."""
    votes, chances = inside.sum(axis=0), seen.sum(axis=0)
    return (votes >= vote * chances) & (chances >= FRAMED * len(inside)) & (chances > 0)


def _left_out_iou(
    masks: np.ndarray, pixels: np.ndarray, inside: np.ndarray, seen: np.ndarray, cell_pixels: float, vote: float
) -> np.ndarray:
    """The IoU (views,) of each silhouette with the hull of all other views."""
    votes, chances = inside.sum(axis=0), seen.sum(axis=0)
    height, width = masks.shape[1:]
    found = np.zeros(len(masks))
    for view, mask in enumerate(masks):
        others = chances - seen[view]
        carved = (votes - inside[view] >= vote * others) & (others >= FRAMED * (len(masks) - 1)) & (others > 0)
        hull = _filled(pixels[view, carved], width, height, cell_pixels)
        union = np.count_nonzero(hull | mask)
        found[view] = np.count_nonzero(hull & mask) / union if union else 1.0
    return found


def _filled(pixels: np.ndarray, width: int, height: int, cell_pixels: float) -> np.ndarray:
    """What cells that span ``cell_pixels`` cover, from the pixels (points,) of their centres: (height, width) bool."""
    drawn = np.zeros(height * width + 1, dtype=np.uint8)
    drawn[pixels] = 1
    size = max(3, int(np.ceil(cell_pixels)) | 1)
    padded = np.pad(drawn[:-1].reshape(height, width), size)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    return closed[size:-size, size:-size] > 0
