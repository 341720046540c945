"""NeRF's network: positions and viewing directions to density and colour (arXiv:2003.08934, 5.1 and figure 7)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu_

from nerf.settings import NerfConfig

SKIP = 5  # the layer that sees the encoded position again


def encode(values: Tensor, frequencies: int) -> Tensor:
    """The values themselves, then their sines and cosines at doubling frequencies (NeRF eq. 4, without its pi).

    Args:
        values: (..., 3).
    Returns:
        (..., 3 + 6 * frequencies): values, sin(values), cos(values), sin(2 values), cos(2 values), sin(4 values), ...
    """
    octaves = 2.0 ** torch.arange(frequencies, device=values.device, dtype=values.dtype)
    angles = values[..., None, :] * octaves[:, None]  # (..., frequencies, 3)
    waves = torch.stack([angles.sin(), angles.cos()], dim=-2)  # (..., frequencies, 2, 3)
    return torch.cat([values, waves.flatten(-3)], dim=-1)


def encoded_size(frequencies: int) -> int:
    """Channels that ``encode`` makes of three."""
    return 3 + 6 * frequencies


class MlpNetwork(nn.Module):
    """Fully connected layers with one skip connection, a density head and a colour head.

    With viewing directions, colour comes from a linear feature, mixed with the encoded direction in one layer of half
    the width. Feature and mixture are linear with nothing between them: they are applied as one product, and the
    direction's share is computed once a ray.
    """

    def __init__(self, depth: int, width: int, config: NerfConfig) -> None:
        """Parameters are not initialised; see ``initialise``."""
        super().__init__()
        self.width, self.frequencies = width, config.multires
        self.view_frequencies = config.multires_views if config.use_viewdirs else None
        inputs = encoded_size(config.multires)
        sizes = [inputs, *[width] * (depth - 1)]
        if depth > SKIP:
            sizes[SKIP] += inputs
        self.layers = nn.ModuleList(layer(size, width) for size in sizes)
        self.density = layer(width, 1)
        if self.view_frequencies is None:
            self.colour = layer(width, 3)
        else:
            self.feature = layer(width, width)
            self.mixture = layer(width + encoded_size(self.view_frequencies), width // 2)
            self.colour = layer(width // 2, 3)

    def initialise(self, generator: torch.Generator) -> MlpNetwork:
        """Uniform weights and biases within 1 / sqrt(inputs), drawn from ``generator``; returns itself."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    bound = 1 / math.sqrt(module.in_features)
                    module.weight.uniform_(-bound, bound, generator=generator)
                    module.bias.uniform_(-bound, bound, generator=generator)
        return self

    def translate(self) -> None:
        """Let torch.compile translate what is computed for each point."""
        self.hidden = torch.compile(self.hidden, dynamic=True)  # type: ignore[method-assign]
        self.colours = torch.compile(self.colours, dynamic=True)  # type: ignore[method-assign]

    def hidden(self, points: Tensor) -> Tensor:
        """What density and colour are read from: (points, width), at world positions ``points`` (points, 3)."""
        encoded = encode(points, self.frequencies)
        hidden = encoded
        for number, each in enumerate(self.layers):
            assert isinstance(each, nn.Linear)
            if number == SKIP:  # two products instead of one of a copied concatenation
                seen, passed = each.weight[:, : encoded.shape[1]], each.weight[:, encoded.shape[1] :]
                hidden = relu_(torch.addmm(linear(encoded, seen, each.bias), hidden, passed.T))
            else:
                hidden = relu_(each(hidden))
        return hidden

    def raw_density(self, hidden: Tensor) -> Tensor:
        """Density before the rectifier: (points,), per unit of length in the scene."""
        return self.density(hidden)[:, 0].to(self.density.weight.dtype)

    def colours(self, hidden: Tensor, directions: Tensor, ray: Tensor) -> Tensor:
        """RGB (points, 3) in [0, 1].

        Args:
            hidden: (points, width).
            directions: (rays, 3) viewing directions of unit length.
            ray: (points,) the ray on which each point lies.
        """
        if self.view_frequencies is not None:
            from_feature, from_view = self.mixture.weight[:, : self.width], self.mixture.weight[:, self.width :]
            bias = self.mixture.bias + from_feature @ self.feature.bias
            by_ray = linear(encode(directions, self.view_frequencies), from_view, bias)  # (rays, width / 2)
            mixed = linear(hidden, from_feature @ self.feature.weight)
            hidden = relu_(mixed + by_ray[ray])
        return torch.sigmoid(self.colour(hidden).to(self.density.weight.dtype))


def layer(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose parameters hold anything: nothing is drawn from torch's global generator."""
    return nn.utils.skip_init(nn.Linear, inputs, outputs)
