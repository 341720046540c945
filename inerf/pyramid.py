"""Image pyramid of the query, cropped to its foreground."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional

from inerf.image_filters import binomial_blur, with_image_gradient
from utils.camera import Intrinsics, camera_directions, pixel_centres
from utils.images import is_foreground
from utils.rendering import RenderFn

COARSEST_SIDE = 50  # pixels of the longer side at the coarsest level
WINDOW_MARGIN = 2  # pixels of the coarsest level around the foreground

Window = tuple[int, int, int, int]  # x, y, width, height in full-resolution pixels


@dataclass(frozen=True)
class PyramidLevel:
    """The query at one resolution."""

    query: Tensor  # (height, width, 9) float32: RGB, its gradient along x, its gradient along y
    foreground: Tensor  # (height, width) bool
    directions: Tensor  # (height, width, 3) unit rays, camera axes
    intrinsics: Intrinsics
    background: Tensor  # (3,) RGB
    factor: int  # full-resolution pixels per pixel


def pyramid_factors(intrinsics: Intrinsics) -> list[int]:
    """Return the downsampling factor of each level, coarsest first.

    >>> pyramid_factors(Intrinsics.from_angle(400, 400, 0.7))
    [8, 4, 2, 1]
    """
    count = 0
    while max(intrinsics.width, intrinsics.height) >> (count + 1) >= COARSEST_SIDE:
        count += 1
    return [1 << level for level in reversed(range(count + 1))]


def coarsest_camera(intrinsics: Intrinsics) -> Intrinsics:
    """Return the camera of the whole frame at the coarsest level."""
    factor = pyramid_factors(intrinsics)[0]
    return intrinsics.resized(max(intrinsics.width // factor, 1), max(intrinsics.height // factor, 1))


def full_window(intrinsics: Intrinsics) -> Window:
    """Return the window of the whole frame."""
    return (0, 0, intrinsics.width, intrinsics.height)


def make_level(query: Tensor, intrinsics: Intrinsics, background: Tensor, window: Window, factor: int) -> PyramidLevel:
    """Crop the query (height, width, 3) to ``window`` and average it down by ``factor``.

    Args:
        query: RGB in [0, 1] on ``background`` (3,).
        intrinsics: camera of the whole query.
    """
    x, y, width, height = window
    columns, rows = width // factor, height // factor
    part = query[y : y + rows * factor, x : x + columns * factor]
    if factor > 1:
        part = functional.avg_pool2d(part.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0).contiguous()
    camera = replace(
        intrinsics,
        width=columns * factor,
        height=rows * factor,
        centre_x=intrinsics.centre_x - x,
        centre_y=intrinsics.centre_y - y,
    ).resized(columns, rows)
    directions = camera_directions(pixel_centres(camera, query.device), camera)
    channels = with_image_gradient(binomial_blur(part))
    return PyramidLevel(channels, is_foreground(part, background), directions, camera, background, factor)


def foreground_window(level: PyramidLevel) -> Window:
    """Return the bounding box, with a margin, of the foreground of the whole frame's coarsest ``level``."""
    rows = level.foreground.any(1).nonzero().squeeze(-1)
    columns = level.foreground.any(0).nonzero().squeeze(-1)
    height, width = level.foreground.shape
    top, left = max(int(rows[0]) - WINDOW_MARGIN, 0), max(int(columns[0]) - WINDOW_MARGIN, 0)
    bottom, right = min(int(rows[-1]) + 1 + WINDOW_MARGIN, height), min(int(columns[-1]) + 1 + WINDOW_MARGIN, width)
    return left * level.factor, top * level.factor, (right - left) * level.factor, (bottom - top) * level.factor


def rendered_background(pose: Tensor, intrinsics: Intrinsics, render_fn: RenderFn) -> Tensor:
    """Return the colour (3,) of a coarse rendering at its most transparent pixel."""
    rendering = render_fn(pose, coarsest_camera(intrinsics))
    return rendering.colour.reshape(-1, 3)[rendering.opacity.reshape(-1).argmin()]
