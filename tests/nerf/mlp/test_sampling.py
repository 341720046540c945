"""Rays and the depths of their samples against slow twins and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nerf.compositing import compositing_weights
from nerf.mlp.sampling import MIN_WEIGHT, axis_rays, importance_depths, intervals, stratified_depths
from tests.inerf.scene import camera
from utils.camera import Intrinsics, project_points, world_rays

CAMERA = Intrinsics(20, 16, 25.0, 22.0, 9.0, 8.5)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_importance(depths: np.ndarray, weights: np.ndarray, uniform: np.ndarray) -> list[float]:
    """Draw one depth at a time, walking along the running sum of one ray."""
    edges = (depths[1:] + depths[:-1]) / 2
    mass = weights[1:-1] + MIN_WEIGHT
    mass = mass / mass.sum()
    drawn = []
    for draw in uniform:
        before, interval = 0.0, 0
        while interval < len(mass) - 1 and before + mass[interval] <= draw:
            before += mass[interval]
            interval += 1
        share = (draw - before) / mass[interval]
        drawn.append(edges[interval] + share * (edges[interval + 1] - edges[interval]))
    return drawn


def test_importance_samples_equal_a_walk_along_the_sum() -> None:
    depths = stratified_depths(2.0, 6.0, 12, random(9, 12))
    weights, uniform = random(9, 12, seed=1) ** 4, random(9, 30, seed=2)
    drawn = importance_depths(depths, weights, uniform)
    for ray in range(9):
        expected = slow_importance(depths[ray].numpy(), weights[ray].numpy(), uniform[ray].numpy())
        np.testing.assert_allclose(drawn[ray].numpy(), expected, atol=1e-9)


def test_importance_samples_are_as_frequent_as_weights() -> None:
    depths = torch.linspace(0, 10, 11, dtype=torch.float64)[None]
    weights = torch.zeros(1, 11, dtype=torch.float64)
    weights[0, 3], weights[0, 7] = 0.2, 0.6
    drawn = importance_depths(depths, weights, torch.linspace(0, 1, 4001, dtype=torch.float64)[None])
    for middle, share in ((3, 0.25), (7, 0.75)):
        near = (drawn - middle).abs() <= 0.5
        assert float(near.double().mean()) == pytest.approx(share, abs=2e-3)
    assert float(drawn.min()) >= 0.5 and float(drawn.max()) <= 9.5


def test_importance_samples_rise_and_stay_inside_at_extremes() -> None:
    even = torch.linspace(0, 1, 64).expand(3, -1)
    depths = stratified_depths(2.0, 6.0, 64, torch.rand(3, 64, generator=torch.Generator().manual_seed(1)))
    peak = torch.zeros(64)
    peak[20] = 1.0
    drawn = importance_depths(depths, torch.stack([torch.zeros(64), torch.ones(64) / 64, peak]), even)
    assert bool(drawn.isfinite().all()) and bool((drawn.diff() >= -1e-6).all())
    assert float(drawn.min()) >= 2 and float(drawn.max()) <= 6


@pytest.mark.parametrize("density", [0.0, 1e-6, 0.3, 5.0, 1e6, 1e30])
def test_slab_of_constant_density(density: float) -> None:
    depths = stratified_depths(2.0, 5.0, 40, random(3, 40).float())
    optical_depth = density * intervals(depths, opaque_end=False)
    weights = compositing_weights(optical_depth)
    length = (depths[:, -1] - depths[:, 0]).double()
    torch.testing.assert_close(weights.sum(-1).double(), 1 - torch.exp(-density * length), atol=1e-6, rtol=0)
    assert bool((weights >= 0).all()) and float(weights.sum(-1).max()) <= 1 + 1e-6


def test_an_opaque_end_is_a_named_choice() -> None:
    """A density of a millionth shows nothing, unless the end is said to be opaque."""
    depths = stratified_depths(2.0, 5.0, 8, torch.zeros(1, 0))
    plain, opaque = (compositing_weights(1e-6 * intervals(depths, flag)).sum() for flag in (False, True))
    assert float(plain) < 1e-5 and float(opaque) == 1.0


def test_stratified_depths_are_one_in_each_interval() -> None:
    even = stratified_depths(2.0, 6.0, 9, torch.zeros(1, 0))
    torch.testing.assert_close(even, torch.linspace(2, 6, 9)[None])
    middles = (even[0, 1:] + even[0, :-1]) / 2
    jittered = stratified_depths(2.0, 6.0, 9, torch.rand(50, 9, generator=torch.Generator().manual_seed(0)))
    assert bool((jittered[:, 1:] >= middles).all()) and bool((jittered[:, :-1] <= middles).all())
    assert float(jittered.min()) >= 2 and float(jittered.max()) <= 6


def test_axis_rays_pass_their_pixels_at_their_depth() -> None:
    pose, pixels = camera(70, 20), random(30, 2) * 16
    rays = axis_rays(pixels, CAMERA, pose)
    depths = 1 + 3 * random(30, 4, seed=1)
    points = rays.points(depths)
    where, depth = project_points(points, CAMERA, pose)
    torch.testing.assert_close(depth, depths)
    torch.testing.assert_close(where, pixels[:, None].expand(30, 4, 2))
    origins, directions = world_rays(pixels, CAMERA, pose)
    torch.testing.assert_close(rays.directions / rays.lengths(), directions)
    torch.testing.assert_close(rays.origins, origins)


def test_axis_rays_of_many_cameras() -> None:
    poses, pixels = torch.stack([camera(azimuth, 10) for azimuth in (0, 50, 200)]), random(3, 2) * 16
    together = axis_rays(pixels, CAMERA, poses)
    for number in range(3):
        alone = axis_rays(pixels[number : number + 1], CAMERA, poses[number])
        torch.testing.assert_close(together.origins[number : number + 1], alone.origins)
        torch.testing.assert_close(together.directions[number : number + 1], alone.directions)
