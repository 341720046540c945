"""The mask of a photo that has none: the network's, then corrected by the silhouette of the pose that it led to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data.consensus import TRUSTED, iou
from data.mask_edges import cut_edge, grown, object_side
from utils.images import to_bytes

AGREES = 0.9  # IoU of mask and silhouette from which a mask is kept
CORRECTIONS = 2  # at most
BAND = 0.05  # half width of the band around a silhouette in which colours decide, of the object's longer side


def cut_out(photo: Tensor, mask: np.ndarray, background: tuple[float, float, float]) -> Tensor:
    """Put the ``background`` behind the object in a photo (height, width, 3); ``mask`` (height, width) bool."""
    return torch.where(torch.from_numpy(mask)[..., None], photo, photo.new_tensor(background))


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
    return found | (mask & grown(silhouette, max(1, round(BAND * object_side(silhouette)))))
