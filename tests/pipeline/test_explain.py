"""Which of two poses counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import pytest
import torch
from torch import Tensor

from inerf.judge import PoseQuality, Refinement
from inerf.settings import RefineConfig
from pipeline.config import Config
from pipeline.methods import run_context
from pipeline.reference_model import ReferenceModel
from retrieval.galleries import Gallery
from utils.camera import Intrinsics
from utils.rendering import Field, Rendering

CAMERA = Intrinsics.from_angle(8, 8, 0.7)


@dataclass(frozen=True)
class Shades:
    """A field whose grey is the camera's height."""

    exposure_varies: bool = False

    def render_reference(
        self, pose: Tensor, intrinsics: Intrinsics, rendering: Rendering | None = None, without: int = 0
    ) -> Rendering:
        assert rendering is None and without == 0
        return Rendering(torch.full((8, 8, 3), float(pose[2, 3])), torch.ones(8, 8), torch.ones(8, 8))


class Difference:
    """The largest difference."""

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        anomaly_map = (query - reference.colour).abs().amax(-1)
        return anomaly_map, float(anomaly_map.max())


def at_height(height: float) -> Refinement:
    pose = torch.eye(4)
    pose[2, 3] = height
    return Refinement.of(pose[None].double(), PoseQuality(0.1, 0.9), 0, 1, RefineConfig(), torch.device("cpu"))


@pytest.mark.parametrize("heights", [(0.5, 0.8), (0.8, 0.5)])
def test_milder_of_two_poses_counts(heights: tuple[float, float]) -> None:
    config = Config(device="cpu")
    model = ReferenceModel(config, CAMERA, run_context(config), cast(Field, Shades()), cast(Gallery, None))
    first, second = (at_height(height) for height in heights)
    query = torch.full((8, 8, 3), 0.4)
    found = first.with_rival(second)
    assert found.confidence == pytest.approx(first.confidence / 2) == cast(Refinement, found.rival).confidence
    best = model.explain(query, found, Difference())
    assert float(best.camera_to_world[2, 3]) == 0.5 and best.anomaly_score == pytest.approx(0.1)
    assert float(best.reference.colour[0, 0, 0]) == 0.5
    alone = model.explain(query, replace(found, rival=None), Difference())
    assert float(alone.camera_to_world[2, 3]) == pytest.approx(heights[0])
