"""Pose refinement by damped Gauss-Newton steps on SE(3), coarse to fine.

iNeRF (arXiv:2012.05877) inverts a field by descending the photometric error through it. Here the field only renders a
few images with depth per query; between two renderings the pose is updated by image alignment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from inerf import se3
from inerf.judge import NO_AGREEMENT, PoseQuality, Refinement, check_inputs, measure_quality
from inerf.photometric import ReferenceSamples, normal_equations, sample_reference
from inerf.pyramid import (
    PyramidLevel,
    foreground_window,
    full_window,
    make_level,
    pyramid_factors,
    rendered_background,
)
from inerf.settings import RefineConfig
from utils.camera import Intrinsics
from utils.rendering import Renderer, RenderFn, Rendering
from utils.run_context import RunContext

_DAMPING = 1e-3  # Marquardt's, relative to the Hessian's diagonal
_MAX_STEP = 0.2  # of one Gauss-Newton step: radians, and share of the object's diameter
_SILHOUETTE_WEIGHT = 3.0  # weight of the silhouette term relative to the colour cost
_CONVERGED = 0.1  # pixels of a level; an update that moves the image by less ends the level
_PRUNE_MARGIN = 0.01  # ranking cost that is always tolerated beside the best candidate's
_SAME_POSE = 0.05  # radians, and share of the camera's distance, within which two poses are duplicates


@dataclass(frozen=True)
class _Candidate:
    """A pose hypothesis during the search."""

    pose: Tensor  # (4, 4) float64 on the CPU
    hypothesis: int
    quality: PoseQuality = NO_AGREEMENT
    last_motion: float = float("inf")  # image motion of the last update at this level, full-resolution pixels
    earlier_poses: tuple[Tensor, ...] = ()

    @property
    def ranking_cost(self) -> float:
        """Robust colour cost plus a silhouette term, because glare changes colours but not outlines."""
        return self.quality.cost + _SILHOUETTE_WEIGHT * (1.0 - self.quality.silhouette_iou)


class _CountingRenderer:
    """Calls ``render_fn`` with float32 poses on its device and counts the calls."""

    def __init__(self, render_fn: RenderFn, device: torch.device) -> None:
        self.render_fn, self.device, self.count = render_fn, device, 0

    def __call__(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        self.count += 1
        return self.render_fn(camera_to_world.float().to(self.device), intrinsics)


@dataclass(frozen=True)
class GaussNewton:
    """Damped Gauss-Newton steps between renderings, coarse to fine, from several coarse poses."""

    config: RefineConfig

    name: ClassVar[str] = "gauss_newton"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("refine",)

    def refine(
        self,
        query: Tensor,
        name: str,  # noqa: ARG002  every method's
        coarse_poses: Tensor,
        intrinsics: Intrinsics,
        renderer: Renderer,
        context: RunContext,  # noqa: ARG002  every method's
    ) -> Refinement:
        """Refine the coarse poses deterministically; see ``refine_pose``."""
        return refine_pose(query, coarse_poses, intrinsics, renderer.render, self.config)


def refine_pose(
    query: Tensor, coarse_poses: Tensor, intrinsics: Intrinsics, render_fn: RenderFn, config: RefineConfig
) -> Refinement:
    """Search the pose from which ``render_fn`` explains the query best, starting at several coarse poses.

    All coarse poses are aligned at the coarsest level (50 pixels); fewer and fewer of them proceed to the finer ones.
    The weights are robust, so that a defect does not bias the pose.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1], on the same plain background that ``render_fn`` draws.
        coarse_poses: (hypotheses, 4, 4) camera_to_world.
        intrinsics: camera of the query.
        render_fn: renders colour, opacity and depth of the object, on the query's device.
        config: limits and thresholds.
    Returns:
        The refinement; ``found`` is False where even the best pose leaves too much of the query unexplained.
    Raises:
        ValueError: where query, intrinsics and coarse poses do not fit together.
    """
    check_inputs(query, coarse_poses, intrinsics)
    render = _CountingRenderer(render_fn, query.device)
    candidates = [_Candidate(pose, index) for index, pose in enumerate(se3.renormalised(coarse_poses.double().cpu()))]
    background = rendered_background(candidates[0].pose, intrinsics, render)
    window = full_window(intrinsics)
    keep = config.beam_width
    for factor in pyramid_factors(intrinsics):
        level = make_level(query, intrinsics, background, window, factor)
        if not bool(level.foreground.any()):
            break  # a blank query cannot be aligned
        candidates = [replace(candidate, last_motion=float("inf")) for candidate in candidates]
        for _ in range(config.renders_per_level if factor > 1 else 2 * config.renders_per_level):
            candidates = _prune([_align(candidate, level, render, config) for candidate in candidates], keep, config)
            keep = max(keep - 1, 1)
            if all(candidate.last_motion < _CONVERGED * factor for candidate in candidates):
                break
        window = foreground_window(level) if factor == pyramid_factors(intrinsics)[0] else window
    best = candidates[0]
    poses = torch.stack([*best.earlier_poses, best.pose])
    return Refinement.of(poses, best.quality, best.hypothesis, render.count, config, query.device)


def _align(candidate: _Candidate, level: PyramidLevel, render: _CountingRenderer, config: RefineConfig) -> _Candidate:
    """Render once at the candidate's pose and take Gauss-Newton steps; a converged candidate is returned unchanged."""
    if candidate.last_motion < _CONVERGED * level.factor:
        return candidate
    samples = sample_reference(render(candidate.pose, level.intrinsics), level)
    if samples is None:
        return replace(candidate, quality=NO_AGREEMENT)
    iterations = config.steps_per_render if level.factor > 1 else 2 * config.steps_per_render
    motion = _gauss_newton(level, samples, min(1.0, config.geman_mcclure_scale * level.factor), iterations)
    return replace(
        candidate,
        pose=_moved_camera(candidate.pose, motion, samples.centre),
        quality=measure_quality(level, samples, motion, config),
        last_motion=_motion_pixels(motion, samples, level.intrinsics) * level.factor,
        earlier_poses=(*candidate.earlier_poses, candidate.pose),
    )


def _gauss_newton(level: PyramidLevel, samples: ReferenceSamples, scale: float, iterations: int) -> Tensor:
    """Align the samples to the query by damped Gauss-Newton steps; return their motion (4, 4)."""
    motion = torch.eye(4, dtype=torch.float64)
    for _ in range(iterations):
        equations = normal_equations(level.query, samples, level.intrinsics, motion, scale)
        diagonal = equations.hessian.diagonal()
        damping = _DAMPING * diagonal + 1e-9 * diagonal.mean() + 1e-12
        twist = torch.linalg.solve(equations.hessian + torch.diag(damping), -equations.gradient)
        motion = se3.exp(_limited(twist, samples)) @ motion
    return motion


def _limited(twist: Tensor, samples: ReferenceSamples) -> Tensor:
    """Shorten a twist (6,) to the largest trusted step."""
    ratios = [twist[:3].norm() / (_MAX_STEP * samples.radius * 2.0), twist[3:].norm() / _MAX_STEP]
    return twist / torch.stack(ratios).max().clamp(min=1.0)


def _motion_pixels(motion: Tensor, samples: ReferenceSamples, intrinsics: Intrinsics) -> float:
    """Estimate by how many pixels a motion (4, 4) of the surface moves its image."""
    distance = max(-float(samples.centre[2]), 1e-6)
    angle = (motion[:3, :3] - torch.eye(3, dtype=motion.dtype)).norm() / 2.0**0.5
    return intrinsics.focal_x / distance * float(motion[:3, 3].norm() + samples.radius * angle)


def _moved_camera(pose: Tensor, motion: Tensor, centre: Tensor) -> Tensor:
    """Return the camera (4, 4) that sees the surface where ``motion`` about ``centre`` carries it for ``pose``."""
    back = se3.inverse(motion)
    change = back.clone()
    change[:3, 3] = back[:3, 3] + centre - back[:3, :3] @ centre
    return pose @ change


def _prune(candidates: list[_Candidate], keep: int, config: RefineConfig) -> list[_Candidate]:
    """Return the best candidates, best first, without duplicates and without those far worse than the best."""
    ordered = sorted(candidates, key=lambda one: (one.ranking_cost, one.hypothesis))
    limit = config.prune_ratio * ordered[0].ranking_cost + _PRUNE_MARGIN
    kept: list[_Candidate] = []
    for candidate in ordered:
        too_costly = candidate.ranking_cost > limit
        if len(kept) < keep and not too_costly and not any(_same_pose(candidate.pose, one.pose) for one in kept):
            kept.append(candidate)
    return kept


def _same_pose(pose: Tensor, other: Tensor) -> bool:
    angle = (pose[:3, :3] - other[:3, :3]).norm() / 2.0**0.5
    shift = (pose[:3, 3] - other[:3, 3]).norm()
    return bool(angle < _SAME_POSE) and bool(shift < _SAME_POSE * pose[:3, 3].norm().clamp(min=1e-3))
