"""Brings poses into the world that training expects: the object at the origin, the cameras four units away."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from utils.errors import InputError
from utils.geometry import common_point, shortest_rotation

MEAN_DISTANCE = 4.0  # mean distance of the cameras from the object, so that the paper's near 2 and far 6 enclose it
ACCEPTED_DISTANCES = (2.5, 4.5)  # mean distances that are kept: MAD's own are 3 to 4
MAX_OFF_CENTRE = 0.1  # share of that distance by which a kept object may be off the origin
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV's camera axes (x right, y down, z forward) to OpenGL's, and back


def rigid_pose(pose: object, where: str) -> np.ndarray:
    """Return the rotation and translation (4, 4) float64 of a matrix (3 or 4, 4), without uniform scale and rounding.

    Raises:
        InputError: naming ``where``, for anything else: not numbers, not finite, sheared, mirrored.
    """
    try:
        matrix = np.array(pose, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape not in ((3, 4), (4, 4)) or not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e9:
        raise InputError(f"The pose of {where} must be a 4x4 matrix of finite numbers; write it again.")
    if matrix.shape == (4, 4) and np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-3:
        raise InputError(f"The pose of {where} must end in the row 0 0 0 1, found {matrix[3].tolist()}; transpose it?")
    left, stretch, right = np.linalg.svd(matrix[:3, :3])
    if stretch.min() < 1e-9 or stretch.max() / stretch.min() > 1.01:
        raise InputError(f"The pose of {where} must be a rotation and a translation, found one that shears.")
    if np.linalg.det(left @ right) < 0:
        raise InputError(f"The pose of {where} must be a rotation and a translation, found one that mirrors.")
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = left @ right, matrix[:3, 3]
    return result


def pose_from_opencv(world_to_camera: np.ndarray) -> np.ndarray:
    """Return camera_to_world (4, 4), OpenGL axes, of a world_to_camera (4, 4) of OpenCV or COLMAP."""
    return np.linalg.inv(world_to_camera) @ FLIP


def rotation_of_quaternion(quaternion: object, where: str) -> np.ndarray:
    """Return the rotation (3, 3) of a quaternion w, x, y, z of any length but zero."""
    numbers = np.array(quaternion, dtype=np.float64)
    largest = np.abs(numbers).max()
    if not 1e-6 < largest < 1e6:
        raise InputError(f"The quaternion of {where} must be finite and not zero, found {numbers.tolist()}.")
    return Rotation.from_quat(numbers, scalar_first=True).as_matrix()


def apply_similarity(similarity: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Return poses (views, 4, 4) after a ``similarity`` (4, 4) of their world: rotation, uniform scale, offset."""
    scale = np.cbrt(np.linalg.det(similarity[:3, :3]))
    result = similarity @ poses
    result[:, :3, :3] /= scale
    return result


def centring_similarity(poses: np.ndarray, points: np.ndarray | None = None, free_axes: bool = False) -> np.ndarray:
    """Return the similarity (4, 4) that puts the object at the origin and the cameras ``MEAN_DISTANCE`` away.

    The object is where the cameras look or, where there are enough sparse points nearby, at their median. A world that
    fits already is kept.

    Args:
        poses: (views, 4, 4) camera_to_world, OpenGL axes.
        points: (points, 3) sparse points of the object and of its surroundings, or None.
        free_axes: whether the world's axes mean nothing; then the cameras' mean up direction becomes z.
    Raises:
        InputError: where all cameras look the same way, or are in one place.
    """
    centre = _object_centre(poses, points)
    distance = float(np.linalg.norm(poses[:, :3, 3] - centre, axis=1).mean())
    accepted = ACCEPTED_DISTANCES[0] <= distance <= ACCEPTED_DISTANCES[1]
    if not free_axes and accepted and np.linalg.norm(centre) < MAX_OFF_CENTRE * distance:
        return np.eye(4)
    rotation = _upright(poses[:, :3, 1].mean(0)) if free_axes else np.eye(3)
    scale = MEAN_DISTANCE / distance
    similarity = np.eye(4)
    similarity[:3, :3], similarity[:3, 3] = scale * rotation, -scale * rotation @ centre
    return similarity


def _object_centre(poses: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    axes = poses[:, :3, 2]
    spread = np.linalg.svd(axes, compute_uv=False)
    if len(poses) < 2 or spread[1] < 1e-3 * spread[0]:
        raise InputError(
            f"The {len(poses)} cameras must look at the object from several sides, found one direction; check that "
            f"the poses belong to different images, or keep the world with --keep_world."
        )
    centre = common_point(torch.from_numpy(poses)).double().numpy()
    distance = np.linalg.norm(poses[:, :3, 3] - centre, axis=1)
    if not np.isfinite(centre).all() or distance.mean() < 1e-9:
        raise InputError("The cameras must be around the object, found all in one place; check the poses.")
    if points is not None:
        near = points[np.linalg.norm(points - centre, axis=1) < 0.3 * np.median(distance)]
        if len(near) >= 30:
            return np.median(near, axis=0)
    return centre


def _upright(up: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that takes ``up`` to z; the identity where ``up`` is much shorter than 1."""
    length = np.linalg.norm(up)
    if length < 0.3:  # cameras held in all ways, as around a toy that is turned over
        return np.eye(3)
    return shortest_rotation(torch.from_numpy(up / length), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)).numpy()
