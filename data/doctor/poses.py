"""Matrices that may not be poses: how far they are from rigid, and the poses nearest to them."""

from __future__ import annotations

import numpy as np


def rigid_errors(matrices: np.ndarray) -> np.ndarray:
    """Measure how far each matrix (frames, 4, 4) is from a rotation and a translation: (frames,), 0 for a pose."""
    rotation = matrices[:, :3, :3]
    error = np.abs(rotation.transpose(0, 2, 1) @ rotation - np.eye(3)).max(axis=(1, 2))
    last_row = np.abs(matrices[:, 3] - [0.0, 0.0, 0.0, 1.0]).max(axis=1)
    return np.where(mirrors(matrices), np.maximum(error, 1.0), np.maximum(error, last_row))


def mirrors(matrices: np.ndarray) -> np.ndarray:
    """Return which matrices (frames, 4, 4) mirror: (frames,) bool."""
    return np.linalg.det(matrices[:, :3, :3]) < 0


def are_transposed(matrices: np.ndarray) -> bool:
    """Return whether the translations are in the last rows, and (0, 0, 0, 1) in the last columns."""
    column = np.abs(matrices[:, :, 3] - [0.0, 0.0, 0.0, 1.0]).max()
    return bool(column < 1e-6 and np.abs(matrices[:, 3, :3]).max() > 1e-6)


def pose_scales(matrices: np.ndarray) -> np.ndarray:
    """Return the factor by which each upper left block scales: (frames,); NaN where it is no scaled rotation."""
    scale = np.cbrt(np.abs(np.linalg.det(matrices[:, :3, :3])))
    safe = np.where(scale > 0, scale, 1.0)
    rotation = matrices[:, :3, :3] / safe[:, None, None]
    error = np.abs(rotation.transpose(0, 2, 1) @ rotation - np.eye(3)).max(axis=(1, 2))
    return np.where((error < 1e-2) & (scale > 0), scale, np.nan)


def nearest_poses(matrices: np.ndarray) -> np.ndarray:
    """Return the pose nearest to each matrix (frames, 4, 4): its rotation by the polar decomposition.

    A matrix that mirrors keeps its determinant of -1, so that the images can show what it means.
    """
    left, _, right = np.linalg.svd(matrices[:, :3, :3])
    poses = matrices.copy()
    poses[:, :3, :3] = left @ right
    poses[:, 3] = [0.0, 0.0, 0.0, 1.0]
    return poses


def inverse_poses(poses: np.ndarray) -> np.ndarray:
    """Return the inverses of poses (frames, 4, 4)."""
    transposed = poses[:, :3, :3].transpose(0, 2, 1)
    inverses = poses.copy()
    inverses[:, :3, :3] = transposed
    inverses[:, :3, 3] = -(transposed @ poses[:, :3, 3:])[:, :, 0]
    return inverses
