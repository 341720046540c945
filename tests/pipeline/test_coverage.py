"""How much of the surface the training views showed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.coverage import surface_seen
from tests.inerf.scene import camera, render
from utils.camera import Intrinsics
from utils.rendering import Rendering

CAMERA = Intrinsics.from_angle(64, 64, 0.69)
POSES = torch.stack([camera(azimuth, elevation).float() for azimuth in (0, 90, 180, 270) for elevation in (-40, 40)])


class Sided:
    """Shows the spheres; one view showed the half above z = 0, and two that where x is above 0, too."""

    known = True

    def render_reference(self, pose: Tensor, intrinsics: Intrinsics) -> Rendering:
        up, right = pose[2, 3] > 0, pose[0, 3] > 0
        rendering = render(pose, intrinsics)
        seen = torch.full(rendering.opacity.shape, int(up) + int(up and right), dtype=torch.uint8)
        return Rendering(rendering.colour, rendering.opacity, rendering.depth, views_seen=seen if self.known else None)


def test_shares_are_of_what_shows_from_all_around() -> None:
    found = surface_seen(Sided(), POSES, CAMERA)  # type: ignore[arg-type]
    assert found is not None
    assert found[0] == pytest.approx(0.5, abs=0.1) and found[1] == pytest.approx(0.25, abs=0.1)


def test_a_field_that_does_not_know_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sided, "known", False)
    assert surface_seen(Sided(), POSES, CAMERA) is None  # type: ignore[arg-type]
