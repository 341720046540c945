"""The part of an image that is compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.rendering import Rendering

FOREGROUND_DIFFERENCE = 0.03  # colour difference from the background that makes a query pixel foreground
CROP_MARGIN = 12  # pixels around query and reference that are compared too


@dataclass(frozen=True)
class Crop:
    """The part of an image in which query or reference show the object."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, image: Tensor) -> Tensor:
        """Return the part of ``image`` (height, width, ...), as a view."""
        return image[self.top : self.bottom, self.left : self.right]


def object_crop(query: Tensor, reference: Rendering) -> Crop:
    """Return the bounding box, with a margin, of everything that is not background in query or reference.

    The background's colour is that of the reference where it is transparent. Where nothing is shown, the crop is the
    whole image.
    """
    height, width = reference.opacity.shape
    some = (slice(None, None, 4), slice(None, None, 4))  # the background is plain: a sixteenth of it will do
    empty = reference.colour[some][reference.opacity[some] < 0.01]
    background = empty.median(dim=0).values if len(empty) else reference.colour.new_zeros(3)
    red, green, blue = (query - background).abs().unbind(-1)
    shown = (reference.opacity > 0.01) | (torch.maximum(torch.maximum(red, green), blue) > FOREGROUND_DIFFERENCE)
    rows, columns = shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return Crop(0, 0, height, width)
    return Crop(
        max(int(rows[0]) - CROP_MARGIN, 0),
        max(int(columns[0]) - CROP_MARGIN, 0),
        min(int(rows[-1]) + 1 + CROP_MARGIN, height),
        min(int(columns[-1]) + 1 + CROP_MARGIN, width),
    )
