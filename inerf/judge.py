"""Judges how well the object, seen from a pose, explains the query."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from inerf import se3
from inerf.photometric import ReferenceSamples, normal_equations, sample_reference
from inerf.pyramid import PyramidLevel, coarsest_camera, full_window, make_level, pyramid_factors, rendered_background
from inerf.settings import RefineConfig
from utils.camera import Intrinsics
from utils.rendering import RenderFn, Rendering


@dataclass(frozen=True)
class PoseQuality:
    """Agreement of a query with the object rendered at a pose."""

    cost: float  # mean robust colour difference over what query or reference show, in [0, 1]
    silhouette_iou: float  # intersection over union of the silhouettes of query and reference

    @property
    def confidence(self) -> float:
        """Confidence in the pose, in [0, 1]."""
        return self.silhouette_iou * (1.0 - self.cost)

    def found(self, config: RefineConfig) -> bool:
        """Return whether the pose explains the query."""
        return self.cost <= config.max_cost and self.silhouette_iou >= config.min_silhouette_iou


NO_AGREEMENT = PoseQuality(1.0, 0.0)


@dataclass(frozen=True)
class Refinement:
    """The refined pose of a query, and how far to trust it."""

    camera_to_world: Tensor  # (4, 4) float32
    found: bool  # whether the object, seen from this pose, explains the query
    confidence: float  # in [0, 1]: silhouette_iou * (1 - cost), shared with the rival if there is one
    cost: float  # see PoseQuality
    silhouette_iou: float  # see PoseQuality
    hypothesis: int  # index of the coarse pose from which this pose was reached
    render_count: int  # number of images rendered
    pose_history: Tensor  # (poses, 4, 4) float32, from the coarse pose to this pose
    rendering: Rendering | None = None  # of the whole frame at this pose, where the search made it
    rival: Refinement | None = None  # another pose, from which the object explains the query as well

    def with_rival(self, rival: Refinement) -> Refinement:
        """Return this refinement with another that explains the query as well, both at half the confidence."""
        return replace(self, confidence=self.confidence / 2, rival=replace(rival, confidence=rival.confidence / 2))

    @staticmethod
    def of(
        poses: Tensor,
        quality: PoseQuality,
        hypothesis: int,
        render_count: int,
        config: RefineConfig,
        device: torch.device,
    ) -> Refinement:
        """Return the refinement on ``device`` that ends at the last of ``poses`` (poses, 4, 4)."""
        history = se3.renormalised(poses).float().to(device)
        found, confidence = quality.found(config), quality.confidence
        cost, iou = quality.cost, quality.silhouette_iou
        return Refinement(history[-1], found, confidence, cost, iou, hypothesis, render_count, history)


def measure_quality(
    level: PyramidLevel, samples: ReferenceSamples, motion: np.ndarray, config: RefineConfig
) -> PoseQuality:
    """Measure how well ``samples`` of a reference agree with the query after ``motion`` (4, 4)."""
    cost = normal_equations(level.query, samples, level.intrinsics, motion, config.cost_scale).cost
    return PoseQuality(min(cost / samples.pixels, 1.0), samples.silhouette_iou)


def judge(
    pose: Tensor, query: Tensor, intrinsics: Intrinsics, render_fn: RenderFn, config: RefineConfig
) -> PoseQuality:
    """Judge a pose (4, 4) by a rendering at the coarsest pyramid level (50 pixels).

    Args:
        query: (height, width, 3) float32 RGB in [0, 1], on the plain background that ``render_fn`` draws.
        intrinsics: camera of the query.
    """
    rendering = render_fn(pose.float(), coarsest_camera(intrinsics))
    background = rendered_background(rendering)
    level = make_level(query, intrinsics, background, full_window(intrinsics), pyramid_factors(intrinsics)[0])
    samples = sample_reference(rendering, level)
    if samples is None:
        return NO_AGREEMENT
    return measure_quality(level, samples, np.eye(4), config)


def check_inputs(query: Tensor, coarse_poses: Tensor, intrinsics: Intrinsics) -> None:
    """Raise a ValueError where query, intrinsics and coarse poses do not fit together."""
    expected = (intrinsics.height, intrinsics.width, 3)
    if tuple(query.shape) != expected:
        raise ValueError(f"query must be {expected} as its intrinsics say, found {tuple(query.shape)}.")
    if coarse_poses.ndim != 3 or coarse_poses.shape[1:] != (4, 4) or len(coarse_poses) == 0:
        raise ValueError(f"coarse_poses must be (hypotheses, 4, 4), at least one, found {tuple(coarse_poses.shape)}.")
    if not bool(coarse_poses.isfinite().all()) or not bool(query.isfinite().all()):
        raise ValueError("query and coarse_poses must be finite, found NaN or infinity.")
