"""Templates find the object before any background."""

from __future__ import annotations

import math

import pytest
import torch

from retrieval.templates import Templates
from tests.inerf import scene
from utils.camera import pose_errors

AZIMUTHS = range(0, 360, 15)
CPU = torch.device("cpu")


@pytest.mark.parametrize("shift", [(0, 0), (40, -25)])
def test_object_is_found_in_noise_wherever_it_stands(shift: tuple[int, int]) -> None:
    poses = torch.stack([scene.camera(azimuth, 20) for azimuth in AZIMUTHS])
    templates = Templates.build(poses, scene.CAMERA, scene.render, CPU)
    truth = scene.camera(95, 24)
    shown = scene.render(truth, scene.CAMERA)
    alpha = shown.opacity[..., None].roll(shift, (1, 0))
    noise = torch.rand(shown.colour.shape, generator=torch.Generator().manual_seed(0))
    noise = noise[::8, ::8].repeat_interleave(8, 0).repeat_interleave(8, 1)
    photo = shown.colour.roll(shift, (1, 0)) * alpha + noise * (1 - alpha)
    found = templates.retrieve(photo, 3)
    assert found.shape == (3, 4, 4)
    assert math.degrees(pose_errors(found[0], truth)[0]) < 10
    seen = scene.render(found[0], scene.CAMERA).opacity > 0.5
    solid = alpha[..., 0] > 0.5
    assert float((seen & solid).sum() / (seen | solid).sum()) > 0.8


def test_poses_that_show_nothing_are_no_templates() -> None:
    away = scene.camera(20, 10).clone()
    away[:3, 2] *= -1
    away[:3, 0] *= -1
    templates = Templates.build(away[None], scene.CAMERA, scene.render, CPU)
    assert len(templates.all) == 0 and templates.retrieve(torch.rand(200, 200, 3), 4).shape == (0, 4, 4)
