"""A tiny object in the MAD layout, for the tests of readers and scripts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from utils.camera import look_at


def write_picture(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def write_object(folder: Path, views: int = 6, size: int = 16, queries: tuple[str, ...] = ("good", "Burrs")) -> Path:
    """``views`` random pictures on a circle of cameras, two queries of each kind with masks; returns ``folder``."""
    noise = np.random.default_rng(0)
    frames = []
    for index in range(views):
        write_picture(folder / f"train/good/{index}.png", noise.integers(0, 256, (size, size, 3), dtype=np.uint8))
        angle = 2 * math.pi * index / views
        eye = torch.tensor([3 * math.cos(angle), 3 * math.sin(angle), 1.0])
        pose = look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        frames.append({"file_path": f"train/good/{index}.png", "transform_matrix": pose.tolist()})
    write_transforms(folder, frames)
    for kind in queries:
        for index in range(2):
            write_picture(folder / f"test/{kind}/{index}.png", noise.integers(0, 256, (size, size, 3), dtype=np.uint8))
            if kind != "good":
                mask = np.zeros((size, size), dtype=np.uint8)
                mask[2:5, 3:6] = 255
                write_picture(folder / f"ground_truth/{kind}/{index}_mask.png", mask)
    return folder


def write_transforms(folder: Path, frames: list[dict], angle: float = 0.7, **more: object) -> None:
    content = {"camera_angle_x": angle, "frames": frames, **more}
    (folder / "transforms.json").write_text(json.dumps(content))


def read_transforms(folder: Path) -> list[dict]:
    return json.loads((folder / "transforms.json").read_text())["frames"]
