"""From rays to colours through NeRF's networks: what training, pictures and pose refinement share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from nerf.mlp.network import MlpNetwork
from nerf.mlp.volume import Rays, compositing_weights, importance_depths, intervals, stratified_depths, transmittance
from nerf.settings import NerfConfig

POINTS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 20}  # points in one pass through a network without gradients
UNSEEN = 1e-7  # share of light below which a sample cannot be seen: less than the rounding of a colour


@dataclass(frozen=True)
class Networks:
    """NeRF's two networks, and how they are asked."""

    coarse: MlpNetwork
    fine: MlpNetwork | None  # none: the coarse one makes the picture
    config: NerfConfig  # with near and far
    opaque_end: bool = False  # whether the last sample stands for all that follows it, see volume.intervals

    def parameters(self) -> list[torch.nn.Parameter]:
        """All weights and biases."""
        return [*self.coarse.parameters(), *(self.fine.parameters() if self.fine else [])]


@dataclass(frozen=True)
class Composite:
    """What rays show."""

    colour: Tensor  # (rays, 3) without the background
    opacity: Tensor  # (rays,) in [0, 1]
    depth: Tensor  # (rays,) weighted sum of depths along the viewing axis
    weights: Tensor  # (rays, samples) compositing weights, without gradient

    def on(self, background: Tensor) -> Tensor:
        """Colours (rays, 3) in front of ``background`` (3,)."""
        return self.colour + (1 - self.opacity)[:, None] * background


def composite(network: MlpNetwork, rays: Rays, depths: Tensor, opaque_end: bool, noise: Tensor | None) -> Composite:
    """Colour, opacity and depth of rays, differentiable in the network's parameters and in the rays.

    A sample whose density is rectified to nothing, or which no light reaches, takes no part in the picture nor in any
    gradient. A first pass without gradients finds those; only the others, often a small part, get a colour and,
    where gradients are wanted, a second pass that records them. That changes no result.

    Args:
        depths: (rays, samples), ascending; no gradient flows to them.
        opaque_end: see ``volume.intervals``.
        noise: (rays, samples) added to raw densities, or None.
    """
    points = rays.points(depths).flatten(0, 1)  # (rays * samples, 3)
    lengths = (intervals(depths, opaque_end) * rays.stretch()).flatten()  # (rays * samples,)
    with torch.no_grad():
        hidden = network.hidden(points)
        density = rectified(network, hidden, noise)
        passed = transmittance((density * lengths).view_as(depths)).flatten()
        seen = ((density > 0) & (passed > UNSEEN)).nonzero()[:, 0]  # (seen,)
    hidden = network.hidden(points[seen]) if torch.is_grad_enabled() else hidden[seen]
    ray = seen // depths.shape[1]
    density = rectified(network, hidden, None if noise is None else noise.flatten()[seen])
    optical = torch.zeros_like(lengths).index_put((seen,), density * lengths[seen]).view_as(depths)
    weights = compositing_weights(optical)
    directions = torch.nn.functional.normalize(rays.directions, dim=-1)
    colours = network.colours(hidden, directions, ray) * weights.flatten()[seen, None]
    colour = torch.zeros_like(rays.directions).index_add(0, ray, colours)
    return Composite(colour, weights.sum(-1), (weights * depths).sum(-1), weights.detach())


def rectified(network: MlpNetwork, hidden: Tensor, noise: Tensor | None) -> Tensor:
    """Density (points,), at least 0, per unit of length."""
    raw = network.raw_density(hidden)
    return torch.relu(raw if noise is None else raw + noise.flatten())


def march(networks: Networks, rays: Rays, generator: torch.Generator | None = None) -> list[Composite]:
    """What the coarse network shows, then what the fine one shows, if there is one.

    Args:
        generator: with it samples are jittered and densities get noise, as the settings say (training); without it
            all is even (pictures), and the coarse network serves only to place the fine one's samples.
    """
    config, like = networks.config, rays.origins
    assert config.near is not None and config.far is not None

    def uniform(samples: int) -> Tensor:
        return torch.rand(len(like), samples, generator=generator, device=like.device, dtype=like.dtype)

    def noise(depths: Tensor) -> Tensor | None:
        if generator is None or config.raw_noise_std == 0:
            return None
        drawn = torch.randn(depths.shape, generator=generator, device=like.device, dtype=like.dtype)
        return config.raw_noise_std * drawn

    jittered = generator is not None and config.perturb > 0
    jitter = uniform(config.N_samples) if jittered else like[:, :0]
    depths = stratified_depths(config.near, config.far, config.N_samples, jitter.detach())
    with torch.set_grad_enabled(torch.is_grad_enabled() and (generator is not None or networks.fine is None)):
        coarse = composite(networks.coarse, rays, depths, networks.opaque_end, noise(depths))
    if networks.fine is None:
        return [coarse]
    even = torch.linspace(0, 1, config.N_importance, device=like.device, dtype=like.dtype).expand(len(like), -1)
    drawn = importance_depths(depths, coarse.weights, uniform(config.N_importance) if jittered else even)
    both = torch.cat([depths, drawn], -1).sort(-1).values  # (rays, N_samples + N_importance)
    return [coarse, composite(networks.fine, rays, both, networks.opaque_end, noise(both))]


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Matrix products in ``float32``, ``tf32`` (CUDA) or ``bfloat16``; all else stays as it is."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
