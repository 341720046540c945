"""Foreground masks of posed images that have none: a network's, corrected by the consensus of all views.

The network takes each view by itself and is wrong in some. What most views agree on is carved, its silhouettes correct
the masks, colours find the edges, and the corrected masks are carved once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data.consensus import TRUSTED, carve, find_consensus, iou
from data.doctor.fit import Fit, hull_silhouette
from data.folders import in_threads
from data.mask_edges import BAND, cut_edge
from data.saliency import SIDE, Saliency
from utils.camera import Intrinsics
from utils.images import working_size
from utils.progress import Progress

FOREGROUND = 0.5  # saliency above which a pixel is foreground
WIDE_BAND = 0.15  # around the silhouettes of the first hull, which lacks tips that the network often left out
CORRECTED_VOTE = 0.85  # share of the views that must agree on a voxel once the masks are corrected
DOUBTFUL = 0.5  # share of corrected views above which the consensus is doubtful
DISAGREES = 0.8  # IoU of the network's mask and the final one below which a view is named


@dataclass(frozen=True)
class AutomaticMasks:
    """The masks of all views, at the size at which they were found, and the hull that finds them at any other."""

    hull: Fit
    poses: np.ndarray  # (views, 4, 4) camera_to_world
    camera: Intrinsics  # of the small images
    images: np.ndarray  # (views, height, width, 3) uint8
    masks: np.ndarray  # (views, height, width) bool
    agreement: np.ndarray  # (views,) IoU of the network's mask and the final one

    @property
    def corrected(self) -> np.ndarray:
        """Return the rows of the views in which the network was wrong."""
        return np.flatnonzero(self.agreement < DISAGREES)

    @property
    def doubt(self) -> str:
        """Return a sentence where so many masks were corrected that the views may agree on something else, or ""."""
        if len(self.corrected) <= DOUBTFUL * len(self.poses):
            return ""
        return "in most views the network found something else than what all agree on: trust the masks only once seen"

    def mask(self, view: int, image: np.ndarray, camera: Intrinsics) -> np.ndarray:
        """Return the mask of a view at another size: (height, width) uint8, 255 on the object.

        Args:
            view: its row.
            image: (height, width, 3) uint8 RGB.
            camera: of that image.
        """
        silhouette = hull_silhouette(self.hull, self.poses[view], camera)
        guess = cv2.resize(self.masks[view].astype(np.uint8) * 255, (camera.width, camera.height)) > 127
        return np.where(cut_edge(image, silhouette, guess), 255, 0).astype(np.uint8)


def find_automatic_masks(
    read: Callable[[int], np.ndarray], poses: np.ndarray, camera: Intrinsics, saliency: Saliency, progress: Progress
) -> AutomaticMasks:
    """Find the masks of posed images.

    Args:
        read: returns a view's image (height, width, 3) uint8 RGB by its row.
        poses: (views, 4, 4) camera_to_world.
        camera: of all images.
        saliency: the network.
    Raises:
        InputError: where the network's masks have no object in common, or an image cannot be read.
    """
    camera = camera.resized(*working_size(camera.width, camera.height, SIDE))

    def read_small(view: int) -> np.ndarray:
        return cv2.resize(read(view), (camera.width, camera.height), interpolation=cv2.INTER_AREA)

    images = np.empty((len(poses), camera.height, camera.width, 3), dtype=np.uint8)
    masks = np.empty(images.shape[:3], dtype=bool)
    small = enumerate(in_threads(read_small, range(len(poses))))
    for view, image in progress.track(small, "masks", len(poses)):
        images[view], masks[view] = image, saliency(image) > FOREGROUND
    consensus = find_consensus(masks, poses, camera)
    trusted = np.flatnonzero(consensus.agreement >= TRUSTED)
    outlines = [hull_silhouette(consensus.hull, pose, camera) for pose in poses[trusted]]
    corrected = cut_edges(images[trusted], outlines, list(masks[trusted]), WIDE_BAND)
    hull = carve(corrected, poses[trusted], camera, CORRECTED_VOTE)
    outlines = [hull_silhouette(hull, pose, camera) for pose in poses]
    guesses = outlines.copy()
    for row, mask in zip(trusted.tolist(), corrected):
        guesses[row] = mask
    final = cut_edges(images, outlines, guesses, BAND)
    agreement = np.array([iou(mask, better) for mask, better in zip(masks, final)])
    return AutomaticMasks(hull, poses, camera, images, final, agreement)


def network_mask(image: np.ndarray, saliency: Saliency) -> np.ndarray:
    """Return the network's mask (height, width) uint8, 255 on the object, of an image (height, width, 3 or 4) uint8."""
    return np.where(saliency(image[..., :3]) > FOREGROUND, 255, 0).astype(np.uint8)


def cut_edges(
    images: np.ndarray, silhouettes: Sequence[np.ndarray], guesses: Sequence[np.ndarray], band: float
) -> np.ndarray:
    """Find the object's edge in all views, see ``cut_edge``: (views, height, width) bool."""
    return np.stack(list(in_threads(lambda view: cut_edge(*view, band), zip(images, silhouettes, guesses))))
