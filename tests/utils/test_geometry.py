from __future__ import annotations

import torch
from torch.nn import functional

from utils.camera import look_at
from utils.geometry import WEAK_PRIOR, best_similarity, common_point, farthest_points, shortest_rotation

UP = torch.tensor([0.0, 0.0, 1.0])


def test_common_point_is_where_the_axes_meet() -> None:
    target = torch.tensor([0.3, -0.7, 1.1])
    eyes = torch.tensor([[3.0, 0, 0], [0, 4.0, 1], [-2.0, -2, 5]])
    poses = torch.stack([look_at(eye, target, UP) for eye in eyes])
    torch.testing.assert_close(common_point(poses), target, atol=1e-5, rtol=0)
    torch.testing.assert_close(common_point(poses, WEAK_PRIOR), target, atol=2e-2, rtol=0)


def test_one_camera_looks_near_the_origin() -> None:
    pose = look_at(torch.tensor([1.0, 2.0, 2.0]), torch.zeros(3), UP)
    assert common_point(pose[None], WEAK_PRIOR).norm() < 1e-3


def test_shortest_rotation() -> None:
    source = functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    target = torch.cat([source.roll(1, 0)[:18], source[18:19], -source[19:]])
    rotation = shortest_rotation(source, target)
    torch.testing.assert_close((rotation @ source[..., None])[..., 0], target, atol=1e-5, rtol=0)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    cosine = ((rotation.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1)
    torch.testing.assert_close(cosine, (source * target).sum(-1), atol=1e-5, rtol=0)


def test_each_next_point_is_the_farthest_from_those_before() -> None:
    points = torch.rand(30, 3, generator=torch.Generator().manual_seed(0))
    rows = list(farthest_points(lambda row: (points - points[row]).norm(dim=1), first=4))
    assert rows[0] == 4 and sorted(rows) == list(range(30))
    for count in range(1, 30):
        gaps = torch.cdist(points, points[rows[:count]]).amin(1)
        assert gaps[rows[count]] == gaps.max()


def test_best_similarity_is_found_and_errors_average_out() -> None:
    generator = torch.Generator().manual_seed(0)
    eyes = 3 * functional.normalize(torch.randn(40, 3, generator=generator), dim=-1)
    poses = torch.stack([look_at(eye, torch.zeros(3), UP) for eye in eyes]).double()
    turn = look_at(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3), UP)[:3, :3].double()
    moved = poses.clone()
    moved[:, :3, :3] = turn @ poses[:, :3, :3]
    moved[:, :3, 3] = 1.2 * poses[:, :3, 3] @ turn.T + torch.tensor([0.1, 0.2, 0.3])
    for noise in (0.0, 0.01):
        moved[:, :3, 3] += noise * torch.randn(40, 3, generator=generator)
        scale, rotation, shift = best_similarity(poses, moved)
        assert abs(scale - 1.2) < 1e-6 + noise
        torch.testing.assert_close(rotation, turn, atol=1e-5 + noise, rtol=0)
        torch.testing.assert_close(shift, torch.tensor([0.1, 0.2, 0.3]).double(), atol=1e-5 + noise, rtol=0)
