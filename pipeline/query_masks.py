"""The mask of a photo that has none: the network's, or where that leads to no pose, one of the object's silhouettes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.consensus import TRUSTED, iou
from data.mask_edges import cut_edge, grown, object_side
from utils.images import to_bytes
from utils.rendering import Rendering

AGREES = 0.9  # IoU of mask and silhouette from which a mask is kept
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


def cut_out(photo: Tensor, mask: np.ndarray, background: tuple[float, float, float]) -> Tensor:
    """Put the ``background`` behind the object in a photo (height, width, 3); ``mask`` (height, width) bool."""
    shown = torch.from_numpy(mask).to(photo.device)
    return torch.where(shown[..., None], photo, photo.new_tensor(background))


def with_margin(silhouette: np.ndarray) -> np.ndarray:
    """Return a silhouette (height, width) bool grown by ``BAND``."""
    return grown(silhouette, max(1, round(BAND * object_side(silhouette)))) if silhouette.any() else silhouette


def masks_of(photo: Tensor, silhouettes: Sequence[Silhouette]) -> list[np.ndarray]:
    """Return masks (height, width) bool by the ``TRIED`` silhouettes that explain a photo best, best first."""
    best = sorted((each for each in silhouettes if each.mask.any()), key=lambda each: each.unexplained)[:TRIED]
    return [cut_edge(to_bytes(photo), each.mask, each.mask, BAND) for each in best]


def corrected_mask(photo: Tensor, mask: np.ndarray, silhouette: np.ndarray) -> np.ndarray:
    """Return the mask (height, width) bool that colours find near the silhouette.

    What a mask that is roughly right has near it is kept, for a defect may have a colour that the object has not.

    Args:
        photo: (height, width, 3) float32 RGB in [0, 1].
        mask: the network's, (height, width) bool.
        silhouette: of the object at the pose found, (height, width) bool.
    """
    found = cut_edge(to_bytes(photo), silhouette, mask, BAND)
    if iou(mask, silhouette) < TRUSTED or not silhouette.any():
        return found
    return found | (mask & with_margin(silhouette))
