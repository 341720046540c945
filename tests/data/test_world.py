from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data.world import (
    MEAN_DISTANCE,
    _upright,
    apply_similarity,
    centring_similarity,
    pose_from_opencv,
    rigid_pose,
    rotation_of_quaternion,
)
from tests.data.sources import FLIP, ring
from utils.errors import InputError


def turned(seed: int = 0) -> np.ndarray:
    similarity = np.eye(4)
    similarity[:3, :3] = 0.37 * Rotation.random(random_state=seed).as_matrix()
    similarity[:3, 3] = [5.0, -3.0, 8.0]
    return similarity


def test_any_world_is_brought_to_the_same_place() -> None:
    poses = ring(9)
    other = apply_similarity(turned(), poses)
    found = apply_similarity(centring_similarity(other, free_axes=True), other)
    centres = found[:, :3, 3]
    assert np.linalg.norm(centres, axis=1) == pytest.approx(MEAN_DISTANCE)
    assert np.allclose(centres.mean(0)[:2], 0, atol=0.05)
    assert found[:, :3, 1].mean(0) @ [0, 0, 1] > 0.8
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1)
    before = np.linalg.norm(poses[:, None, :3, 3] - poses[:, :3, 3], axis=-1)
    assert np.allclose(distances, before * MEAN_DISTANCE / 4.0, atol=1e-6)


def test_a_world_that_fits_is_left_alone() -> None:
    assert np.array_equal(centring_similarity(ring(radius=3.0)), np.eye(4))
    assert not np.array_equal(centring_similarity(ring(radius=9.0)), np.eye(4))
    assert not np.array_equal(centring_similarity(ring(radius=3.0, centre=(1.0, 0.0, 0.0))), np.eye(4))


def test_sparse_points_say_where_the_object_is() -> None:
    points = np.random.default_rng(0).normal([0.4, 0.0, 0.0], 0.1, (200, 3))
    clutter = np.random.default_rng(1).normal(0, 20.0, (200, 3))
    similarity = centring_similarity(ring(radius=8.0), np.concatenate([points, clutter]))
    assert np.allclose(similarity[:3, :3] @ [0.4, 0, 0] + similarity[:3, 3], 0, atol=0.02)


def test_moving_keeps_poses_rigid_and_what_they_see() -> None:
    poses = ring()
    found = apply_similarity(turned(), poses)
    assert np.allclose(found[:, :3, :3].transpose(0, 2, 1) @ found[:, :3, :3], np.eye(3))
    point = np.array([0.2, -0.1, 0.3, 1.0])
    before, after = np.linalg.inv(poses) @ point, np.linalg.inv(found) @ (turned() @ point)
    assert np.allclose(after[:, :3], 0.37 * before[:, :3])


def test_cameras_side_by_side_are_no_ring() -> None:
    poses = np.stack([np.eye(4)] * 5)
    poses[:, 0, 3] = range(5)
    with pytest.raises(InputError, match=r"several sides"):
        centring_similarity(poses)


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.3, -0.5, -0.8)])
def test_up_becomes_z(up: tuple) -> None:
    rotation = _upright(np.array(up, dtype=float))
    assert np.allclose(rotation @ up / np.linalg.norm(up), [0, 0, 1], atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_opencv_axes() -> None:
    pose = pose_from_opencv(np.eye(4))  # at the origin, looking along +z, y down
    assert np.allclose(pose[:3, 2], [0, 0, -1]) and np.allclose(pose[:3, 1], [0, -1, 0])
    assert np.allclose(pose_from_opencv(np.linalg.inv(ring()[2] @ FLIP)), ring()[2])


def test_quaternions_are_those_of_scipy() -> None:
    for rotation in Rotation.random(20, random_state=0):
        x, y, z, w = rotation.as_quat()
        assert np.allclose(rotation_of_quaternion([3 * w, 3 * x, 3 * y, 3 * z], "it"), rotation.as_matrix())


def test_a_uniform_scale_is_taken_out_and_other_things_are_errors() -> None:
    pose = ring()[1]
    scaled = pose.copy()
    scaled[:3, :3] *= 2.5
    assert np.allclose(rigid_pose(scaled, "it"), pose)
    assert np.allclose(rigid_pose(pose[:3].tolist(), "it"), pose)
    mirrored, sheared, transposed = pose.copy(), pose.copy(), pose.T
    mirrored[:3, 0] *= -1
    sheared[:3, 0] *= 1.1
    for wrong in (mirrored, sheared, transposed, pose * np.nan, pose[:2], "x", [[1]], None):
        with pytest.raises(InputError, match=r"pose of it"):
            rigid_pose(wrong, "it")
