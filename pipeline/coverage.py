"""How much of an object's surface the training views showed."""

from __future__ import annotations

import torch
from torch import Tensor

from retrieval.viewpoints import fibonacci_sphere
from utils.camera import Intrinsics, look_at
from utils.geometry import WEAK_PRIOR, common_point
from utils.rendering import SOLID, Field

MIN_SEEN = 0.9  # share of what a query shows that training views showed, below which it is said
VIEWPOINTS = 24  # evenly around the object
SIDE = 200  # longer side, in pixels, of what is rendered from each


def surface_seen(field: Field, camera_to_world: Tensor, intrinsics: Intrinsics) -> tuple[float, float] | None:
    """Measure which shares of the surface, as it shows from all around, one and two training views showed.

    Args:
        camera_to_world: (views, 4, 4) of the views.
        intrinsics: their camera.
    Returns:
        Shares in [0, 1] of the pixels that show the object from ``VIEWPOINTS`` sides: of what at least one view
        showed, and at least two. None where the field does not know, or shows nothing.
    """
    poses = camera_to_world.float()
    centre = common_point(poses, WEAK_PRIOR)
    distance = (poses[:, :3, 3] - centre).norm(dim=1).median()
    scale = min(1.0, SIDE / max(intrinsics.width, intrinsics.height))
    small = intrinsics.resized(max(1, round(intrinsics.width * scale)), max(1, round(intrinsics.height * scale)))
    counts = []
    for direction in fibonacci_sphere(VIEWPOINTS):
        pose = look_at(centre + distance * direction, centre, torch.tensor([0.0, 0.0, 1.0]))
        rendering = field.render_reference(pose, small)
        if rendering.views_seen is None:
            return None
        counts.append(rendering.views_seen[rendering.opacity > SOLID])
    shown = torch.cat(counts)
    return (float((shown >= 1).float().mean()), float((shown >= 2).float().mean())) if len(shown) else None


def describe_coverage(views: int, seen: tuple[float, float] | list[float]) -> str:
    """Say how much of the surface the views showed.

    >>> describe_coverage(10, (0.71, 0.38))
    '10 views show 71 % of the surface, 38 % from two sides or more'
    """
    return f"{views} views show {seen[0]:.0%} of the surface, {seen[1]:.0%} from two sides or more".replace("%", " %")
