from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inerf import photometric, pyramid, se3
from inerf.image_filters import binomial_blur, smooth_channels, with_image_gradient
from tests.inerf import scene
from utils.camera import Intrinsics
from utils.rendering import Rendering


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
    motion = se3.exp_numpy(np.array([0.05, -0.02, 0.1, 0.02, -0.1, 0.05]))
    fast = photometric.sums_numba(query, samples, camera, motion, scale)
    slow = photometric.sums_torch(query, samples, camera, motion, scale)
    assert int(fast[28]) == int(slow[28]) > 1000
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4 * np.abs(slow[:21]).max())


def test_samples_equal_torch_s() -> None:
    camera = Intrinsics.from_angle(61, 47, 0.69)
    rendering = scene.render(scene.camera(30, 20), camera)
    query = scene.render(scene.camera(34, 20), camera, missing=(2,)).colour
    for window in ((0, 0, 61, 47), (8, 4, 40, 36)):
        level = pyramid.make_level(query, camera, torch.ones(3), window, 1)
        x, y, width, height = window
        at = (slice(y, y + height), slice(x, x + width))
        part = Rendering(rendering.colour[at], rendering.opacity[at], rendering.depth[at])
        fast, slow = photometric.sample_reference(part, level), photometric.sample_torch(part, level, photometric.REACH)
        assert (fast.pixels, fast.silhouette_iou) == (slow.pixels, slow.silhouette_iou)
        assert fast.radius == pytest.approx(slow.radius, rel=1e-5)
        torch.testing.assert_close(fast.points, slow.points, atol=2e-5, rtol=0)
        torch.testing.assert_close(fast.colours, slow.colours, atol=1e-6, rtol=0)


def test_channels_equal_torch_s() -> None:
    image = torch.rand(19, 23, 3, generator=torch.Generator().manual_seed(0))
    slow = with_image_gradient(binomial_blur(image))
    torch.testing.assert_close(smooth_channels(image), slow, atol=1e-6, rtol=0)


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
    motion = se3.exp_numpy(np.array([0.01, 0.02, -0.03, 0.01, 0.02, 0.03]))
    found = photometric.normal_equations(query, samples, camera, motion, scale).gradient
    for axis in range(6):
        step = np.zeros(6)
        step[axis] = 1e-5
        ahead = photometric.sums_torch(query, samples, camera, se3.exp_numpy(step) @ motion, scale)[27]
        behind = photometric.sums_torch(query, samples, camera, se3.exp_numpy(-step) @ motion, scale)[27]
        expected = float(ahead - behind) / 2e-5 * 0.5 * scale**2
        assert float(found[axis]) == pytest.approx(expected, rel=2e-3, abs=1e-2)


def test_nearest_surface_wins_and_background_stays_zero() -> None:
    depth = torch.zeros(9, 9)
    depth[4, 4], depth[4, 5] = 2.0, 1.0
    spread = photometric.spread_depth(depth, (depth > 0).float(), 2)
    assert spread[4, 3] == 1.0 and spread[4, 2] == 2.0 and spread[4, 1] == 0.0 and spread[0, 0] == 0.0
