"""Rendering of rays through NeRF's networks, shared by training, images and pose refinement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from nerf.compositing import accumulate_along_rays, compositing_weights, over_background, transmittance
from nerf.mlp.network import MlpNetwork, NerfNetworks
from nerf.mlp.sampling import AxisRays, importance_depths, intervals, stratified_depths

POINTS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 20}  # points in one pass through a network without gradients
VISIBLE_TRANSMITTANCE = 1e-7  # below it a sample cannot be seen: less than the rounding of a colour


@dataclass(frozen=True)
class RenderedRays:
    """Composited rays."""

    colour: Tensor  # (rays, 3) without the background
    opacity: Tensor  # (rays,) in [0, 1]
    depth: Tensor  # (rays,) weighted sum of depths along the viewing axis
    weights: Tensor  # (rays, samples) compositing weights, without gradient

    def over(self, background: Tensor) -> Tensor:
        """Return RGB (rays, 3) before ``background`` (3,)."""
        return over_background(self.colour, self.opacity, background)


def render_rays(networks: NerfNetworks, rays: AxisRays, generator: torch.Generator | None = None) -> list[RenderedRays]:
    """Render rays with the coarse network, then with the fine one, if there is one.

    Args:
        generator: for training: samples are jittered and densities get noise, as configured. Without it (images),
            samples are evenly spaced, and the coarse network only places the fine one's samples.
    """
    config, like = networks.config, rays.origins
    assert config.near is not None and config.far is not None

    def uniform(samples: int) -> Tensor:
        return torch.rand(len(like), samples, generator=generator, device=like.device, dtype=like.dtype)

    def noise(depths: Tensor) -> Tensor | None:
        if generator is None or config.raw_noise_std == 0:
            return None
        normal = torch.randn(depths.shape, generator=generator, device=like.device, dtype=like.dtype)
        return config.raw_noise_std * normal

    jittered = generator is not None and config.perturb > 0
    jitter = uniform(config.N_samples) if jittered else like[:, :0]
    depths = stratified_depths(config.near, config.far, config.N_samples, jitter.detach())
    with torch.set_grad_enabled(torch.is_grad_enabled() and (generator is not None or networks.fine is None)):
        coarse = render_samples(networks.coarse, rays, depths, networks.opaque_end, noise(depths))
    if networks.fine is None:
        return [coarse]
    even = torch.linspace(0, 1, config.N_importance, device=like.device, dtype=like.dtype).expand(len(like), -1)
    drawn = importance_depths(depths, coarse.weights, uniform(config.N_importance) if jittered else even)
    both = torch.cat([depths, drawn], -1).sort(-1).values  # (rays, N_samples + N_importance)
    return [coarse, render_samples(networks.fine, rays, both, networks.opaque_end, noise(both))]


def render_samples(
    network: MlpNetwork, rays: AxisRays, depths: Tensor, opaque_end: bool, noise: Tensor | None
) -> RenderedRays:
    """Composite the samples of rays, differentiable in the network's parameters and in the rays.

    Samples with no density, or which no light reaches, contribute nothing to colours or gradients. A first pass
    without gradients finds the others, often a small part; only these get a colour and, where gradients are wanted, a
    second pass that records them. That changes no result.

    Args:
        depths: (rays, samples), ascending; no gradient flows to them.
        opaque_end: see ``sampling.intervals``.
        noise: (rays, samples) added to raw densities, or None.
    """
    points = rays.points(depths).flatten(0, 1)  # (rays * samples, 3)
    lengths = (intervals(depths, opaque_end) * rays.lengths()).flatten()  # (rays * samples,)
    with torch.no_grad():
        hidden = network.hidden(points)
        density = rectified_density(network, hidden, noise)
        light = transmittance((density * lengths).view_as(depths)).flatten()
        seen = ((density > 0) & (light > VISIBLE_TRANSMITTANCE)).nonzero()[:, 0]  # (seen,)
    hidden = network.hidden(points[seen]) if torch.is_grad_enabled() else hidden[seen]
    ray = seen // depths.shape[1]
    density = rectified_density(network, hidden, None if noise is None else noise.flatten()[seen])
    optical_depth = torch.zeros_like(lengths).index_put((seen,), density * lengths[seen]).view_as(depths)
    weights = compositing_weights(optical_depth)
    directions = torch.nn.functional.normalize(rays.directions, dim=-1)
    colours = network.colours(hidden, directions, ray) * weights.flatten()[seen, None]
    colour = accumulate_along_rays(colours, ray, len(depths))
    return RenderedRays(colour, weights.sum(-1), (weights * depths).sum(-1), weights.detach())


def rectified_density(network: MlpNetwork, hidden: Tensor, noise: Tensor | None) -> Tensor:
    """Return the density (points,), at least 0, per unit of length."""
    raw = network.raw_density(hidden)
    return torch.relu(raw if noise is None else raw + noise.flatten())


@contextmanager
def matmul_precision(name: str, device: torch.device) -> Iterator[None]:
    """Compute matrix products in ``float32``, ``tf32`` (CUDA) or ``bfloat16``; all else stays as it is."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
