"""NeRF's networks: positions and viewing directions to density and colour (arXiv:2003.08934, 5.1 and figure 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu_

from nerf.settings import NerfConfig

SKIP = 5  # index of the layer whose input includes the encoded position again


def encode(values: Tensor, frequencies: int) -> Tensor:
    """Return the values, then their sines and cosines at doubling frequencies (NeRF eq. 4, without its pi).

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
    """Return the number of channels of the encoding of a 3-vector."""
    return 3 + 6 * frequencies


class MlpNetwork(nn.Module):
    """Fully connected layers with one skip connection, a density head and a colour head.

    With viewing directions, colour comes from a linear feature, mixed with the encoded direction in one layer of half
    the width. Feature and mixture are linear with nothing between them: they are applied as one product, and the
    direction's share is computed once a ray.
    """

    def __init__(self, depth: int, width: int, config: NerfConfig) -> None:
        """Make the layers without initialising them; see ``initialise``."""
        super().__init__()
        self.width, self.frequencies = width, config.multires
        self.view_frequencies = config.multires_views if config.use_viewdirs else None
        inputs = encoded_size(config.multires)
        sizes = [inputs, *[width] * (depth - 1)]
        if depth > SKIP:
            sizes[SKIP] += inputs
        self.layers = nn.ModuleList(uninitialised_linear(size, width) for size in sizes)
        self.density = uninitialised_linear(width, 1)
        if self.view_frequencies is None:
            self.colour = uninitialised_linear(width, 3)
        else:
            self.feature = uninitialised_linear(width, width)
            self.mixture = uninitialised_linear(width + encoded_size(self.view_frequencies), width // 2)
            self.colour = uninitialised_linear(width // 2, 3)

    def initialise(self, generator: torch.Generator) -> MlpNetwork:
        """Draw weights and biases uniformly within 1 / sqrt(inputs) from ``generator``; return the network."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    bound = 1 / math.sqrt(module.in_features)
                    module.weight.uniform_(-bound, bound, generator=generator)
                    module.bias.uniform_(-bound, bound, generator=generator)
        return self

    def compile_methods(self) -> None:
        """Compile what is computed for each point with torch.compile."""
        for name in ("hidden", "colours"):
            setattr(self, name, torch.compile(getattr(self, name), dynamic=True))

    def hidden(self, points: Tensor) -> Tensor:
        """Return the activations (points, width) from which density and colour are read.

        Args:
            points: (points, 3) world positions.
        """
        encoded = encode(points, self.frequencies)
        hidden = encoded
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            if number == SKIP:  # two products instead of one of a copied concatenation
                from_position, from_hidden = layer.weight[:, : encoded.shape[1]], layer.weight[:, encoded.shape[1] :]
                hidden = relu_(torch.addmm(linear(encoded, from_position, layer.bias), hidden, from_hidden.T))
            else:
                hidden = relu_(layer(hidden))
        return hidden

    def raw_density(self, hidden: Tensor) -> Tensor:
        """Return the density before the rectifier: (points,), per unit of length in the scene."""
        return self.density(hidden)[:, 0].to(self.density.weight.dtype)

    def colours(self, hidden: Tensor, directions: Tensor, ray: Tensor) -> Tensor:
        """Return RGB (points, 3) in [0, 1].

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


def uninitialised_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer with arbitrary parameters: nothing is drawn from torch's global generator."""
    return nn.utils.skip_init(nn.Linear, inputs, outputs)


@dataclass(frozen=True)
class NerfNetworks:
    """The coarse and fine networks with their sampling settings."""

    coarse: MlpNetwork
    fine: MlpNetwork | None  # None: the coarse network renders alone
    config: NerfConfig  # with near and far
    opaque_end: bool = False  # whether the last sample stands for all that follows it, see `sampling.intervals`

    @staticmethod
    def uninitialised(config: NerfConfig, opaque_end: bool = False) -> NerfNetworks:
        """Return networks of the configured sizes, on the CPU, with arbitrary parameters."""
        coarse = MlpNetwork(config.netdepth, config.netwidth, config)
        fine = MlpNetwork(config.netdepth_fine, config.netwidth_fine, config) if config.N_importance else None
        return NerfNetworks(coarse, fine, config, opaque_end)

    @property
    def networks(self) -> dict[str, MlpNetwork]:
        """The networks that exist, by name."""
        return {"coarse": self.coarse} | ({} if self.fine is None else {"fine": self.fine})

    def named_parameters(self) -> dict[str, Tensor]:
        """Return all weights and biases by name, as files keep them."""
        networks = self.networks.items()
        return {f"{part}.{name}": value for part, network in networks for name, value in network.named_parameters()}

    def load_parameters(self, tensors: dict[str, Tensor]) -> NerfNetworks:
        """Copy ``tensors``, named as by ``named_parameters``, into the networks; return them.

        Raises:
            KeyError, ValueError: a tensor is missing or has another shape.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters().items():
                if parameter.shape != tensors[name].shape:
                    raise ValueError(
                        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
                    )
                parameter.copy_(tensors[name])
        return self

    def to_device(self, device: torch.device | str) -> NerfNetworks:
        """Move the networks to ``device`` and compile them if so configured; return them."""
        for network in self.networks.values():
            network.to(device)
            if self.config.compile:
                network.compile_methods()
        return self

    def freeze(self) -> NerfNetworks:
        """Let no gradients flow to the parameters from now on; return the networks."""
        for parameter in self.named_parameters().values():
            parameter.requires_grad_(False)
        return self
