from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from inerf import photometric, pyramid, se3
from inerf.image_filters import with_image_gradient
from tests.inerf import scene
from utils.camera import Intrinsics


def problem(angle: float) -> tuple:
    camera = Intrinsics.from_angle(60, 48, 0.69)
    rendering = scene.render(scene.camera(30, 20), camera)
    query = scene.render(scene.camera(30 + angle, 20), camera).colour
    level = pyramid.make_level(query, camera, torch.ones(3), (0, 0, 60, 48), 1)
    samples = photometric.sample_reference(rendering, level, 20)
    return level.query, samples, camera


@pytest.mark.parametrize("scale", [0.03, 10.0])
def test_kernel_equals_twin(scale: float) -> None:
    query, samples, camera = problem(3.0)
    motion = se3.exp(torch.tensor([0.05, -0.02, 0.1, 0.02, -0.1, 0.05], dtype=torch.float64))
    fast = photometric._sums_numba(query, samples, camera, motion, scale)[:29]
    slow = photometric.sums_torch(query, samples, camera, motion, scale)
    assert int(fast[28]) == int(slow[28]) > 1000
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4 * float(slow[:21].abs().max()))


def test_gradient_is_the_costs_derivative() -> None:
    """With the reference's image gradient set to the query's, the gradient is that of the cost by differences."""
    query, samples, camera = problem(0.0)
    x = torch.linspace(0, 1, camera.width)[None, :, None] * torch.tensor([1.0, 0.5, 0.2])
    y = torch.linspace(0, 1, camera.height)[:, None, None] * torch.tensor([0.2, 0.7, -0.4])
    query = with_image_gradient(x + y)  # linear, so that bilinear sampling is exact
    inner = (samples.points.abs().amax(-1) < 0.5).nonzero().squeeze(-1)
    colours = samples.colours[inner].clone()
    colours[:, 3:] = query[5, 5, 3:]
    samples = replace(samples, points=samples.points[inner].contiguous(), colours=colours)
    scale = 0.3
    motion = se3.exp(torch.tensor([0.01, 0.02, -0.03, 0.01, 0.02, 0.03], dtype=torch.float64))
    found = photometric.normal_equations(query, samples, camera, motion, scale).gradient
    for axis in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[axis] = 1e-5
        ahead = photometric.sums_torch(query, samples, camera, se3.exp(step) @ motion, scale)[27]
        behind = photometric.sums_torch(query, samples, camera, se3.exp(-step) @ motion, scale)[27]
        expected = float(ahead - behind) / 2e-5 * 0.5 * scale**2
        assert float(found[axis]) == pytest.approx(expected, rel=2e-3, abs=1e-2)


def test_nearest_surface_wins_and_background_stays_zero() -> None:
    depth = torch.zeros(9, 9)
    depth[4, 4], depth[4, 5] = 2.0, 1.0
    spread = photometric.spread_depth(depth, (depth > 0).float(), 2)
    assert spread[4, 3] == 1.0 and spread[4, 2] == 2.0 and spread[4, 1] == 0.0 and spread[0, 0] == 0.0
