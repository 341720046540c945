"""The query at several resolutions, cut to what it shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional

from inerf.pictures import smoothed, with_slopes
from utils.camera import Intrinsics, camera_directions, pixel_centres
from utils.images import is_foreground

COARSEST_SIDE = 50  # pixels of the longer side where the search begins
MARGIN = 2  # coarsest pixels around what the query shows

Window = tuple[int, int, int, int]  # x, y, width, height in full pixels


@dataclass(frozen=True)
class Level:
    """The query at one resolution."""

    query: Tensor  # (height, width, 9) float32: RGB, its slope along x, its slope along y
    shown: Tensor  # (height, width) bool: is_foreground from the background
    directions: Tensor  # (height, width, 3) unit rays, camera axes
    intrinsics: Intrinsics
    background: Tensor  # (3,) RGB
    factor: int  # full pixels a pixel


def factors(intrinsics: Intrinsics) -> list[int]:
    """Full pixels a pixel of each level, coarsest first.

    >>> factors(Intrinsics.from_angle(400, 400, 0.7))
    [8, 4, 2, 1]
    """
    count = 0
    while max(intrinsics.width, intrinsics.height) >> (count + 1) >= COARSEST_SIDE:
        count += 1
    return [1 << level for level in reversed(range(count + 1))]


def coarse_camera(intrinsics: Intrinsics) -> Intrinsics:
    """The whole frame's camera at the coarsest level."""
    factor = factors(intrinsics)[0]
    return intrinsics.resized(max(intrinsics.width // factor, 1), max(intrinsics.height // factor, 1))


def cut(query: Tensor, intrinsics: Intrinsics, background: Tensor, window: Window, factor: int) -> Level:
    """The query (height, width, 3) within ``window``, averaged down by ``factor``, on ``background`` (3,)."""
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
    shown = is_foreground(part, background)
    directions = camera_directions(pixel_centres(camera, query.device), camera)
    return Level(with_slopes(smoothed(part)), shown, directions, camera, background, factor)


def shown_window(level: Level) -> Window:
    """The part of the whole frame around what its coarsest ``level`` shows, in whole coarse pixels."""
    rows = level.shown.any(1).nonzero().squeeze(-1)
    columns = level.shown.any(0).nonzero().squeeze(-1)
    height, width = level.shown.shape
    top, left = max(int(rows[0]) - MARGIN, 0), max(int(columns[0]) - MARGIN, 0)
    bottom, right = min(int(rows[-1]) + 1 + MARGIN, height), min(int(columns[-1]) + 1 + MARGIN, width)
    return left * level.factor, top * level.factor, (right - left) * level.factor, (bottom - top) * level.factor


def background_of(colour: Tensor, opacity: Tensor) -> Tensor:
    """The colour (3,) that a rendering draws where there is least object."""
    return colour.reshape(-1, 3)[opacity.reshape(-1).argmin()]
