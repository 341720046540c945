"""Pose refinement by damped Gauss-Newton steps on SE(3), coarse to fine.

iNeRF (arXiv:2012.05877) inverts a field by descending the photometric error through it. Here the field only renders a
few images with depth per query; between two renderings the pose is updated by image alignment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from inerf import se3
from inerf.judge import NO_AGREEMENT, PoseQuality, Refinement, check_inputs, measure_quality
from inerf.photometric import ReferenceSamples, normal_equations, sample_reference
from inerf.pyramid import (
    PyramidLevel,
    coarsest_camera,
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
_UNSEEN, _UNSEEN_SHARE = 0.1, 1 / 4000  # the same at full resolution: pixels, and at most this share of the longer side
_PRUNE_MARGIN = 0.01  # ranking cost that is always tolerated beside the best candidate's
_COARSEST_RENDERS = 1  # more of them at the coarsest level, where a pose starts some ten degrees off
_EQUAL = 1.1  # ranking cost, relative to the best candidate's, up to which a candidate explains the query as well
_SAME_POSE = 0.05  # radians, and share of the camera's distance, within which two poses are duplicates


@dataclass(frozen=True)
class _Candidate:
    """A pose hypothesis during the search."""

    pose: np.ndarray  # (4, 4) float64
    hypothesis: int
    quality: PoseQuality = NO_AGREEMENT
    last_motion: float = float("inf")  # image motion of the last update at this level, full-resolution pixels
    earlier_poses: tuple[np.ndarray, ...] = ()
    rendering: Rendering | None = None  # of the whole frame at the pose, where the search made it

    @property
    def ranking_cost(self) -> float:
        """Robust colour cost plus a silhouette term, because glare changes colours but not outlines."""
        return self.quality.cost + _SILHOUETTE_WEIGHT * (1.0 - self.quality.silhouette_iou)


class _CountingRenderer:
    """Renders candidates for levels and counts the renderings; one that is asked for twice in a row is made once."""

    def __init__(self, render_fn: RenderFn, intrinsics: Intrinsics, device: torch.device) -> None:
        self.render_fn, self.intrinsics, self.device, self.count = render_fn, intrinsics, device, 0
        self.last: tuple[bytes, Intrinsics, Rendering] | None = None

    def __call__(self, camera_to_world: np.ndarray, intrinsics: Intrinsics) -> Rendering:
        asked = (camera_to_world.tobytes(), intrinsics)
        if self.last is None or self.last[:2] != asked:
            self.count += 1
            pose = se3.renormalised(torch.from_numpy(camera_to_world)).float()  # as the refinement will state it
            self.last = (*asked, self.render_fn(pose.to(self.device), intrinsics))
        return self.last[2]

    def whole(self, pose: np.ndarray) -> Rendering:
        """Render the query's whole frame."""
        return self(pose, self.intrinsics)

    def part(self, pose: np.ndarray, level: PyramidLevel) -> Rendering:
        """Render what a level shows: at full resolution a part of ``whole``, which may become the reference."""
        if level.factor > 1:
            return self(pose, level.intrinsics)
        whole, (x, y, width, height) = self.whole(pose), level.window
        at = (slice(y, y + height), slice(x, x + width))
        return Rendering(whole.colour[at], whole.opacity[at], whole.depth[at])


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
    The weights are robust, so that a defect does not bias the pose. Where a second pose explains the query as well to
    the end, as poses of symmetric objects do, it comes with the best one, as its ``rival``.

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
    render = _CountingRenderer(render_fn, intrinsics, query.device)
    starts = se3.renormalised(coarse_poses.double().cpu()).numpy()
    candidates = [_Candidate(pose, index) for index, pose in enumerate(starts)]
    background = rendered_background(render(candidates[0].pose, coarsest_camera(intrinsics)))
    window = full_window(intrinsics)
    keep, factors = config.beam_width, pyramid_factors(intrinsics)
    for factor in factors:
        level = make_level(query, intrinsics, background, window, factor)
        if not bool(level.foreground.any()):
            break  # a blank query cannot be aligned
        candidates = [replace(candidate, last_motion=float("inf")) for candidate in candidates]
        coarsest = factor == factors[0]
        renders = config.renders_per_level + (_COARSEST_RENDERS if coarsest else 0)
        for number in range(renders if factor > 1 else 2 * renders):
            aligned = [_align(candidate, level, render, config) for candidate in candidates]
            if coarsest and number < renders - 1:
                candidates = _distinct(aligned)  # who is best shows where all have come
                continue
            candidates = _prune(aligned, keep, config)
            keep = max(keep - 1, 1)
            if all(candidate.last_motion < _least_motion(level, render) for candidate in candidates):
                break
        window = foreground_window(level) if coarsest else window
    ends = (_refinement(candidate, render, config, query.device) for candidate in _prune(candidates, 1, config))
    best, *rivals = ends
    return best.with_rival(rivals[0]) if rivals and rivals[0].found else best


def _refinement(
    candidate: _Candidate, render: _CountingRenderer, config: RefineConfig, device: torch.device
) -> Refinement:
    """Return the refinement that ends in a candidate."""
    poses = torch.from_numpy(np.stack([*candidate.earlier_poses, candidate.pose]))
    found = Refinement.of(poses, candidate.quality, candidate.hypothesis, render.count, config, device)
    return replace(found, rendering=candidate.rendering)


def _least_motion(level: PyramidLevel, render: _CountingRenderer) -> float:
    """Return the motion, in pixels of the query, below which another rendering is not worth it.

    At full resolution the last rendering becomes the reference.
    """
    if level.factor > 1:
        return _CONVERGED * level.factor
    return min(_UNSEEN, _UNSEEN_SHARE * max(render.intrinsics.width, render.intrinsics.height))


def _align(candidate: _Candidate, level: PyramidLevel, render: _CountingRenderer, config: RefineConfig) -> _Candidate:
    """Render once at the candidate's pose and take Gauss-Newton steps; a converged candidate is returned unchanged.

    At full resolution an update too small to be seen is not made, so that the rendering is of the pose.
    """
    least_motion = _least_motion(level, render)
    if candidate.last_motion < least_motion:
        return candidate
    samples = sample_reference(render.part(candidate.pose, level), level)
    if samples is None:
        return replace(candidate, quality=NO_AGREEMENT)
    iterations = config.steps_per_render if level.factor > 1 else 2 * config.steps_per_render
    motion = _gauss_newton(level, samples, min(1.0, config.geman_mcclure_scale * level.factor), iterations)
    last_motion = _motion_pixels(motion, samples, level.intrinsics) * level.factor
    moved = replace(
        candidate,
        pose=_moved_camera(candidate.pose, motion, samples.centre),
        quality=measure_quality(level, samples, motion, config),
        last_motion=last_motion,
        earlier_poses=(*candidate.earlier_poses, candidate.pose),
    )
    if level.factor > 1 or last_motion >= least_motion:
        return moved
    whole = render.whole(candidate.pose)
    return replace(candidate, quality=moved.quality, last_motion=last_motion, rendering=whole)


def _gauss_newton(level: PyramidLevel, samples: ReferenceSamples, scale: float, iterations: int) -> np.ndarray:
    """Align the samples to the query by damped Gauss-Newton steps; return their motion (4, 4)."""
    motion = np.eye(4)
    for _ in range(iterations):
        equations = normal_equations(level.query, samples, level.intrinsics, motion, scale)
        diagonal = equations.hessian.diagonal()
        damping = _DAMPING * diagonal + 1e-9 * diagonal.mean() + 1e-12
        twist = np.linalg.solve(equations.hessian + np.diag(damping), -equations.gradient)
        motion = se3.exp_numpy(_limited(twist, samples)) @ motion
    return motion


def _limited(twist: np.ndarray, samples: ReferenceSamples) -> np.ndarray:
    """Shorten a twist (6,) to the largest trusted step."""
    shift, angle = np.linalg.norm(twist[:3]), np.linalg.norm(twist[3:])
    return twist / max(shift / (_MAX_STEP * samples.radius * 2.0), angle / _MAX_STEP, 1.0)


def _motion_pixels(motion: np.ndarray, samples: ReferenceSamples, intrinsics: Intrinsics) -> float:
    """Estimate by how many pixels a motion (4, 4) of the surface moves its image."""
    distance = max(-float(samples.centre[2]), 1e-6)
    angle = np.linalg.norm(motion[:3, :3] - np.eye(3)) / 2.0**0.5
    return float(intrinsics.focal_x / distance * (np.linalg.norm(motion[:3, 3]) + samples.radius * angle))


def _moved_camera(pose: np.ndarray, motion: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the camera (4, 4) that sees the surface where ``motion`` about ``centre`` carries it for ``pose``."""
    change = np.linalg.inv(motion)
    change[:3, 3] += centre - change[:3, :3] @ centre
    return pose @ change


def _prune(candidates: list[_Candidate], keep: int, config: RefineConfig) -> list[_Candidate]:
    """Return the best candidates, best first, without duplicates and without those far worse than the best.

    The second stays where it is as good as the best.
    """
    kept = _distinct(candidates)
    least = kept[0].ranking_cost
    limit = config.prune_ratio * least + _PRUNE_MARGIN
    keep = max(keep, 2 if len(kept) > 1 and kept[1].ranking_cost <= _EQUAL * least else 1)
    return [candidate for candidate in kept if candidate.ranking_cost <= limit][:keep]


def _distinct(candidates: list[_Candidate]) -> list[_Candidate]:
    """Return the candidates, best first, without duplicates."""
    kept: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda one: (one.ranking_cost, one.hypothesis)):
        if not any(_same_pose(candidate.pose, one.pose) for one in kept):
            kept.append(candidate)
    return kept


def _same_pose(pose: np.ndarray, other: np.ndarray) -> bool:
    angle = np.linalg.norm(pose[:3, :3] - other[:3, :3]) / 2.0**0.5
    shift = np.linalg.norm(pose[:3, 3] - other[:3, 3])
    return bool(angle < _SAME_POSE and shift < _SAME_POSE * max(float(np.linalg.norm(pose[:3, 3])), 1e-3))
