"""The paper's field: rays through its networks against a slow twin, closed forms, finite differences."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerf.mlp.field import MlpField, load_mlp_field
from nerf.mlp.network import NerfNetworks
from nerf.mlp.rendering import render_rays, render_samples
from nerf.mlp.sampling import AxisRays, axis_rays, importance_depths, intervals, stratified_depths
from nerf.settings import NerfConfig
from tests.inerf.scene import camera
from utils.camera import Intrinsics, pixel_centres
from utils.checkpoint import load_tensors, save_tensors
from utils.errors import InputError

CAMERA = Intrinsics.from_angle(9, 7, 0.6)
POSE = camera(40, 25, 3.0)
CONFIG = NerfConfig(
    netdepth=6, netwidth=24, netdepth_fine=7, netwidth_fine=16, multires=4, multires_views=2,
    N_samples=10, N_importance=8, near=1.8, far=4.5,
)  # fmt: skip
BACKGROUND = (0.2, 0.9, 0.6)


def random_networks(config: NerfConfig = CONFIG, opaque_end: bool = False) -> NerfNetworks:
    """Return networks with density in about half of space."""
    networks = NerfNetworks.uninitialised(config, opaque_end)
    for seed, network in enumerate(networks.networks.values()):
        network.double().initialise(torch.Generator().manual_seed(seed))
        with torch.no_grad():
            network.density.weight *= 40
            network.density.bias.zero_()
            network.colour.weight *= 8
    return networks


def field_of(config: NerfConfig = CONFIG, opaque_end: bool = False) -> MlpField:
    return MlpField(random_networks(config, opaque_end).freeze(), BACKGROUND)


def all_rays(pose: Tensor = POSE) -> AxisRays:
    return axis_rays(pixel_centres(CAMERA).reshape(-1, 2).double(), CAMERA, pose)


def slow_composite(network: torch.nn.Module, rays: AxisRays, depths: Tensor, opaque_end: bool) -> tuple[Tensor, Tensor]:
    """Return colour and opacity of all rays, with every sample evaluated and differentiated."""
    count, samples = depths.shape
    hidden = network.hidden(rays.points(depths).reshape(-1, 3))
    ray = torch.arange(count).repeat_interleave(samples)
    directions = rays.directions / rays.directions.norm(dim=-1, keepdim=True)
    colours = network.colours(hidden, directions, ray).view(count, samples, 3)
    density = torch.relu(network.raw_density(hidden)).view(count, samples)
    alpha = 1 - torch.exp(-density * intervals(depths, opaque_end) * rays.directions.norm(dim=-1, keepdim=True))
    transmittance, colour = torch.ones_like(alpha[:, 0]), torch.zeros_like(rays.directions)
    for sample in range(samples):
        colour = colour + (transmittance * alpha[:, sample])[:, None] * colours[:, sample]
        transmittance = transmittance * (1 - alpha[:, sample])
    return colour, 1 - transmittance


@pytest.mark.parametrize("opaque_end", [False, True])
def test_rays_equal_their_slow_twin_with_all_gradients(opaque_end: bool) -> None:
    """Samples that are left out change neither colours nor gradients."""
    images, gradients = [], []
    target = torch.rand(63, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for fast in (True, False):
        network, pose = random_networks().coarse, POSE.clone().requires_grad_(True)
        rays = all_rays(pose)
        depths = stratified_depths(1.8, 4.5, 12, torch.zeros(63, 0, dtype=torch.float64))
        if fast:
            rendered = render_samples(network, rays, depths, opaque_end, noise=None)
            colour, opacity = rendered.colour, rendered.opacity
            assert 0.2 < float((rendered.weights > 0).double().mean()) < 0.9
        else:
            colour, opacity = slow_composite(network, rays, depths, opaque_end)
        ((colour - target).square().sum() + opacity.square().sum()).backward()
        images.append(torch.cat([colour, opacity[:, None]], 1).detach())
        gradients.append([pose.grad, *(parameter.grad for parameter in network.parameters())])
    assert float(images[1].std()) > 0.1
    torch.testing.assert_close(images[0], images[1], atol=1e-6, rtol=0)
    for fast_gradient, slow_gradient in zip(*gradients):
        assert fast_gradient is not None and slow_gradient is not None
        torch.testing.assert_close(fast_gradient, slow_gradient, atol=1e-5, rtol=1e-5)


def test_noise_moves_densities() -> None:
    network, rays = random_networks().coarse, all_rays()
    depths = stratified_depths(1.8, 4.5, 12, torch.zeros(63, 0, dtype=torch.float64))
    plain = render_samples(network, rays, depths, False, noise=torch.zeros(63, 12).double())
    thick, clear = (
        render_samples(network, rays, depths, False, torch.full((63, 12), by).double()) for by in (1e3, -1e3)
    )
    assert torch.equal(plain.colour, render_samples(network, rays, depths, False, None).colour)
    assert float(thick.opacity.detach().min()) == pytest.approx(1.0) and float(clear.opacity.detach().max()) == 0
    rendered = clear.over(torch.tensor(BACKGROUND).double())
    torch.testing.assert_close(rendered, torch.tensor(BACKGROUND).double().expand(63, 3))


def test_the_fine_network_sees_the_sorted_union() -> None:
    networks, rays = random_networks().freeze(), all_rays()
    coarse, fine = render_rays(networks, rays)
    depths = stratified_depths(1.8, 4.5, 10, torch.zeros(63, 0, dtype=torch.float64))
    expected = render_samples(networks.coarse, rays, depths, False, None)
    torch.testing.assert_close(coarse.colour, expected.colour)
    drawn = importance_depths(depths, coarse.weights, torch.linspace(0, 1, 8).double().expand(63, -1))
    both = torch.stack([torch.tensor(sorted(row)) for row in torch.cat([depths, drawn], 1).tolist()])
    assert networks.fine is not None
    torch.testing.assert_close(fine.colour, render_samples(networks.fine, rays, both, False, None).colour)


def fill_space(field: MlpField, density: float, colour: tuple[float, float, float]) -> MlpField:
    """Give the field one density and one colour everywhere."""
    for network in field.networks.networks.values():
        for head, values in ((network.density, [density]), (network.colour, [math.log(c / (1 - c)) for c in colour])):
            head.weight.zero_()
            head.bias.copy_(torch.tensor(values))
    return field


@pytest.mark.parametrize("density", [0.0, 0.02, 0.7, 1e4])
def test_constant_density_follows_its_closed_form(density: float) -> None:
    rendering = fill_space(field_of(), density, (0.1, 0.5, 0.8)).render(POSE, CAMERA)
    stretch = all_rays().lengths().view(7, 9)
    opacity = 1 - torch.exp(-density * (CONFIG.far - CONFIG.near) * stretch)  # type: ignore[operator]
    torch.testing.assert_close(rendering.opacity, opacity.float(), atol=1e-6, rtol=0)
    own, behind = torch.tensor((0.1, 0.5, 0.8)), torch.tensor(BACKGROUND)
    expected = opacity.float()[..., None] * own + (1 - opacity.float()[..., None]) * behind
    torch.testing.assert_close(rendering.colour, expected, atol=1e-6, rtol=0)
    if density == 0:
        assert float(rendering.depth.max()) == 0
    if density == 1e4:
        torch.testing.assert_close(rendering.depth, (CONFIG.near * stretch).float(), atol=1e-4, rtol=0)
    assert rendering.colour.dtype == rendering.depth.dtype == torch.float32


def test_an_image_is_its_pixels_whatever_the_chunk() -> None:
    field = field_of()
    small = MlpField(replace(field.networks, config=replace(CONFIG, chunk=5)), BACKGROUND)
    whole, parts = field.render(POSE, CAMERA), small.render(POSE, CAMERA)
    torch.testing.assert_close(whole.colour, parts.colour)
    torch.testing.assert_close(whole.depth, parts.depth)
    pixels = field.render_pixels(pixel_centres(CAMERA).reshape(-1, 2), POSE, CAMERA)
    torch.testing.assert_close(pixels.view(7, 9, 3).float(), whole.colour, atol=1e-6, rtol=0)
    assert float(whole.colour.std()) > 0.05 and 0 < float(whole.opacity.min()) < float(whole.opacity.max()) <= 1


def moved(pose: Tensor, change: Tensor) -> Tensor:
    return torch.cat([pose[:3] + change.view(3, 4), pose[3:]])


def test_the_pose_s_gradient_equals_finite_differences() -> None:
    """Without importance samples, whose places are not differentiated."""
    field = field_of(replace(CONFIG, N_importance=0))
    pixels = pixel_centres(CAMERA).reshape(-1, 2)[::6]
    target = torch.rand(len(pixels), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(change: Tensor) -> Tensor:
        return (field.render_pixels(pixels, moved(POSE, change), CAMERA) - target).square().mean()

    change = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(change), change)
    assert float(gradient.abs().max()) > 1e-2
    for entry in range(12):
        step = torch.zeros(12, dtype=torch.float64)
        step[entry] = 1e-6
        assert float(gradient[entry]) == pytest.approx(float(loss(step) - loss(-step)) / 2e-6, rel=1e-4, abs=1e-7)


def test_gradients_flow_to_the_pose_and_to_nothing_else() -> None:
    field, pose = field_of(), POSE.clone().requires_grad_(True)
    field.render_pixels(torch.tensor([[4.5, 3.5]]), pose, CAMERA).sum().backward()
    assert pose.grad is not None and float(pose.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in field.networks.named_parameters().values())
    assert not field.render(pose, CAMERA).colour.requires_grad


@pytest.mark.parametrize("importance", [0, 8])
def test_field_comes_back_bit_for_bit(importance: int, tmp_path: Path) -> None:
    networks = random_networks(replace(CONFIG, N_importance=importance), opaque_end=True)
    for network in networks.networks.values():
        network.float()
    field = MlpField(networks.freeze(), BACKGROUND, shift=0.03)
    field.save(tmp_path / "field.safetensors")
    again = load_mlp_field(tmp_path / "field.safetensors")
    assert (again.background, again.shift, again.networks.config) == (BACKGROUND, 0.03, networks.config)
    one, other = field.render(POSE, CAMERA), again.render(POSE, CAMERA)
    assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("colour", "opacity", "depth"))


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    networks = random_networks()
    field, path = MlpField(networks.freeze(), BACKGROUND), tmp_path / "field.safetensors"
    field.save(path)
    tensors, header = load_tensors(path)
    for broken in (
        {name: value for name, value in tensors.items() if name != "fine.density.bias"},
        tensors | {"fine.density.bias": torch.zeros(2)},
    ):
        save_tensors(path, broken, header)
        with pytest.raises(InputError, match=r"field\.safetensors is not an intact checkpoint.*fine\.density\.bias"):
            load_mlp_field(path)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precision_renders_nearly_the_same(precision: str) -> None:
    networks = random_networks(replace(CONFIG, precision=precision))
    for network in networks.networks.values():
        network.float()
    exact = MlpField(replace(networks, config=CONFIG).freeze(), BACKGROUND).render(POSE, CAMERA)
    rough = MlpField(networks, BACKGROUND).render(POSE, CAMERA)
    assert float((exact.colour - rough.colour).abs().mean()) < 0.03
    assert torch.get_float32_matmul_precision() == "highest"
