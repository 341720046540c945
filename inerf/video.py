"""Writes the video of a refinement: the object rendered at each pose, blended with the query."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn import functional

from utils.camera import Intrinsics
from utils.images import working_size, write_gif
from utils.rendering import RenderFn

LONGER_SIDE = 200  # pixels of a frame, at most
RENDERING_WEIGHT = 0.7  # of the rendering in a frame; the rest is the query's
FRAME_MILLISECONDS = 250


def write_video(path: Path, query: Tensor, pose_history: Tensor, intrinsics: Intrinsics, render: RenderFn) -> None:
    """Write one frame per pose as an animated GIF, atomically.

    Args:
        path: the ``.gif`` file.
        query: (height, width, 3) float32 RGB in [0, 1].
        pose_history: (poses, 4, 4) camera_to_world, first to last.
        intrinsics: camera of the query.
        render: renders the object.
    """
    width, height = working_size(intrinsics.width, intrinsics.height, LONGER_SIDE)
    camera = intrinsics.resized(width, height)
    small = functional.interpolate(query.permute(2, 0, 1)[None], (height, width), mode="area")[0].permute(1, 2, 0)
    renderings = (render(pose, camera).colour for pose in pose_history)
    frames = [RENDERING_WEIGHT * rendering + (1 - RENDERING_WEIGHT) * small for rendering in renderings]
    write_gif(path, frames, FRAME_MILLISECONDS)
