"""What good views look like on the object's surface, from which parts that several photos show are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from pipeline.held_out import HeldOutPair
from pipeline.reference_model import ReferenceModel
from pipeline.surface import Surface, collect_surface, sampled, smaller, spread_poses
from scoring.parts import NEIGHBOURS, GoodViews
from utils.checkpoint import load_tensors, save_tensors

KIND = "good_parts"


@dataclass(frozen=True)
class GoodParts:
    """The object's surface, what held-out good views score on it, and from where it can be photographed."""

    surface: Surface
    values: Tensor  # (views, points) float16: anomaly maps of the good views at the points; NaN where not seen
    poses: Tensor  # (candidates, 4, 4) float32: from where a photo may be proposed
    facing: Tensor  # (candidates, points) float16: see ``Sight.facing``

    @cached_property
    def views(self) -> GoodViews:
        """What parts are compared with."""
        return GoodViews(self.values, self.surface.neighbours(NEIGHBOURS))

    def save(self, path: Path) -> None:
        """Write a ``.safetensors`` file."""
        surface = self.surface
        tensors = {"points": surface.points, "normals": surface.normals, "colours": surface.colours}
        own = {"values": self.values, "poses": self.poses, "facing": self.facing}
        save_tensors(path, {**tensors, **own}, {"kind": KIND, "spacing": surface.spacing})

    @staticmethod
    def load(path: Path) -> GoodParts:
        """Load what ``save`` wrote."""
        tensors, header = load_tensors(path)
        surface = Surface(tensors["points"], tensors["normals"], tensors["colours"], float(header["spacing"]))
        return GoodParts(surface, tensors["values"], tensors["poses"], tensors["facing"])


def learn_good_parts(pairs: Sequence[HeldOutPair], maps: Sequence[Tensor], model: ReferenceModel) -> GoodParts:
    """Collect the surface, and lay the anomaly maps of held-out good views on it.

    Args:
        pairs: the views with their references.
        maps: (height, width) of each.
        model: that rendered the references.
    """
    poses = spread_poses(model.gallery.camera_to_world)
    surface, small = collect_surface(model.field, poses, model.intrinsics), smaller(model.intrinsics)
    facing = [surface.sight(pose, small, model.field.render(pose, small)).facing for pose in poses]
    return GoodParts(surface, laid_on(surface, pairs, maps, model), poses, torch.stack(facing).half())


def laid_on(surface: Surface, pairs: Sequence[HeldOutPair], maps: Sequence[Tensor], model: ReferenceModel) -> Tensor:
    """Return the anomaly maps of good views on the surface, (pairs, points) float16; NaN where not seen."""
    values = [
        sampled(anomaly_map, surface.sight(pair.camera_to_world, model.intrinsics, pair.reference))
        for pair, anomaly_map in zip(pairs, maps)
    ]
    return torch.stack(values).half()
