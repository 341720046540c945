"""The anomaly-free object: where an image of it was taken, and how it should look from there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inerf.judge import Refinement
from inerf.video import write_video
from pipeline.config import Config
from pipeline.methods import refinement_method
from retrieval.galleries import Gallery
from scoring.scorers import Comparison, compare_seen
from utils.camera import Intrinsics
from utils.exposure import match_exposure, match_renderer, undo_disturbance
from utils.progress import Stopwatch
from utils.rendering import Field, Rendering
from utils.run_context import RunContext


@dataclass(frozen=True)
class Explanation:
    """The anomaly-free object at a pose, and what of the query it does not explain."""

    camera_to_world: Tensor  # (4, 4) float32
    reference: Rendering
    anomaly_map: Tensor  # (height, width) float32, 0 or more
    anomaly_score: float  # its largest value


@dataclass(frozen=True)
class ReferenceModel:
    """The anomaly-free object, which can be rendered at the pose of any image of it."""

    config: Config
    intrinsics: Intrinsics  # of the working images
    context: RunContext
    field: Field
    gallery: Gallery

    @property
    def device(self) -> torch.device:
        """Where field and gallery are."""
        return self.context.device

    def locate(self, query: Tensor, name: str, clock: Stopwatch | None = None) -> Refinement:
        """Find the pose of a query: retrieve coarse poses, then refine them.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1], of the size of ``intrinsics``.
            name: with the seed it fixes every random choice.
            clock: adds up the seconds of both stages.
        """
        clock = clock or Stopwatch(self.device)
        with clock.stage("retrieve"):
            coarse_poses = self.gallery.retrieve(query, self.intrinsics, self.config.retrieval.hypotheses)
        with clock.stage("refine"):
            renderer = match_renderer(self.field, query, self.config.background_rgb)
            method = refinement_method(self.config)
            found = method.refine(query, name, coarse_poses, self.intrinsics, renderer, self.context)
        if self.config.inerf.save_video:
            path = self.config.result_dir / name / "video.gif"
            write_video(path, query, found.pose_history, self.intrinsics, renderer.render)
        return found

    def reference(self, query: Tensor, pose: Tensor, rendering: Rendering | None = None, without: int = 0) -> Rendering:
        """Render the anomaly-free object at ``pose`` (4, 4), exposed as ``query`` is where exposures vary.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1], of the size of ``intrinsics``.
            pose: camera_to_world.
            rendering: the field's own, where the pose search has made it at ``pose``.
            without: nearest training views that are not looked at.
        """
        if self.field.exposure_varies:  # then the search has changed its colours
            rendering = None
        rendering = self.field.render_reference(pose.to(self.device), self.intrinsics, rendering, without)
        return match_exposure(rendering, query, self.config.background_rgb) if self.field.exposure_varies else rendering

    def explain(
        self, query: Tensor, found: Refinement, comparison: Comparison, clock: Stopwatch | None = None
    ) -> Explanation:
        """Compare a query with the reference at the pose found; where there is a rival, the milder comparison counts.

        Args:
            query: as ``condition`` returns it.
            found: what ``locate`` returned.
            comparison: gives map and score.
            clock: adds up the seconds of rendering and comparing.
        """
        clock = clock or Stopwatch(self.device)
        poses = [found] if found.rival is None else [found, found.rival]
        each = (self.compare_at(query, one.camera_to_world, comparison, clock, one.rendering) for one in poses)
        return min(each, key=lambda explanation: explanation.anomaly_score)

    def compare_at(
        self,
        query: Tensor,
        pose: Tensor,
        comparison: Comparison,
        clock: Stopwatch,
        rendering: Rendering | None = None,
    ) -> Explanation:
        """Compare a query with the reference at ``pose`` (4, 4); see ``explain`` and ``reference``."""
        with clock.stage("render"):
            reference = self.reference(query, pose, rendering)
        with clock.stage("compare"):
            return Explanation(pose, reference, *compare_seen(comparison, query, reference))

    def condition(self, query: Tensor) -> Tensor:
        """Move a query to the device, with the brightness and noise level of the training views restored."""
        return undo_disturbance(query.to(self.device), self.config.background_rgb)
