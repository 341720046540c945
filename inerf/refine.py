"""Pose refinement: the query aligned to what the object looks like, on SE(3), coarse to fine.

iNeRF (arXiv:2012.05877) inverts a field by descending the photometric error through it. Here the field is only asked
for pictures with depth, a few times a query; between two pictures the pose follows damped Gauss-Newton steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inerf import se3
from inerf.photometric import Samples, normal_equations, reference_samples
from inerf.pyramid import Level, background_of, coarse_camera, cut, factors, shown_window
from utils.camera import Intrinsics
from utils.config import RefineConfig
from utils.rendering import RenderFn, Rendering

REACH = 2  # pixels around the object that take part
_DAMPING = 1e-3  # of Marquardt, relative to the Hessian's diagonal
_SILHOUETTE = 3.0  # say of the silhouettes, relative to the colours, in ranking candidates
CONVERGED = 0.5  # full pixels that the last step may have moved the picture
_STILL = 0.1  # pixels of a level below which a step ends it
_SAME = 0.05  # radians, and part of the distance, within which two poses are one


@dataclass(frozen=True)
class Refinement:
    """The pose of a query, and how far to trust it."""

    camera_to_world: Tensor  # (4, 4) float32
    found: bool  # the object, seen from this pose, explains the query
    converged: bool  # the pose stood still at the end
    confidence: float  # in [0, 1]: overlap * (1 - cost)
    cost: float  # mean robust difference over what query or reference show, in [0, 1]
    overlap: float  # of the silhouettes of query and reference, intersection over union
    hypothesis: int  # the coarse pose that led here
    renderings: int  # pictures asked of render_fn
    trail: Tensor  # (poses, 4, 4) float32: the way from the coarse pose, first, to this pose, last


@dataclass(frozen=True)
class _Candidate:
    pose: Tensor  # (4, 4) float64 on the CPU
    hypothesis: int
    cost: float = 1.0
    overlap: float = 0.0
    step: float = float("inf")  # last motion at this level, full pixels
    before: tuple[Tensor, ...] = ()  # the poses that it had

    @property
    def badness(self) -> float:
        """What candidates are ranked by: lights may whiten whole faces, but leave the silhouette as it is."""
        return self.cost + _SILHOUETTE * (1.0 - self.overlap)


class _Counter:
    """A render_fn that takes poses of any type and counts its calls."""

    def __init__(self, render_fn: RenderFn, device: torch.device) -> None:
        self.render_fn, self.device, self.count = render_fn, device, 0

    def __call__(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        self.count += 1
        return self.render_fn(camera_to_world.float().to(self.device), intrinsics)


def refine_pose(
    query: Tensor, coarse_poses: Tensor, intrinsics: Intrinsics, render_fn: RenderFn, config: RefineConfig
) -> Refinement:
    """Pose from which ``render_fn`` explains the query best, searched from several coarse poses.

    All coarse poses are aligned at the coarsest resolution (50 pixels); fewer and fewer go on to the finer ones. The
    weights are robust, so that a defect does not pull the pose.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1], on the same plain background that ``render_fn`` draws.
        coarse_poses: (hypotheses, 4, 4) camera_to_world.
        intrinsics: camera of the query.
        render_fn: renders colour, opacity and depth of the object, on the query's device.
        config: limits and thresholds.
    Returns:
        Refinement; with ``found`` False where even the best pose leaves too much of the query unexplained.
    Raises:
        ValueError: where query, intrinsics and coarse poses do not fit together.
    """
    check_inputs(query, coarse_poses, intrinsics)
    pictures = _Counter(render_fn, query.device)
    candidates = [_Candidate(pose, index) for index, pose in enumerate(se3.renormalised(coarse_poses.double().cpu()))]
    empty = pictures(candidates[0].pose, coarse_camera(intrinsics))
    background = background_of(empty.colour, empty.opacity)
    window = (0, 0, intrinsics.width, intrinsics.height)
    keep = config.keep
    for factor in factors(intrinsics):
        level = cut(query, intrinsics, background, window, factor)
        if not bool(level.shown.any()):
            break  # a blank query: nothing to find
        candidates = [replace(candidate, step=float("inf")) for candidate in candidates]
        for _ in range(config.renderings if factor > 1 else 2 * config.renderings):
            candidates = _best([_align(candidate, level, pictures, config) for candidate in candidates], keep, config)
            keep = max(keep - 1, 1)
            if all(candidate.step < _STILL * factor for candidate in candidates):
                break
        window = shown_window(level) if factor == factors(intrinsics)[0] else window
    best = candidates[0]
    return Refinement(
        camera_to_world=se3.renormalised(best.pose).float().to(query.device),
        found=best.cost <= config.found_cost and best.overlap >= config.found_overlap,
        converged=best.step < CONVERGED,
        confidence=best.overlap * (1.0 - best.cost),
        cost=best.cost,
        overlap=best.overlap,
        hypothesis=best.hypothesis,
        renderings=pictures.count,
        trail=se3.renormalised(torch.stack([*best.before, best.pose])).float().to(query.device),
    )


def check_inputs(query: Tensor, coarse_poses: Tensor, intrinsics: Intrinsics) -> None:
    """ValueError where query, intrinsics and coarse poses do not fit together."""
    expected = (intrinsics.height, intrinsics.width, 3)
    if tuple(query.shape) != expected:
        raise ValueError(f"query must be {expected} as its intrinsics say, found {tuple(query.shape)}.")
    if coarse_poses.ndim != 3 or coarse_poses.shape[1:] != (4, 4) or len(coarse_poses) == 0:
        raise ValueError(
            f"coarse_poses must be (hypotheses, 4, 4) with one at least, found {tuple(coarse_poses.shape)}."
        )
    if not bool(coarse_poses.isfinite().all()) or not bool(query.isfinite().all()):
        raise ValueError("query and coarse_poses must be finite, found NaN or infinity.")


def _align(candidate: _Candidate, level: Level, pictures: _Counter, config: RefineConfig) -> _Candidate:
    """A candidate after one picture and the steps that follow from it; as it was, if it stands still already."""
    if candidate.step < _STILL * level.factor:
        return candidate
    samples = reference_samples(pictures(candidate.pose, level.intrinsics), level, REACH)
    if samples is None:
        return replace(candidate, cost=1.0, overlap=0.0)
    iterations = config.iterations if level.factor > 1 else 2 * config.iterations
    motion = _steps(level, samples, min(1.0, config.robust_scale * level.factor), iterations)
    cost = normal_equations(level.query, samples, level.intrinsics, motion, config.cost_scale).cost
    return replace(
        candidate,
        pose=_moved(candidate.pose, motion, samples.centre),
        cost=min(cost / samples.pixels, 1.0),
        overlap=samples.overlap,
        step=motion_pixels(motion, samples, level.intrinsics) * level.factor,
        before=(*candidate.before, candidate.pose),
    )


def _steps(level: Level, samples: Samples, scale: float, iterations: int) -> Tensor:
    """Motion (4, 4) that some damped Gauss-Newton steps give the samples toward the query."""
    motion = torch.eye(4, dtype=torch.float64)
    for _ in range(iterations):
        equations = normal_equations(level.query, samples, level.intrinsics, motion, scale)
        diagonal = equations.hessian.diagonal()
        lift = _DAMPING * diagonal + 1e-9 * diagonal.mean() + 1e-12
        twist = torch.linalg.solve(equations.hessian + torch.diag(lift), -equations.gradient)
        motion = se3.exp(_limited(twist, samples)) @ motion
    return motion


def _limited(twist: Tensor, samples: Samples) -> Tensor:
    """A twist shortened to what one step may be trusted with: 0.2 radians, or as much of the object's radius."""
    length = torch.stack([twist[:3].norm() / (0.2 * samples.radius * 2.0), twist[3:].norm() / 0.2]).max()
    return twist / length.clamp(min=1.0)


def motion_pixels(motion: Tensor, samples: Samples, intrinsics: Intrinsics) -> float:
    """About how many pixels a motion moves the picture of the surface."""
    distance = max(-float(samples.centre[2]), 1e-6)
    turn = (motion[:3, :3] - torch.eye(3, dtype=motion.dtype)).norm() / 2.0**0.5
    return intrinsics.focal_x / distance * float(motion[:3, 3].norm() + samples.radius * turn)


def _moved(pose: Tensor, motion: Tensor, centre: Tensor) -> Tensor:
    """The query's camera, once the surface has moved by ``motion`` about ``centre`` in the camera ``pose``."""
    back = se3.inverse(motion)
    change = back.clone()
    change[:3, 3] = back[:3, 3] + centre - back[:3, :3] @ centre
    return pose @ change


def _best(candidates: list[_Candidate], keep: int, config: RefineConfig) -> list[_Candidate]:
    """The best candidates, none of them twice, none of them hopeless beside the best."""
    ordered = sorted(candidates, key=lambda one: (one.badness, one.hypothesis))
    chosen: list[_Candidate] = []
    for candidate in ordered:
        hopeless = candidate.badness > config.give_up * ordered[0].badness + 0.01
        if len(chosen) < keep and not hopeless and not any(_same(candidate.pose, other.pose) for other in chosen):
            chosen.append(candidate)
    return chosen


def _same(pose: Tensor, other: Tensor) -> bool:
    turn = (pose[:3, :3] - other[:3, :3]).norm() / 2.0**0.5
    shift = (pose[:3, 3] - other[:3, 3]).norm()
    return bool(turn < _SAME) and bool(shift < _SAME * pose[:3, 3].norm().clamp(min=1e-3))
