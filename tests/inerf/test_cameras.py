"""Cameras of views come back from small disturbances, and drift together is taken out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from inerf.cameras import align_cameras, without_drift
from tests.inerf import scene
from tests.inerf.disturbed import disturbed
from utils.camera import Intrinsics, pose_errors, project_points
from utils.exposure import apply_gain
from utils.rendering import Rendering
from utils.views import Views

CAMERA = Intrinsics.from_angle(96, 96, 0.69)


@dataclass(frozen=True)
class ExactField:
    """The world of spheres, with a gain on its colours."""

    gain: float = 1.0
    exposure_varies: bool = False

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        return apply_gain(scene.render(camera_to_world, intrinsics), torch.tensor(self.gain), torch.ones(3))


@pytest.fixture(scope="module")
def views() -> Views:
    poses = torch.stack([scene.camera(73 * number, 60 * (number % 3) - 50) for number in range(8)]).float()
    images = torch.stack([scene.render(pose, CAMERA, oversample=4).colour for pose in poses])
    images = (255 * images).round().to(torch.uint8)
    return Views(images, None, poses, CAMERA, tuple("abcdefgh"), (1.0, 1.0, 1.0))


def image_errors(poses: Tensor, truth: Tensor) -> Tensor:
    """Return by how many pixels the surfaces' images are off in the mean, for each view."""
    errors = []
    for pose, true in zip(poses, truth):
        one, other = (project_points(scene.CENTRES, CAMERA, each)[0] for each in (pose, true))
        errors.append((one - other).norm(dim=1).mean())
    return torch.stack(errors)


@pytest.mark.parametrize("field", [ExactField(), ExactField(0.8, exposure_varies=True)])
def test_disturbed_cameras_come_back(views: Views, field: ExactField) -> None:
    given = disturbed(views, 0.6, 0.01)
    poses, pixels = align_cameras(given, given.camera_to_world, field, renders=2)  # type: ignore[arg-type]  # what it needs of a field
    before = image_errors(given.camera_to_world, views.camera_to_world)
    after = image_errors(poses, views.camera_to_world)
    assert before.median() > 0.6 and after.max() < 0.2
    torch.testing.assert_close(pixels, before, atol=0.35, rtol=0.35)


def test_exact_cameras_stay_and_rows_are_chosen(views: Views) -> None:
    poses, pixels = align_cameras(views, views.camera_to_world, ExactField(), rows=[1, 5])  # type: ignore[arg-type]
    assert len(poses) == 2 and pixels.max() < 0.1
    assert image_errors(poses, views.camera_to_world[[1, 5]]).max() < 0.1


def test_drift_together_is_taken_out_and_the_rest_stays(views: Views) -> None:
    given = views.camera_to_world
    similarity = scene.camera(40, 20)
    moved = similarity @ given.double()
    moved[:, :3, 3] *= 1.1
    for pose, back in zip(given, without_drift(moved.float(), given)):
        angle, distance = pose_errors(back, pose)
        assert angle < 1e-5 and distance < 1e-4
    single = given.clone()
    single[2, 0, 3] += 0.2
    held = without_drift(single, given)
    assert pose_errors(held[2], given[2])[1] > 0.1
    assert max(pose_errors(held[row], given[row])[1] for row in (0, 1, 3, 4, 5, 6, 7)) < 0.1
