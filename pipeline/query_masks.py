"""The mask of a photo that has none: the network's, or where that leads to no pose, one of the object's silhouettes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from data.mask_edges import cut_edge, grown, object_side
from utils.images import to_bytes
from utils.rendering import Rendering

EDGE = 2  # pixels beside the silhouette that pose and mask may be wrong by
SQUARE = np.ones((3, 3), np.uint8)
BAND = 0.05  # half width of the band around a silhouette in which colours decide, of the object's longer side
TEMPLATES = 12  # coarse poses that are looked for in a photo whose mask led to no pose
TRIED = 3  # of them, those that explain the photo best, whose silhouettes become masks
SCALE = 0.1  # difference of colours (RGB norm) that counts one half


@dataclass(frozen=True)
class Silhouette:
    """The object at a pose, as a photo may show it."""

    mask: np.ndarray  # (height, width) bool
    unexplained: float  # mean robust difference of colours inside it, in [0, 1]

    @staticmethod
    def of(photo: Tensor, rendering: Rendering) -> Silhouette:
        """Return the silhouette of a rendering, and how badly it explains a photo (height, width, 3)."""
        inside = rendering.opacity > 0.9
        square = (photo - rendering.colour).square().sum(-1)[inside]
        unexplained = float((square / (square + SCALE**2)).mean()) if len(square) else 1.0
        return Silhouette((rendering.opacity > 0.5).cpu().numpy(), unexplained)


def cut_out(photo: Tensor, mask: np.ndarray | Tensor, background: tuple[float, float, float]) -> Tensor:
    """Put the ``background`` behind the object in a photo (height, width, 3); ``mask`` (height, width): bool, alpha."""
    alpha = torch.as_tensor(mask).to(photo)[..., None]
    return photo * alpha + photo.new_tensor(background) * (1.0 - alpha)


def with_margin(silhouette: np.ndarray) -> np.ndarray:
    """Return a silhouette (height, width) bool grown by ``BAND``."""
    return grown(silhouette, max(1, round(BAND * object_side(silhouette)))) if silhouette.any() else silhouette


def masks_of(photo: Tensor, silhouettes: Sequence[Silhouette]) -> list[np.ndarray]:
    """Return masks (height, width) bool by the ``TRIED`` silhouettes that explain a photo best, best first."""
    best = sorted((each for each in silhouettes if each.mask.any()), key=lambda each: each.unexplained)[:TRIED]
    return [cut_edge(to_bytes(photo), each.mask, each.mask, BAND) for each in best]


def judged_part(photo: Tensor, mask: np.ndarray, opacity: Tensor) -> Tensor:
    """Return the alpha (height, width) with which a photo is compared with the object: what should be it, and burrs.

    The object's own opacity cuts it out better than any mask: a part that is missing shows the background there. What
    sticks out of it counts where the mask has it, and colours confirm it.

    Args:
        photo: (height, width, 3) float32 RGB in [0, 1].
        mask: (height, width) bool that led to the pose.
        opacity: (height, width) of the object at the pose found.
    """
    silhouette = (opacity > 0.5).cpu().numpy()
    if not silhouette.any():
        return opacity
    shown = (mask & cut_edge(to_bytes(photo), silhouette, mask, BAND)).astype(np.uint8)
    outside = shown * ~grown(silhouette, EDGE)
    burrs = cv2.dilate(cv2.morphologyEx(outside, cv2.MORPH_OPEN, SQUARE), SQUARE, iterations=EDGE) * shown
    return torch.maximum(opacity, torch.from_numpy(burrs).to(opacity))
