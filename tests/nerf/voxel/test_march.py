"""The compiled loops and their torch twin against a slow march and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nerf.voxel.field import CONTRAST, VoxelField
from nerf.voxel.grid import STEP
from nerf.voxel.kernels import EMPTY_RAW_DENSITY, MIN_TRANSMITTANCE
from nerf.voxel.torch_march import TorchGrid, march_rays, render_pixels, shade
from tests.inerf.scene import camera
from tests.nerf.scene import full_field, random_field
from utils.camera import Intrinsics, look_at, pixel_centres, world_rays
from utils.rendering import Rendering

CAMERA = Intrinsics.from_angle(64, 49, 0.69)


def twin(field: VoxelField, pose: Tensor, intrinsics: Intrinsics) -> Rendering:
    """Render the field with the torch twin."""
    grid, pixels = TorchGrid.of(field.grid, "cpu"), pixel_centres(intrinsics)
    return Rendering(
        *render_pixels(
            pixels, lambda at: world_rays(at, intrinsics, pose), grid, field.table, field.background, CONTRAST
        )
    )


def slow_ray(field: VoxelField, origin: Tensor, direction: Tensor, offset: float) -> tuple[np.ndarray, float, float]:
    """Return colour without background, opacity and weighted distance of a ray, sample by sample in float64."""
    grid, table = field.grid, field.table.double().numpy()
    start, along = (
        (origin.double().numpy() - grid.origin) / grid.voxel,
        direction.double().numpy() / grid.voxel,
    )
    size = np.array(grid.index.shape) - 1
    ends = np.sort([(1e-4 - start) / along, (size - 1e-4 - start) / along], axis=0)
    near, far = max(0.0, ends[0].max()), ends[1].min()
    colour, transmittance, depth, distance = np.zeros(3), 1.0, 0.0, near + offset * STEP * grid.voxel
    while distance < far:
        position = start + along * distance
        cell = position.astype(int)
        rows = [grid.index[tuple(cell + corner)] for corner in np.ndindex(2, 2, 2)]
        if min(rows) >= 0:
            fraction = position - cell
            shares = [np.prod(np.where(corner, fraction, 1 - fraction)) for corner in np.ndindex(2, 2, 2)]
            value = np.array(shares) @ table[rows]
            optical_depth = math.log1p(math.exp(value[0])) * STEP
            if value[0] > EMPTY_RAW_DENSITY:
                last = transmittance * math.exp(-optical_depth) < MIN_TRANSMITTANCE
                weight = transmittance if last else transmittance * (1 - math.exp(-optical_depth))
                colour, depth, transmittance = (
                    colour + weight * value[1:],
                    depth + weight * distance,
                    transmittance - weight,
                )
                if last:
                    break
        distance += STEP * grid.voxel
    return colour, 1 - transmittance, depth


def assert_alike(one: Rendering, other: Rendering, tolerance: float = 1e-4) -> None:
    """Assert equality but for a few samples that rounding puts on the other side of a cell's face."""
    for a, b in ((one.colour, other.colour.clamp(0, 1)), (one.opacity, other.opacity), (one.depth, other.depth)):
        assert a.shape == b.shape and float(((a - b).abs() > tolerance).float().mean()) < 2e-3


@pytest.mark.parametrize(
    ("azimuth", "elevation", "radius"), [(0, 30, 3.0), (130, -70, 3.0), (250, 5, 1.2), (40, 0, 0.3)]
)
def test_compiled_rendering_equals_its_twin(azimuth: float, elevation: float, radius: float) -> None:
    field, pose = random_field(), camera(azimuth, elevation, radius).float()
    rendering = field.render(pose, CAMERA)
    assert float(rendering.colour.std()) > 0.05 and 0.2 < float(rendering.opacity.max()) <= 1
    assert_alike(rendering, twin(field, pose, CAMERA))


def test_twin_equals_a_slow_march() -> None:
    field, pose = random_field(), camera(75, 25).float()
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(60, 2, generator=generator) * 24 + torch.tensor([20.0, 12.0])
    offsets = torch.rand(60, generator=generator)
    origins, directions = world_rays(pixels, CAMERA, pose)
    marched = march_rays(origins, directions, offsets, TorchGrid.of(field.grid, "cpu"), field.table)
    assert float(marched.opacity.max()) > 0.99 and float(marched.opacity.min()) < 0.9
    for ray in range(60):
        colour, opacity, depth = slow_ray(field, origins[ray], directions[ray], float(offsets[ray]))
        torch.testing.assert_close(marched.colour[ray].double(), torch.from_numpy(colour), atol=1e-4, rtol=0)
        assert float(marched.opacity[ray]) == pytest.approx(opacity, abs=1e-4)
        assert float(marched.depth[ray]) == pytest.approx(depth, abs=3e-4)


def straight(field: VoxelField) -> Rendering:
    """Render the pixel of the ray through the origin along -x, from 2 units away."""
    eye, up = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    return field.render(look_at(eye, torch.zeros(3), up), Intrinsics(1, 1, 50.0, 50.0, 0.5, 0.5))


@pytest.mark.parametrize("raw", [-3.5, -2.0, 0.0, 1.5])
@pytest.mark.parametrize("depth", [1, 5, 12])
def test_slab_of_constant_density(raw: float, depth: int) -> None:
    voxel = 0.05
    pixel = straight(full_field((depth, 7, 7), voxel, raw))
    density, length = math.log1p(math.exp(raw)) / voxel, depth * voxel
    transmittance = math.exp(-density * length)
    expected = 1 - transmittance if transmittance > MIN_TRANSMITTANCE else 1.0
    assert float(pixel.opacity) == pytest.approx(expected, abs=1e-4)
    colour = expected * np.array([0.1, 0.2, 0.7]) + 1 - expected
    np.testing.assert_allclose(pixel.colour[0, 0].numpy(), colour, atol=1e-4)
    assert 2 - 0.5 * length <= float(pixel.depth) <= 2 + 1e-3


def test_depth_of_an_opaque_wall_is_its_front() -> None:
    pixel = straight(full_field((12, 7, 7), 0.05, 25.0))
    assert float(pixel.opacity) == 1.0
    assert 2 - 0.3 <= float(pixel.depth) <= 2 - 0.3 + STEP * 0.05


def test_faint_wall_has_its_depth_in_the_middle() -> None:
    assert float(straight(full_field((12, 7, 7), 0.05, -3.9)).depth) == pytest.approx(2.0, abs=0.02)


def test_density_in_the_world_halves_with_twice_the_voxel() -> None:
    fine, coarse = straight(full_field((8, 7, 7), 0.05, -2.0)), straight(full_field((8, 7, 7), 0.1, -2.0))
    assert float(fine.opacity) == pytest.approx(float(coarse.opacity), abs=1e-5)


def test_colour_of_a_sample_is_trilinear() -> None:
    field = full_field((9, 9, 9), 0.1, 25.0)
    where = torch.from_numpy(np.argwhere(field.grid.index >= 0)).float() * 0.1 + torch.from_numpy(field.grid.origin)
    table = field.table.clone()
    table[:, 1:] = 0.5 + 0.4 * where  # linear in the world, hence exact
    painted = VoxelField(field.grid, table, field.background)
    pose = camera(30, 20).float()
    rendering = painted.render(pose, CAMERA)
    origins, directions = world_rays(pixel_centres(CAMERA), CAMERA, pose)
    points = origins + directions * rendering.depth[..., None]
    inside = torch.nn.functional.avg_pool2d(rendering.opacity[None], 3, 1, 1)[0] > 0.999  # away from 2 x 2 rays
    assert int(inside.sum()) > 100
    torch.testing.assert_close(rendering.colour[inside], 0.5 + 0.4 * points[inside], atol=0.01, rtol=0)


def test_edges_are_the_mean_of_four_rays() -> None:
    field, pose = full_field((9, 9, 9), 0.1, 25.0), camera(30, 20).float()
    rendering = field.render(pose, CAMERA)
    fine = field.render(pose, CAMERA.resized(128, 98)).opacity  # its pixels' centres are the four rays
    edge = (rendering.opacity > 0) & (rendering.opacity < 1)
    assert set((4 * rendering.opacity[edge]).round(decimals=3).tolist()) <= {1.0, 2.0, 3.0}
    four = torch.nn.functional.avg_pool2d((fine > 0.5).float()[None], 2)[0]
    assert float((four - rendering.opacity)[edge].abs().mean()) < 0.1 and int(edge.sum()) > 50


def test_out_of_sight_is_background() -> None:
    field = random_field()
    behind = look_at(torch.tensor([0.0, -3.0, 0.0]), torch.tensor([0.0, -6.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    aside = look_at(torch.tensor([0.0, -3.0, 0.0]), torch.tensor([9.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    for pose in (behind, aside):
        rendering = field.render(pose, CAMERA)
        assert float(rendering.opacity.max()) == 0 and float(rendering.depth.max()) == 0
        assert bool((rendering.colour == torch.tensor(field.background)).all())


def test_part_of_an_image_equals_that_part() -> None:
    field, pose = full_field((9, 9, 9), 0.1, 25.0), camera(30, 20).float()
    whole = field.render(pose, CAMERA)
    part = Intrinsics(30, 20, CAMERA.focal_x, CAMERA.focal_y, CAMERA.centre_x - 25, CAMERA.centre_y - 11)
    cut = field.render(pose, part)
    torch.testing.assert_close(cut.colour[1:-1, 1:-1], whole.colour[12:30, 26:54], atol=1e-5, rtol=0)


def single_pixels(field: VoxelField, pose: Tensor, count: int = 400) -> tuple[Tensor, Tensor]:
    """Return random pixel centres (count, 2) and their colours."""
    generator = torch.Generator().manual_seed(8)
    x, y = (torch.randint(size, (count,), generator=generator) for size in (CAMERA.width, CAMERA.height))
    pixels = torch.stack([x, y], -1) + 0.5
    return pixels, field.render_pixels(pixels, pose, CAMERA)


def at(image: Tensor, pixels: Tensor) -> Tensor:
    return image[pixels[:, 1].long(), pixels[:, 0].long()]


@pytest.mark.parametrize("radius", [3.0, 0.3])
def test_single_pixels_are_those_of_the_image(monkeypatch: pytest.MonkeyPatch, radius: float) -> None:
    """The image is rendered with one ray a pixel."""
    monkeypatch.setattr("nerf.voxel.field.CONTRAST", 2.0)
    field, pose = random_field(), camera(130, 20, radius).float()
    pixels, colours = single_pixels(field, pose)
    expected = at(field.render(pose, CAMERA).colour, pixels)
    assert float(expected.std()) > 0.05
    assert float(((colours.clamp(0, 1) - expected).abs() > 1e-4).float().mean()) < 5e-3


def test_single_pixels_need_no_compiled_loops() -> None:
    field, pose = random_field(), camera(130, 20).float()
    origins, directions = world_rays(single_pixels(field, pose)[0], CAMERA, pose)
    ray, distance = field._visible_compiled(origins, directions)
    twin_ray, twin_distance = field._visible_torch(origins, directions)
    seen = set(zip(ray.tolist(), (distance / STEP / field.grid.voxel * 4).round().tolist()))
    twins = set(zip(twin_ray.tolist(), (twin_distance / STEP / field.grid.voxel * 4).round().tolist()))
    assert len(seen) > 1000 and len(seen - twins) < 0.01 * len(seen)  # and the twin those behind what is opaque


def test_single_pixels_follow_the_pose() -> None:
    """The gradient against finite differences, samples held where they lie along their rays."""
    field, pose = random_field(), camera(75, 25).double()
    grid = TorchGrid.of(field.grid, "cpu")
    pixels = single_pixels(field, pose.float(), 60)[0].double()
    origins, directions = world_rays(pixels, CAMERA, pose)
    ray, distance = field._visible_compiled(origins.float(), directions.float())
    target = torch.rand(60, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(change: Tensor) -> Tensor:
        moved = torch.cat([pose[:3] + change.view(3, 4), pose[3:]])
        rays = world_rays(pixels, CAMERA, moved)
        colour, opacity = shade(*rays, ray, distance.double(), grid, field.table.double())
        return (colour + (1 - opacity)[:, None] - target).square().mean()

    change = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(change), change)
    assert float(gradient.abs().max()) > 1e-2
    for entry in range(12):
        small = torch.zeros(12, dtype=torch.float64)
        small[entry] = 1e-7
        numeric = float(loss(small) - loss(-small)) / 2e-7
        assert float(gradient[entry]) == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_the_pose_of_single_pixels_descends() -> None:
    """Gradients lead back to the pose from which the image was taken."""
    field, truth = full_field((9, 9, 9), 0.1, 3.0), camera(30, 20).float()
    where = torch.from_numpy(np.argwhere(field.grid.index >= 0)).float() * 0.1 + torch.from_numpy(field.grid.origin)
    ball = 25 * (0.3 - where.norm(dim=1, keepdim=True))  # fades out within the grid
    painted = VoxelField(field.grid, torch.cat([ball, 0.5 + where], 1), field.background)
    pixels, target = single_pixels(painted, truth)
    shift = torch.tensor([0.05, -0.04, 0.03]).requires_grad_(True)
    optimiser = torch.optim.Adam([shift], lr=5e-3)
    for _ in range(60):
        pose = torch.cat([truth[:3] + torch.nn.functional.pad(shift[:, None], (3, 0)), truth[3:]])
        optimiser.zero_grad()
        (painted.render_pixels(pixels, pose, CAMERA) - target).square().mean().backward()
        optimiser.step()
    assert float(shift.detach().norm()) < 0.015 and painted.table.grad is None


def test_single_pixels_beside_the_object_are_background() -> None:
    field = random_field()
    aside = look_at(torch.tensor([0.0, -3.0, 0.0]), torch.tensor([9.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    colours = single_pixels(field, aside.requires_grad_(True))[1]
    colours.sum().backward()
    torch.testing.assert_close(colours.detach(), torch.tensor(field.background).expand(400, 3))
    assert aside.grad is not None and float(aside.grad.abs().max()) == 0
