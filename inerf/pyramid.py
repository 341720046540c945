"""Image pyramid of the query, cropped to its foreground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor
from torch.nn import functional

from inerf.image_filters import smooth_channels
from utils.camera import Intrinsics, camera_directions, pixel_centres
from utils.images import is_foreground
from utils.rendering import Rendering

COARSEST_SIDE = 50  # pixels of the longer side at the coarsest level
WINDOW_MARGIN = 2  # pixels of the coarsest level around the foreground

Window = tuple[int, int, int, int]  # x, y, width, height in full-resolution pixels


@dataclass(frozen=True)
class PyramidLevel:
    """The query at one resolution."""

    query: Tensor  # (height, width, 9) float32: RGB, its gradient along x, its gradient along y
    foreground: Tensor  # (height, width) bool
    intrinsics: Intrinsics
    background: Tensor  # (3,) RGB
    factor: int  # full-resolution pixels per pixel
    window: Window  # of the query that the level shows

    @cached_property
    def directions(self) -> Tensor:
        """Unit rays (height, width, 3), camera axes."""
        return camera_directions(pixel_centres(self.intrinsics, self.query.device), self.intrinsics)


def pyramid_factors(intrinsics: Intrinsics) -> list[int]:
    """Return the downsampling factor of each level, coarsest first.

    >>> pyramid_factors(Intrinsics.from_angle(400, 400, 0.7))
    [8, 4, 2, 1]
    """
    count = 0
    while max(intrinsics.width, intrinsics.height) >> (count + 1) >= COARSEST_SIDE:
        count += 1
    return [1 << level for level in reversed(range(count + 1))]


def full_window(intrinsics: Intrinsics) -> Window:
    """Return the window of the whole frame."""
    return (0, 0, intrinsics.width, intrinsics.height)


def make_level(query: Tensor, intrinsics: Intrinsics, background: Tensor, window: Window, factor: int) -> PyramidLevel:
    """Crop the query (height, width, 3) to ``window`` and average it down by ``factor``.

    Args:
        query: RGB in [0, 1] on ``background`` (3,).
        intrinsics: camera of the whole query.
    """
    camera, (x, y, width, height) = level_camera(intrinsics, window, factor)
    part = query[y : y + height, x : x + width]
    if factor > 1:
        part = functional.avg_pool2d(part.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0).contiguous()
    shown = is_foreground(part, background)
    return PyramidLevel(smooth_channels(part), shown, camera, background, factor, (x, y, width, height))


def level_camera(intrinsics: Intrinsics, window: Window, factor: int) -> tuple[Intrinsics, Window]:
    """Return the camera of a level, and the part of ``window`` that whole pixels of it cover."""
    x, y, width, height = window
    columns, rows = width // factor, height // factor
    width, height = columns * factor, rows * factor
    centre_x, centre_y = intrinsics.centre_x - x, intrinsics.centre_y - y
    cropped = replace(intrinsics, width=width, height=height, centre_x=centre_x, centre_y=centre_y)
    return cropped.resized(columns, rows), (x, y, width, height)


def foreground_window(level: PyramidLevel) -> Window:
    """Return the bounding box, with a margin, of the foreground of the whole frame's coarsest ``level``."""
    rows = level.foreground.any(1).nonzero().squeeze(-1)
    columns = level.foreground.any(0).nonzero().squeeze(-1)
    height, width = level.foreground.shape
    top, left = max(int(rows[0]) - WINDOW_MARGIN, 0), max(int(columns[0]) - WINDOW_MARGIN, 0)
    bottom, right = min(int(rows[-1]) + 1 + WINDOW_MARGIN, height), min(int(columns[-1]) + 1 + WINDOW_MARGIN, width)
    return left * level.factor, top * level.factor, (right - left) * level.factor, (bottom - top) * level.factor


def coarsest_camera(intrinsics: Intrinsics) -> Intrinsics:
    """Return the camera of the coarsest level."""
    return level_camera(intrinsics, full_window(intrinsics), pyramid_factors(intrinsics)[0])[0]


def rendered_background(rendering: Rendering) -> Tensor:
    """Return the colour (3,) of a rendering at its most transparent pixel."""
    return rendering.colour.reshape(-1, 3)[rendering.opacity.reshape(-1).argmin()]
