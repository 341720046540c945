"""The foreground that posed views agree on: a view in which a network takes a wall for the object is outvoted.

Voxels within the masks of most of the views that frame them are carved, and their largest connected piece is kept.
Views whose mask has little in common with its silhouette lose their vote, and the voxels are carved again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from data.doctor.fit import Fit, hull_silhouette, split_cells
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.hull import Hull, inside_votes, object_bounds, visual_hull

FIRST_VOTE, VOTE = 0.6, 0.88  # shares of the views that must agree on a voxel: of all of them, of the trusted ones
TRUSTED = 0.6  # IoU of a mask and the silhouette from which a view is trusted
ROUNDS = 3  # of carving with the views trusted then
CELLS = 64  # along the object's longest side, of the coarse hull, whose cells are split
FEWEST_TRUSTED = 4  # views that must be trusted


@dataclass(frozen=True)
class Consensus:
    """What the views agree on."""

    hull: Fit  # the cells of the object
    agreement: np.ndarray  # (views,) IoU of each view's mask and the silhouette of the hull

    def silhouette(self, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
        """Return the silhouette (height, width) bool of the hull seen from ``pose`` (4, 4)."""
        return hull_silhouette(self.hull, pose, camera)


def find_consensus(masks: np.ndarray, poses: np.ndarray, camera: Intrinsics) -> Consensus:
    """Carve what the masks of most views agree on.

    Args:
        masks: (views, height, width) bool, some of them wrong.
        poses: (views, 4, 4) camera_to_world.
        camera: of all views, for images of the masks' size.
    Raises:
        InputError: where too few of the masks agree.
    """
    trusted, vote = np.ones(len(masks), dtype=bool), FIRST_VOTE
    for _ in range(ROUNDS):
        hull = carve(masks[trusted], poses[trusted], camera, vote)
        agreement = np.array([iou(mask, hull_silhouette(hull, pose, camera)) for mask, pose in zip(masks, poses)])
        trusted, vote = agreement >= TRUSTED, VOTE
        if trusted.sum() < FEWEST_TRUSTED:
            raise InputError(
                f"The network's masks of only {trusted.sum()} of {len(masks)} views agree on an object, at least "
                f"{FEWEST_TRUSTED} were expected; make the masks otherwise and give their folder with --masks."
            )
    return Consensus(hull, agreement)


def carve(masks: np.ndarray, poses: np.ndarray, camera: Intrinsics, vote: float) -> Fit:
    """Return the largest connected piece of the cells that lie within the masks of ``vote`` of the views."""
    cameras = torch.from_numpy(poses).float()
    try:
        bounds = object_bounds(masks, cameras, camera, vote)
    except InputError:
        raise InputError(
            f"No point of space lies within the network's masks of {vote:.0%} of the {len(masks)} views: the poses "
            f"are wrong, or no object stands out; make the masks otherwise and give their folder with --masks."
        ) from None
    hull = largest_piece(visual_hull(masks, cameras, camera, bounds, CELLS, vote))
    points = split_cells(hull.points, hull.side)
    votes = inside_votes(points, masks, cameras, camera)
    kept = points[votes >= vote].numpy()
    return Fit(np.empty(0), kept, 0.5 * hull.side)


def largest_piece(hull: Hull) -> Hull:
    """Return the largest connected piece of a hull."""
    pieces, count = ndimage.label(hull.inside.numpy(), structure=np.ones((3, 3, 3)))
    if count < 2:
        return hull
    largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    return Hull(hull.low, hull.side, torch.from_numpy(pieces == largest))


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union of two masks (height, width) bool; 1 where both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0
