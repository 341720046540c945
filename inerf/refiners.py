"""The choice of a refinement: Gauss-Newton steps between pictures, or the paper's iNeRF."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from inerf.adam import descend_poses
from inerf.judge import Refinement
from inerf.refine import refine_pose
from inerf.video import write_video
from utils.camera import Intrinsics
from utils.config import Config
from utils.rendering import Renderer


def refine(
    query: Tensor,
    name: str,
    coarse_poses: Tensor,
    intrinsics: Intrinsics,
    renderer: Renderer,
    config: Config,
    video: Path | None = None,
) -> Refinement:
    """The query's pose, found by ``config.refine.method`` from several coarse poses.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1], on the plain background that ``renderer`` draws.
        name: the query's name; with ``config.seed`` it fixes every random choice.
        coarse_poses: (hypotheses, 4, 4) camera_to_world.
        intrinsics: camera of the query.
        renderer: renders the object, on the query's device.
        config: all settings.
        video: a ``.gif`` file to write the way of the pose to; None writes nothing.
    Raises:
        ValueError: where query, intrinsics and coarse poses do not fit together.
    """
    if config.refine.method == "adam":
        refinement = descend_poses(query, name, coarse_poses, intrinsics, renderer, config)
    else:
        refinement = refine_pose(query, coarse_poses, intrinsics, renderer.render, config.refine)
    if video is not None:
        write_video(video, query, refinement.pose_history, intrinsics, renderer.render)
    return refinement
