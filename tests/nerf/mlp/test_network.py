"""NeRF's network against its description, written out slowly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from nerf.mlp.network import MlpNetwork, encode, encoded_size
from nerf.settings import NerfConfig

SMALL = NerfConfig(multires=3, multires_views=2)


def network(depth: int = 8, width: int = 16, config: NerfConfig = SMALL, seed: int = 0) -> MlpNetwork:
    return MlpNetwork(depth, width, config).double().initialise(torch.Generator().manual_seed(seed))


def points(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("frequencies", [0, 1, 4, 10])
def test_encoding_follows_its_formula(frequencies: int) -> None:
    values = points(5)
    encoded = encode(values, frequencies)
    assert encoded.shape == (5, encoded_size(frequencies))
    for row, value in zip(encoded.tolist(), values.tolist()):
        expected = list(value)
        for octave in range(frequencies):
            expected += [math.sin(2**octave * x) for x in value] + [math.cos(2**octave * x) for x in value]
        assert row == pytest.approx(expected, abs=1e-9)


def slow_forward(net: MlpNetwork, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Density and colour of one point, layer by layer, with copied concatenations."""
    encoded = encode(position, net.frequencies)
    hidden = encoded
    for number, each in enumerate(net.layers):
        if number == 5:
            hidden = torch.cat([encoded, hidden])
        hidden = torch.relu(linear(hidden, each.weight, each.bias))
    density = net.density(hidden)[0]
    if net.view_frequencies is not None:
        mixed = torch.cat([net.feature(hidden), encode(direction, net.view_frequencies)])
        hidden = torch.relu(net.mixture(mixed))
    return density, torch.sigmoid(net.colour(hidden))


@pytest.mark.parametrize("depth", [1, 4, 5, 6, 8])
@pytest.mark.parametrize("use_viewdirs", [True, False])
def test_forward_equals_its_slow_twin(depth: int, use_viewdirs: bool) -> None:
    net = network(depth, config=NerfConfig(multires=3, multires_views=2, use_viewdirs=use_viewdirs))
    where, directions, ray = points(6), points(2, seed=1), torch.tensor([0, 0, 1, 1, 0, 1])
    hidden = net.hidden(where)
    density, colours = net.raw_density(hidden), net.colours(hidden, directions, ray)
    for number in range(6):
        expected, colour = slow_forward(net, where[number], directions[ray[number]])
        torch.testing.assert_close(density[number], expected)
        torch.testing.assert_close(colours[number], colour)


def test_gradients_equal_those_of_the_slow_twin() -> None:
    """Products that are applied together still teach each of their factors."""
    one, other = network(), network()
    where, direction = points(1), points(1, seed=1)
    hidden = one.hidden(where)
    (one.raw_density(hidden).sum() + one.colours(hidden, direction, torch.tensor([0])).sum()).backward()
    density, colour = slow_forward(other, where[0], direction[0])
    (density + colour.sum()).backward()
    for mine, slow in zip(one.parameters(), other.parameters()):
        assert mine.grad is not None and slow.grad is not None
        torch.testing.assert_close(mine.grad, slow.grad)


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    one = network(seed=3)
    torch.manual_seed(2)
    same, other = network(seed=3), network(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters()))
    assert not torch.equal(one.density.weight, other.density.weight)
    before = torch.get_rng_state()
    network()
    assert torch.equal(before, torch.get_rng_state())


def test_first_weights_lie_within_their_bounds() -> None:
    for each in network(width=64).modules():
        if isinstance(each, torch.nn.Linear):
            bound = 1 / math.sqrt(each.in_features)
            assert 0.8 * bound < float(each.weight.detach().abs().max()) <= bound
