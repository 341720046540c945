"""The surface of little spheres, against closed forms."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import pytest
import torch
from torch import Tensor

from pipeline.surface import POINTS, Sight, Surface, collect_surface, sampled, spread_poses, thinned_out
from tests.inerf.scene import CENTRES, RADII, camera, render
from utils.camera import Intrinsics
from utils.rendering import Field, Rendering

CAMERA = Intrinsics.from_angle(120, 120, 0.69)
POSES = torch.stack([camera(45.0 * turn, height).float() for height in (-50, 0, 50) for turn in range(8)])


@dataclass(frozen=True)
class Spheres:
    """The spheres as a field."""

    def render_reference(
        self, pose: Tensor, intrinsics: Intrinsics, rendering: Rendering | None = None, without: int = 0
    ) -> Rendering:
        return render(pose, intrinsics)


@pytest.fixture(scope="module")
def surface() -> Surface:
    return collect_surface(cast(Field, Spheres()), POSES, CAMERA)


def test_points_lie_on_the_spheres_and_normals_point_outward(surface: Surface) -> None:
    assert 1000 < len(surface.points) <= POINTS
    offset = surface.points[:, None] - CENTRES
    gap = offset.norm(dim=2) - RADII
    assert float(gap.abs().amin(1).quantile(0.98)) < 0.5 * surface.spacing
    outward = torch.nn.functional.normalize(offset[torch.arange(len(gap)), gap.abs().argmin(1)], dim=1)
    assert float((outward * surface.normals).sum(1).quantile(0.02)) > 0.8
    gaps = (surface.points[:200, None] - surface.points).norm(dim=2)
    assert float(gaps.topk(2, largest=False)[0][:, 1].median()) == pytest.approx(surface.spacing, rel=0.5)


def test_a_camera_sees_what_nothing_hides(surface: Surface) -> None:
    pose = camera(20, 25).float()
    sight = surface.sight(pose, CAMERA, render(pose, CAMERA))
    eye = pose[:3, 3]
    seen = torch.zeros(len(surface.points), dtype=torch.bool)
    for number, (point, normal) in enumerate(zip(surface.points, surface.normals)):
        along = torch.nn.functional.normalize(eye - point, dim=0)
        start = point + 0.06 * along - CENTRES  # (spheres, 3): a ray toward the camera, from just above the surface
        middle = (start @ along).clamp(max=0.0)
        free = bool(((start - middle[:, None] * along).norm(dim=1) > RADII).all())
        seen[number] = free and float(normal @ along) > 0.2
    assert float((seen == sight.seen).float().mean()) > 0.95
    assert 0.2 < float(seen.float().mean()) < 0.6
    rows, columns = sight.pixels[sight.seen] // 120, sight.pixels[sight.seen] % 120
    assert bool((render(pose, CAMERA).opacity[rows, columns] > 0.5).all())


def test_every_pixel_counts_for_the_point_nearest_to_it() -> None:
    sight = Sight(torch.tensor([2 * 8 + 2, 5 * 8 + 6, 0]), torch.tensor([0.9, 0.5, 0.0]))
    image = torch.zeros(8, 8)
    image[0, 0], image[7, 7] = 2.0, 3.0
    values = sampled(image, sight)
    assert values[:2].tolist() == [2.0, 3.0] and bool(values[2].isnan())
    assert bool(sampled(image, Sight(torch.zeros(3, dtype=torch.int64), torch.zeros(3))).isnan().all())


def test_the_largest_value_of_an_image_reaches_the_surface(surface: Surface) -> None:
    pose = camera(80, -10).float()
    sight = surface.sight(pose, CAMERA, render(pose, CAMERA))
    image = torch.rand(120, 120, generator=torch.Generator().manual_seed(0))
    values = sampled(image, sight)
    assert float(values.nan_to_num(0.0).max()) == float(image.max())
    inside = values[sight.seen] >= image.reshape(-1)[sight.pixels[sight.seen]]
    assert bool(inside.all()) and bool(values[~sight.seen].isnan().all())


def test_both_sides_of_a_thin_plate_are_kept() -> None:
    flat = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 1.0, 1e-3])
    up = torch.tensor([[0.0, 0.0, 1.0]]).expand(500, 3)
    plate = thinned_out(torch.cat([flat, flat]), torch.cat([up, -up]), torch.zeros(1000, 3), 0.1)
    assert sorted(set(plate.normals[:, 2].tolist())) == [-1.0, 1.0]
    assert len(plate.points) == 200


def test_poses_are_spread_and_neighbours_are_near(surface: Surface) -> None:
    chosen = spread_poses(POSES, 6)
    directions = torch.nn.functional.normalize(chosen[:, :3, 3], dim=1)
    closest = max(float(one @ two) for one, two in pairwise(directions))
    assert chosen.shape == (6, 4, 4) and closest < 0.7
    near = surface.neighbours(5)
    exact = (surface.points[17] - surface.points).norm(dim=1).topk(5, largest=False)[1]
    assert sorted(near[17].tolist()) == sorted(exact.tolist()) and int(near[17][0]) == 17
    assert Surface(*(torch.zeros(0, 3),) * 3, spacing=0.1).neighbours(5).shape == (0, 0)
