from __future__ import annotations

import math

import torch

from retrieval import viewpoints
from tests.inerf import scene


def test_lattice_is_even() -> None:
    points = viewpoints.fibonacci_sphere(400)
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(400))
    cosine = points @ points.T
    cosine.fill_diagonal_(-1)
    spacing = cosine.max(1).values.acos()
    assert math.degrees(spacing.min()) > 5.0 and math.degrees(spacing.max()) < 12.0


def test_virtual_cameras_keep_distance_and_look_at_the_same_place() -> None:
    poses = torch.stack(
        [scene.camera(azimuth, elevation) for azimuth in range(0, 360, 40) for elevation in (10, 50)]
    ).float()
    virtual = viewpoints.virtual_poses(poses, torch.zeros(3), 200)
    torch.testing.assert_close(virtual[:, :3, 3].norm(dim=-1), torch.full((len(virtual),), 3.0))
    torch.testing.assert_close(virtual[:, :3, 3], 3.0 * virtual[:, :3, 2], atol=1e-4, rtol=0)
    lowest = torch.rad2deg((virtual[:, 2, 3] / 3.0).asin()).min()
    assert 60 < len(virtual) < 200 and lowest > -40  # none far below the views


def test_upright_views_need_few_rolls() -> None:
    poses = torch.stack([scene.camera(azimuth, 30) for azimuth in range(0, 360, 20)]).float()
    assert len(viewpoints.candidate_rolls(poses, torch.zeros(3))) <= 5
    assert len(viewpoints.candidate_rolls(poses[:1], torch.zeros(3))) == 3
