"""The compositing law of volume rendering, NeRF eq. 3 (arXiv:2003.08934), in the symbols that both fields use.

A sample i of density sigma_i stands for a length delta_i of its ray, and has colour c_i:

    tau_i = sigma_i delta_i                  optical depth
    alpha_i = 1 - exp(-tau_i)                opacity
    T_i = exp(-sum of tau_j over j < i)      transmittance from the camera to the sample
    w_i = T_i alpha_i                        compositing weight
    C = sum of w_i c_i + (1 - sum of w_i) c_background

The compiled loops of ``nerf/voxel/kernels.py`` apply the same law sample by sample.
"""

from __future__ import annotations

import torch
from torch import Tensor


def transmittance(optical_depth: Tensor) -> Tensor:
    """Return the share T of light that reaches each sample: (rays, samples) of ``optical_depth`` (rays, samples).

    The running sum is shifted, not subtracted: one huge optical depth would make differences meaningless.

    >>> transmittance(torch.tensor([[0.0, 1e12, 1.0]])).tolist()
    [[1.0, 1.0, 0.0]]
    """
    return torch.exp(-torch.cumsum(torch.nn.functional.pad(optical_depth[:, :-1], (1, 0)), -1))


def compositing_weights(optical_depth: Tensor, min_transmittance: float = 0.0) -> Tensor:
    """Return the weight of each sample in its pixel: (rays, samples), summing to at most 1 along each ray.

    Args:
        optical_depth: (rays, samples), in order of distance.
        min_transmittance: a ray ends at the sample behind which less light than this is left; that sample takes it all.
    """
    light, alpha = transmittance(optical_depth), -torch.expm1(-optical_depth)
    if min_transmittance > 0:
        last = light * torch.exp(-optical_depth) < min_transmittance
        alpha = torch.where(last, torch.ones_like(alpha), alpha)
        light = torch.where(light < min_transmittance, torch.zeros_like(light), light)
    return light * alpha


def accumulate_along_rays(values: Tensor, ray: Tensor, rays: int) -> Tensor:
    """Return the sums (rays, ...) over each ray's samples of ``values`` (samples, ...), ``ray`` (samples,) theirs."""
    return values.new_zeros(rays, *values.shape[1:]).index_add(0, ray, values)


def over_background(colour: Tensor, opacity: Tensor, background: Tensor) -> Tensor:
    """Return RGB (rays, 3) of ``colour`` (rays, 3), weighted by ``opacity`` (rays,), before ``background`` (3,)."""
    return colour + (1 - opacity)[:, None] * background
