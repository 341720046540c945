"""Laws and closed forms of the camera."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from utils.camera import Intrinsics, camera_directions, look_at, pixel_centres, pose_errors, project_points, world_rays

CAMERA = Intrinsics(64, 48, 70.0, 75.0, 30.0, 25.5)
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def pose_at(*eye: float) -> Tensor:
    return look_at(torch.tensor(eye, dtype=torch.float64), torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64), UP)


def turned(pose: Tensor, angle: float, axis: tuple[float, float, float]) -> Tensor:
    """``pose`` turned about its own ``axis``."""
    x, y, z = torch.nn.functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0).tolist()
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    result = pose.clone()
    result[:3, :3] = pose[:3, :3] @ torch.matrix_exp(angle * skew)
    return result


@pytest.mark.parametrize("eye", [(3.0, 0.0, 0.5), (-1.0, 2.0, -2.0), (0.0, 0.5, 4.0)])
def test_projection_undoes_rays(eye: tuple[float, float, float]) -> None:
    pose, pixels = pose_at(*eye), pixel_centres(CAMERA).double()
    origins, directions = world_rays(pixels, CAMERA, pose)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(48, 64, dtype=torch.float64))
    distance = 0.5 + 3 * torch.rand(48, 64, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    again, depth = project_points(origins + distance * directions, CAMERA, pose)
    torch.testing.assert_close(again, pixels)
    assert bool((depth > 0).all()) and bool((depth <= distance[..., 0] + 1e-9).all())
    _, behind = project_points(origins - directions, CAMERA, pose)
    assert bool((behind < 0).all())


def test_axes_of_image_and_camera() -> None:
    centre = torch.tensor([CAMERA.centre_x, CAMERA.centre_y])
    ahead, right, down = camera_directions(centre + torch.tensor([[0.0, 0], [70, 0], [0, 75]]), CAMERA)
    torch.testing.assert_close(ahead, torch.tensor([0.0, 0.0, -1.0]))
    torch.testing.assert_close(right, torch.tensor([1.0, 0.0, -1.0]) / math.sqrt(2))
    torch.testing.assert_close(down, torch.tensor([0.0, -1.0, -1.0]) / math.sqrt(2))


def test_pixel_centres_are_at_halves() -> None:
    centres = pixel_centres(CAMERA)
    assert centres.shape == (48, 64, 2) and centres.dtype == torch.float32
    assert centres[0, 0].tolist() == [0.5, 0.5] and centres[47, 10].tolist() == [10.5, 47.5]


def test_field_of_view_spans_the_image() -> None:
    camera = Intrinsics.from_angle(80, 60, 0.7)
    left, right = camera_directions(torch.tensor([[0.0, 30.0], [80.0, 30.0]]), camera)
    assert math.acos(float(left @ right)) == pytest.approx(0.7, abs=1e-5)
    assert camera.focal_x == camera.focal_y and (camera.centre_x, camera.centre_y) == (40, 30)


def test_resized_camera_sees_the_same() -> None:
    small = CAMERA.resized(32, 12)
    pixels = torch.tensor([[3.0, 7.0], [50.0, 40.0]])
    scaled = pixels * torch.tensor([0.5, 0.25])
    torch.testing.assert_close(camera_directions(scaled, small), camera_directions(pixels, CAMERA))
    assert (small.width, small.height) == (32, 12)


@pytest.mark.parametrize("eye", [(3.0, 0.0, 0.5), (0.1, -0.2, 5.0), (0.1, -0.2, -5.0), (0.1, 4.0, 0.3)])
def test_look_at_looks_there_upright(eye: tuple[float, float, float]) -> None:
    """Also straight up and down, where ``up`` says nothing."""
    pose = pose_at(*eye)
    rotation = pose[:3, :3]
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(3, dtype=torch.float64))
    assert float(torch.linalg.det(rotation)) == pytest.approx(1)
    assert pose[:3, 3].tolist() == list(eye) and pose[3].tolist() == [0, 0, 0, 1]
    target = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    (x, y), depth = project_points(target, CAMERA, pose)
    assert (float(x), float(y)) == (pytest.approx(30.0), pytest.approx(25.5)) and float(depth) > 0
    if eye[0] != 0.1 or eye[1] == 4.0:
        above, _ = project_points(target + 0.1 * UP, CAMERA, pose)
        assert float(above[0]) == pytest.approx(30.0) and float(above[1]) < 25.5


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 1.0, 3.0, math.pi])
def test_pose_errors_are_angle_and_distance(angle: float) -> None:
    pose = pose_at(3, 1, 2)
    other = turned(pose, angle, (1, -2, 0.5))
    other[:3, 3] += torch.tensor([0.3, 0.0, -0.4], dtype=torch.float64)
    for one, two in ((pose, other), (other, pose)):
        found, distance = pose_errors(one, two)
        assert found == pytest.approx(angle, rel=1e-5, abs=1e-12) and distance == pytest.approx(0.5)


def test_pose_errors_do_not_depend_on_the_world() -> None:
    world = turned(pose_at(1, 2, 3), 0.7, (0, 1, 1))
    one, two = pose_at(3, 0, 1), turned(pose_at(3.2, 0.5, 1), 0.2, (1, 0, 0))
    assert pose_errors(world @ one, world @ two) == pytest.approx(pose_errors(one, two))
    assert pose_errors(one, one) == (0.0, 0.0)
