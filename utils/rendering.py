"""Renderings, and the protocols of what renders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from utils.camera import Intrinsics
from utils.smoothing import largest, smallest

SOLID = 0.5  # opacity above which a pixel shows the object
SPECK = 2  # pixels from the middle of a speck to its border, at most
ALL_SEEN = 0.99  # share of the object's pixels that training views showed, from which on all are taken as seen
RESIDUAL_SIGMA = 2.5  # pixels over which images are smoothed before their difference is judged


@dataclass(frozen=True)
class Rendering:
    """One rendered image, float32, on the field's device."""

    colour: Tensor  # (height, width, 3) RGB in [0, 1], composited on the background
    opacity: Tensor  # (height, width) in [0, 1]
    depth: Tensor  # (height, width) distance along the unit ray to the surface, scene units; 0 where opacity is 0
    # Where the field knows them, of the anomaly-free object at this pose:
    expected_residual: Tensor | None = None  # (height, width) float32: root mean square over RGB of the difference to
    #   a photo, both smoothed over ``RESIDUAL_SIGMA`` pixels; above 0
    disagreement: Tensor | None = None  # (height, width) float32: root mean square by which the nearest training views
    #   differ there from their mean, smoothed likewise
    views_seen: Tensor | None = None  # (height, width) uint8: training views that show the surface; 0 where none is
    uncorrected: Tensor | None = None  # (height, width, 3): the colour without the training views' corrections
    growth: float = 1.0  # factor by which residuals are larger than where views are as near as they are to one another

    @property
    def unseen(self) -> Tensor | None:
        """Where it shows a surface that no training view showed: (height, width) bool.

        None where that is not known, or a small part of the object at most, as creases are.
        """
        share = self.seen_share()
        return None if share is None or share >= ALL_SEEN else self.shown_by_fewer(1)

    def seen_share(self, views: int = 1) -> float | None:
        """Return the share of the object's pixels that at least so many training views showed, in [0, 1].

        None where it is not known, or no object is shown.
        """
        solid = int((self.opacity > SOLID).sum())
        if self.views_seen is None or solid == 0:
            return None
        return 1.0 - int(self.shown_by_fewer(views).sum()) / solid

    def shown_by_fewer(self, views: int) -> Tensor:
        """Return where the object was shown by fewer training views, without specks and lines: (height, width) bool."""
        assert self.views_seen is not None
        fewer = ((self.opacity > SOLID) & (self.views_seen < views)).float()
        return largest(smallest(fewer, SPECK), SPECK) > 0


class RenderFn(Protocol):
    """Renders the object as seen from ``camera_to_world`` (4, 4) by a camera with ``intrinsics``."""

    def __call__(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering: ...


class RenderPixelsFn(Protocol):
    """Renders single pixels, differentiably in the pose.

    Args:
        pixels: (pixels, 2) x, y; pixel (0, 0) has its centre at (0.5, 0.5).
        camera_to_world: (4, 4); gradients flow to it, and to nothing else.
        intrinsics: the camera.
    Returns:
        (pixels, 3) float32 RGB, composited on the background.
    """

    def __call__(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> Tensor: ...


class Renderer(Protocol):
    """Anything that can render an object, as whole images or single pixels."""

    @property
    def render(self) -> RenderFn: ...

    @property
    def render_pixels(self) -> RenderPixelsFn: ...


class Field(Renderer, Protocol):
    """A trained radiance field of any kind."""

    @property
    def exposure_varies(self) -> bool:
        """Whether the views differed in exposure, so that a query must be matched before it is compared."""

    def render_reference(
        self, camera_to_world: Tensor, intrinsics: Intrinsics, rendering: Rendering | None = None, without: int = 0
    ) -> Rendering:
        """Render what a photo is compared with: as well as the field can, with what residual it expects if it can.

        Searches for poses, which need many renderings, take ``render``; ``rendering`` is what that gave at this pose.
        ``without`` as many of the nearest training views the reference is as good as from farther away.
        """

    def calibrate(self, pairs: Sequence[tuple[Rendering, Tensor]]) -> Field:
        """Return the field, what residuals it expects learned from views (height, width, 3) of no training.

        Args:
            pairs: what ``render_reference`` gave at the views' poses, exposed as they are, and the views.
        """

    def save(self, path: Path) -> None:
        """Write the field to a ``.safetensors`` file whose header says its ``kind``."""
