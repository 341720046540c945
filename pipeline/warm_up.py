"""Compiles what training and testing need, ahead of their first run: ``python -m pipeline.warm_up``.

The loops that numba compiles are kept in ``__pycache__`` beside their files. A tiny object, trained and looked at once,
compiles them for the same types as a real one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from nerf.settings import FieldConfig
from pipeline.config import Config
from pipeline.training import train_object
from retrieval.settings import RetrievalConfig
from utils.camera import Intrinsics, look_at, pixel_centres, world_rays
from utils.errors import exit_code_of
from utils.images import read_uint8, write_png

SIDE, VIEWS, RADIUS, ANGLE = 32, 24, 0.6, 0.7  # pixels, number, of the ball in scene units, camera_angle_x in radians


def main() -> int:
    """Train a ball of 32 pixels and detect one of its views; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        write_ball(Path(folder) / "ball")
        config = Config(
            object_name="ball",
            data_dir=folder,
            ckpt_dir=f"{folder}/ckpts",
            output_dir=f"{folder}/output",
            allow_bad_field=True,
            device="cpu",
            quiet=True,
            field=FieldConfig(resolution=16, levels=2, steps=20, rays_per_step=512),
            retrieval=RetrievalConfig(virtual_views=8),
        )
        model = train_object(config)
        model.detect(read_uint8(Path(folder) / "ball/train/good/0.png"))
    return 0


def write_ball(folder: Path) -> None:
    """Write views of a coloured ball on white, seen from a spiral around it, in MAD's layout."""
    frames = []
    for number in range(VIEWS):
        height = 2.0 * (number + 0.5) / VIEWS - 1.0
        azimuth, ring = torch.tensor(2.4 * number), (1.0 - height**2) ** 0.5
        eye = 3.0 * torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), torch.tensor(height)])
        pose = look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        file = f"train/good/{number}.png"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / file, ball_image(pose))
        frames.append({"file_path": file, "transform_matrix": pose.tolist()})
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": ANGLE, "frames": frames}))


def ball_image(camera_to_world: torch.Tensor) -> torch.Tensor:
    """Return (SIDE, SIDE, 3) of the ball, whose colour is that of its normal."""
    camera = Intrinsics.from_angle(SIDE, SIDE, ANGLE)
    origins, directions = world_rays(pixel_centres(camera), camera, camera_to_world)
    along = -(origins * directions).sum(-1)
    inside = along.square() - origins.square().sum(-1) + RADIUS**2
    normals = (origins + directions * (along - inside.clamp(min=0).sqrt())[..., None]) / RADIUS
    return torch.where(inside[..., None] > 0, 0.45 + 0.35 * normals, 1.0)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
