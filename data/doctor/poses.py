"""Matrices that may or may not be poses: how far they are from rigid, and the poses nearest to them."""

from __future__ import annotations

import numpy as np


def rigid_errors(matrices: np.ndarray) -> np.ndarray:
    """How far each matrix (frames, 4, 4) is from a rotation and a translation: (frames,), 0 for a pose."""
    rotation = matrices[:, :3, :3]
    error = np.abs(rotation.transpose(0, 2, 1) @ rotation - np.eye(3)).max(axis=(1, 2))
    last_row = np.abs(matrices[:, 3] - [0.0, 0.0, 0.0, 1.0]).max(axis=1)
    return np.where(mirrors(matrices), np.maximum(error, 1.0), np.maximum(error, last_row))


def mirrors(matrices: np.ndarray) -> np.ndarray:
    """Which matrices turn right hands into left ones: (frames,) bool."""
    return np.linalg.det(matrices[:, :3, :3]) < 0


def transposed(matrices: np.ndarray) -> bool:
    """Whether the translations stand in the last rows, and (0, 0, 0, 1) in the last columns."""
    column = np.abs(matrices[:, :, 3] - [0.0, 0.0, 0.0, 1.0]).max()
    return bool(column < 1e-6 and np.abs(matrices[:, 3, :3]).max() > 1e-6)


def pose_scales(matrices: np.ndarray) -> np.ndarray:
    """The factor by which each upper left block scales: (frames,); NaN where it does more than turn and scale."""
    scale = np.cbrt(np.abs(np.linalg.det(matrices[:, :3, :3])))
    safe = np.where(scale > 0, scale, 1.0)
    turn = matrices[:, :3, :3] / safe[:, None, None]
    error = np.abs(turn.transpose(0, 2, 1) @ turn - np.eye(3)).max(axis=(1, 2))
    return np.where((error < 1e-2) & (scale > 0), scale, np.nan)


def camera_poses(matrices: np.ndarray) -> np.ndarray:
    """The pose nearest to each matrix (frames, 4, 4): rotation by the polar decomposition, last row as it must be.

    A matrix that mirrors keeps its mirroring (determinant -1), so that the pictures tell what it means.
    """
    left, _, right = np.linalg.svd(matrices[:, :3, :3])
    poses = matrices.copy()
    poses[:, :3, :3] = left @ right
    poses[:, 3] = [0.0, 0.0, 0.0, 1.0]
    return poses


def inverses(poses: np.ndarray) -> np.ndarray:
    """The inverses of poses (frames, 4, 4)."""
    turned = poses[:, :3, :3].transpose(0, 2, 1)
    found = poses.copy()
    found[:, :3, :3] = turned
    found[:, :3, 3] = -(turned @ poses[:, :3, 3:])[:, :, 0]
    return found
