"""What a field renders, and the callable by which everything else asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from utils.camera import Intrinsics


@dataclass(frozen=True)
class Rendering:
    """One rendered picture, float32, on the field's device."""

    colour: Tensor  # (height, width, 3) RGB in [0, 1], composited on the background
    opacity: Tensor  # (height, width) in [0, 1]
    depth: Tensor  # (height, width) distance along the unit ray to the surface, scene units; 0 where opacity is 0


class RenderFn(Protocol):
    """Renders the object as seen from ``camera_to_world`` (4, 4) by a camera with ``intrinsics``."""

    def __call__(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering: ...
