"""Silhouettes of balls, which are known exactly: an object for the tests of the doctor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from utils.camera import Intrinsics, look_at, pixel_centres, world_rays

LOPSIDED = [
    (0.0, 0.0, 0.0, 0.45),
    (0.5, 0.1, 0.2, 0.25),
    (-0.2, 0.55, 0.35, 0.2),
    (0.1, -0.3, -0.6, 0.15),
]  # x y z radius
BALL = [(0.0, 0.0, 0.0, 0.6)]
ANGLE = 0.7  # radians


def camera_of(size: int) -> Intrinsics:
    return Intrinsics.from_angle(size, size, ANGLE)


def poses_around(views: int) -> np.ndarray:
    """Cameras (views, 4, 4) that look at the origin from random places 3 units away, in no order."""
    noise = torch.Generator().manual_seed(1)
    places = 3.0 * torch.nn.functional.normalize(torch.randn(views, 3, generator=noise, dtype=torch.float64), dim=1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return torch.stack([look_at(place, torch.zeros(3, dtype=torch.float64), up) for place in places]).numpy()


def silhouettes_of(balls: list[tuple[float, float, float, float]], poses: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Which pixels' central rays meet a ball: (views, height, width) bool."""
    masks = []
    for pose in torch.from_numpy(poses):
        origins, directions = world_rays(pixel_centres(camera).double(), camera, pose)
        mask = torch.zeros(directions.shape[:2], dtype=torch.bool)
        for *centre, radius in balls:
            toward = torch.tensor(centre, dtype=torch.float64) - origins
            along = (toward * directions).sum(-1, keepdim=True)
            mask |= (toward - along * directions).norm(dim=-1) < radius
        masks.append(mask.numpy())
    return np.stack(masks)


def write_toy(folder: Path, views: int = 24, size: int = 48) -> Path:
    """A good object: the lopsided balls in dark red on white, cameras in the layout's own form."""
    poses, camera = poses_around(views), camera_of(size)
    frames = []
    (folder / "train/good").mkdir(parents=True)
    for index, mask in enumerate(silhouettes_of(LOPSIDED, poses, camera)):
        picture = np.where(mask[..., None], np.array([120, 20, 20]), 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"train/good/{index}.png")
        frames.append({"file_path": f"train/good/{index}.png", "transform_matrix": poses[index].tolist()})
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": ANGLE, "frames": frames, "maker": "toy"}))
    return folder
