"""The compositing law against a walk along each ray, its gradient and its extremes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nerf.compositing import accumulate_along_rays, compositing_weights, over_background, transmittance


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_weights(optical_depth: list[float], min_transmittance: float) -> list[float]:
    """Return the weights of one ray's samples, sample by sample."""
    light, weights = 1.0, []
    for depth in optical_depth:
        left = light * math.exp(-depth)
        if left < min_transmittance:
            left = 0.0
        weights.append(light - left)
        light = left
    return weights


@pytest.mark.parametrize("min_transmittance", [0.0, 0.005, 0.3])
def test_weights_equal_a_walk(min_transmittance: float) -> None:
    optical_depth = random(7, 15) * random(7, 1, seed=1) * 3
    weights = compositing_weights(optical_depth, min_transmittance)
    for ray in range(7):
        expected = slow_weights(optical_depth[ray].tolist(), min_transmittance)
        assert weights[ray].tolist() == pytest.approx(expected, abs=1e-12)


def test_a_ray_ends_at_the_sample_that_takes_the_rest() -> None:
    weights = compositing_weights(torch.tensor([[0.0, 1.0, 9.0, 1.0, 1e30], [0.0, 1.0, 1.0, 0.0, 0.0]]), 0.005)
    assert float(weights[0].sum()) == 1.0 and weights[0, 3:].tolist() == [0.0, 0.0]
    assert float(weights[1].sum()) == pytest.approx(1 - math.exp(-2), abs=1e-6)


def test_weights_and_their_gradients_survive_extremes() -> None:
    optical_depth = torch.tensor([[0.0, 1e30, 1.0, 0.0], [1e-30, 0.0, 1e-3, 1e13]], requires_grad=True)
    weights = compositing_weights(optical_depth)
    (weights * torch.arange(4)).sum().backward()
    assert optical_depth.grad is not None and bool(optical_depth.grad.isfinite().all())
    assert float(weights.detach().sum(-1).max()) <= 1
    assert transmittance(optical_depth.detach())[0].tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("min_transmittance", [0.0, 0.2])
def test_weights_have_the_right_gradient(min_transmittance: float) -> None:
    optical_depth = (2 * random(3, 6)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda depth: compositing_weights(depth, min_transmittance), (optical_depth,))


def test_rays_of_any_number_of_samples_are_summed_before_the_background() -> None:
    ray, weights, colours = torch.tensor([0, 0, 2]), torch.tensor([0.5, 0.25, 1.0]), torch.eye(3)
    colour = accumulate_along_rays(weights[:, None] * colours, ray, 3)
    opacity = accumulate_along_rays(weights, ray, 3)
    seen = over_background(colour, opacity, torch.tensor([1.0, 1.0, 0.0]))
    assert seen.tolist() == [[0.75, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
