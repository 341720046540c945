"""Posed images in the forms that the importers read."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from data.photos import ORIENTATION
from tests.mad_folder import write_picture
from utils.camera import look_at

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def ring(count: int = 6, radius: float = 4.0, centre: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Return poses (count, 4, 4) of cameras, some higher than others, that look at ``centre``."""
    target = torch.tensor(centre, dtype=torch.float64)
    poses = []
    for index in range(count):
        azimuth, height = 2 * math.pi * index / count, 0.3 + 0.2 * (index % 3)
        eye = torch.tensor(
            [math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)],
            dtype=torch.float64,
        )
        poses.append(look_at(target + radius * eye, target, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)))
    return torch.stack(poses).numpy()


def write_pictures(folder: Path, count: int = 6, width: int = 24, height: int = 16, alpha: bool = False) -> list[str]:
    """Write random images 0.png, 1.png, ... to ``folder``; return their names."""
    noise = np.random.default_rng(0)
    for index in range(count):
        write_picture(folder / f"{index}.png", noise.integers(0, 256, (height, width, 3 + alpha), dtype=np.uint8))
    return [f"{index}.png" for index in range(count)]


def write_photo(path: Path, flag: int, picture: np.ndarray) -> Path:
    """Write a photo in the sensor's orientation with an EXIF flag that says how to turn it."""
    exif = Image.Exif()
    exif[ORIENTATION] = flag
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, exif=exif)
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def world_to_camera(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return quaternion w, x, y, z and translation, OpenCV axes, of a camera_to_world with OpenGL axes."""
    matrix = np.linalg.inv(pose @ FLIP)
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    return np.array([w, x, y, z]), matrix[:3, 3]


def write_colmap(
    folder: Path, names: list[str], poses: np.ndarray, camera: tuple[int, str, int, int, list[float]], binary: bool
) -> None:
    """Write a model with one camera and, as COLMAP does, points seen by the images."""
    number, model, width, height, parameters = camera
    folder.mkdir(parents=True, exist_ok=True)
    records = [(index + 1, *world_to_camera(pose), name) for index, (name, pose) in enumerate(zip(names, poses))]
    points = np.random.default_rng(1).normal(0, 0.1, (40, 3))
    if binary:
        body = struct.pack("<QiiQQ", 1, 1, number, width, height) + struct.pack(f"<{len(parameters)}d", *parameters)
        (folder / "cameras.bin").write_bytes(body)
        body = struct.pack("<Q", len(records))
        for index, quaternion, offset, name in records:
            body += struct.pack("<i7di", index, *quaternion, *offset, 1) + name.encode() + b"\0"
            body += struct.pack("<Q", 2) + struct.pack("<ddq", 1.5, 2.5, 7) + struct.pack("<ddq", 3.5, 4.5, -1)
        (folder / "images.bin").write_bytes(body)
        body = struct.pack("<Q", len(points))
        for index, point in enumerate(points):
            body += struct.pack("<Q3d3BdQ", index, *point, 10, 20, 30, 0.5, 1) + struct.pack("<ii", 1, 0)
        (folder / "points3D.bin").write_bytes(body)
        return
    (folder / "cameras.txt").write_text(f"# Camera list\n1 {model} {width} {height} {' '.join(map(str, parameters))}\n")
    lines = ["# Image list", "#   POINTS2D[] as (X, Y, POINT3D_ID)"]
    for index, quaternion, offset, name in records:
        numbers = " ".join(f"{value:.17g}" for value in [*quaternion, *offset])
        lines += [f"{index} {numbers} 1 {name}", "" if index == 2 else "1.5 2.5 7"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{index} {x} {y} {z} 10 20 30 0.5 1 0" for index, (x, y, z) in enumerate(points)]
    (folder / "points3D.txt").write_text("\n".join(["# 3D point list", *rows]) + "\n")
