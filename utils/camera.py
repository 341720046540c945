"""Camera geometry: poses, pixels and rays.

Convention
----------
``camera_to_world`` is (4, 4), OpenGL axes: x right, y up, the camera looks along -z. Pixel (0, 0) has its
centre at (0.5, 0.5), x to the right, y down. Ray directions have unit length. Angles are radians, distances
are scene units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: image size and focal lengths and centre, all in pixels."""

    width: int
    height: int
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float

    @staticmethod
    def from_angle(width: int, height: int, camera_angle_x: float) -> Intrinsics:
        """Return intrinsics with horizontal field of view ``camera_angle_x`` (radians), square pixels."""
        focal = 0.5 * width / math.tan(0.5 * camera_angle_x)
        return Intrinsics(width, height, focal, focal, 0.5 * width, 0.5 * height)

    def as_array(self) -> np.ndarray:
        """Return focal lengths and centre, x and y each, as the compiled loops take them: (4,) float32."""
        return np.array([self.focal_x, self.focal_y, self.centre_x, self.centre_y], np.float32)

    def resized(self, width: int, height: int) -> Intrinsics:
        """Return the camera of the image resampled to ``width`` x ``height``."""
        scale_x, scale_y = width / self.width, height / self.height
        return Intrinsics(
            width,
            height,
            self.focal_x * scale_x,
            self.focal_y * scale_y,
            self.centre_x * scale_x,
            self.centre_y * scale_y,
        )


def pixel_centres(intrinsics: Intrinsics, device: torch.device | str = "cpu") -> Tensor:
    """Return the centres (x, y) of all pixels: (height, width, 2) float32."""
    y, x = torch.meshgrid(
        torch.arange(intrinsics.height, device=device, dtype=torch.float32) + 0.5,
        torch.arange(intrinsics.width, device=device, dtype=torch.float32) + 0.5,
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1)


def camera_directions(pixels: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Return unit directions (..., 3) in the camera's frame of the rays through ``pixels`` (..., 2)."""
    x = (pixels[..., 0] - intrinsics.centre_x) / intrinsics.focal_x
    y = -(pixels[..., 1] - intrinsics.centre_y) / intrinsics.focal_y
    return torch.nn.functional.normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1), dim=-1)


def world_rays(pixels: Tensor, intrinsics: Intrinsics, camera_to_world: Tensor) -> tuple[Tensor, Tensor]:
    """Return origins and unit directions (..., 3), in the world's frame, of the rays through ``pixels`` (..., 2)."""
    directions = camera_directions(pixels, intrinsics) @ camera_to_world[:3, :3].to(pixels.dtype).T
    origins = camera_to_world[:3, 3].to(pixels.dtype).expand_as(directions)
    return origins, directions


def project_points(points_world: Tensor, intrinsics: Intrinsics, camera_to_world: Tensor) -> tuple[Tensor, Tensor]:
    """Project ``points_world`` (..., 3) to pixels (..., 2) and depth (...) along the viewing axis (> 0 in front)."""
    rotation, centre = camera_to_world[:3, :3], camera_to_world[:3, 3]
    points_camera = (points_world - centre) @ rotation
    depth = -points_camera[..., 2]
    x = intrinsics.focal_x * points_camera[..., 0] / depth + intrinsics.centre_x
    y = -intrinsics.focal_y * points_camera[..., 1] / depth + intrinsics.centre_y
    return torch.stack([x, y], dim=-1), depth


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """Return ``camera_to_world`` (4, 4) of a camera at ``eye`` that looks at ``target``; all (3,).

    Where ``up`` is parallel to the viewing direction, the world's y axis takes its place.
    """
    backward = torch.nn.functional.normalize(eye - target, dim=0)
    right = torch.linalg.cross(up, backward)
    if right.norm() < 1e-6:
        right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0], dtype=eye.dtype), backward)
    right = torch.nn.functional.normalize(right, dim=0)
    pose = torch.eye(4, dtype=eye.dtype)
    pose[:3, :3] = torch.stack([right, torch.linalg.cross(backward, right), backward], dim=1)
    pose[:3, 3] = eye
    return pose


def pose_errors(camera_to_world: Tensor, true_camera_to_world: Tensor) -> tuple[float, float]:
    """Return geodesic rotation error (radians) and distance of the camera centres (scene units) of two poses (4, 4).

    The chord form 2 asin(|R - R'| / (2 sqrt 2)) is exact near zero, where acos of the trace loses its digits.
    """
    pose, truth = camera_to_world.double(), true_camera_to_world.double()
    chord = torch.linalg.matrix_norm(pose[:3, :3] - truth[:3, :3]) / (2.0 * math.sqrt(2.0))
    angle = 2.0 * torch.asin(chord.clamp(max=1.0))
    return float(angle), float((pose[:3, 3] - truth[:3, 3]).norm())
