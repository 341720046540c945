"""Pose refinement: the query aligned to what the object looks like, on SE(3), coarse to fine.

iNeRF (arXiv:2012.05877) inverts a field by descending the photometric error through it. Here the field is only asked
for pictures with depth, a few times a query; between two pictures the pose follows Levenberg and Marquardt's steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from inerf import se3
from inerf.photometric import Equations, Samples, normal_equations, reference_samples, with_derivatives
from utils.camera import Intrinsics
from utils.config import RefineConfig
from utils.rendering import Rendering, RenderFn

_COARSEST_SIDE = 50  # pixels of the longer side where the search begins
DAMP = 1e-2
BLUR = 0
OVER=1
SCALES={8: 1.0, 4: 0.6, 2: 0.3, 1: 0.15}
_DIFFERS = 0.04  # largest channel difference to the background from which a query's pixel shows something


@dataclass(frozen=True)
class Refinement:
    """The pose of a query, and how far to trust it."""

    camera_to_world: Tensor  # (4, 4) float32
    found: bool  # the object, seen from this pose, explains the query
    converged: bool  # the last step was small
    confidence: float  # in [0, 1]: how much of the object agrees with the query
    cost: float  # mean Geman-McClure difference over the object, in [0, 1]
    hypothesis: int  # which coarse pose led here
    renderings: int  # pictures asked of render_fn


@dataclass(frozen=True)
class _Level:
    """The query at one resolution, cut to the object."""

    query: Tensor  # (height, width, 9) RGB and derivatives
    shown: Tensor  # (height, width) bool: differs from the background
    intrinsics: Intrinsics
    factor: int  # full pixels a pixel


@dataclass(frozen=True)
class _Candidate:
    pose: Tensor  # (4, 4) float64 on the CPU
    hypothesis: int
    cost: float = float("inf")
    step: float = float("inf")  # last motion, full pixels


def refine_pose(
    query: Tensor, coarse_poses: Tensor, intrinsics: Intrinsics, render_fn: RenderFn, config: RefineConfig
) -> Refinement:
    """Pose from which ``render_fn`` explains the query best, searched from several coarse poses.

    All coarse poses are aligned at an eighth of the resolution; fewer and fewer of them go on to the finer levels. The
    weights are robust, so that a defect does not pull the pose.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1], on the same plain background that ``render_fn`` draws.
        coarse_poses: (hypotheses, 4, 4) camera_to_world.
        intrinsics: camera of the query.
        render_fn: renders colour, opacity and depth of the object.
        config: limits and thresholds.
    Returns:
        Refinement; with ``found`` False where even the best pose leaves too much of the query unexplained.
    Raises:
        ValueError: where query, intrinsics and coarse poses do not fit together.
    """
    _check(query, coarse_poses, intrinsics)
    counter = _Counter(render_fn)
    poses = se3.renormalised(coarse_poses.detach().double().cpu())
    background = _background(counter(poses[0].float().to(query.device), _coarse_camera(intrinsics)))
    factors = _factors(intrinsics)
    candidates = [_Candidate(pose, index) for index, pose in enumerate(poses)]
    window = (0, 0, intrinsics.width, intrinsics.height)
    level = None
    for stage, factor in enumerate(factors):
        level = _level(query, intrinsics, background, window, factor)
        if not bool(level.shown.any()):
            return _nothing(poses[0], counter.count)
        candidates = [_align(candidate, level, counter, config) for candidate in candidates]
        candidates = _best(candidates, max(config.keep - stage, 1), config)
        if stage == 0:
            window = _window(level, intrinsics, factors[0])
    best = candidates[0]
    confidence = max(0.0, 1.0 - best.cost)
    return Refinement(
        camera_to_world=se3.renormalised(best.pose).float().to(query.device),
        found=best.cost <= config.found_cost,
        converged=best.step < 0.3,
        confidence=confidence,
        cost=best.cost,
        hypothesis=best.hypothesis,
        renderings=counter.count,
    )


class _Counter:
    """Counts the pictures asked of a render_fn."""

    def __init__(self, render_fn: RenderFn) -> None:
        self.render_fn = render_fn
        self.count = 0

    def __call__(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        self.count += 1
        return self.render_fn(camera_to_world, intrinsics)


def _check(query: Tensor, coarse_poses: Tensor, intrinsics: Intrinsics) -> None:
    expected = (intrinsics.height, intrinsics.width, 3)
    if tuple(query.shape) != expected:
        raise ValueError(f"query must be {expected} as its intrinsics say, found {tuple(query.shape)}.")
    if coarse_poses.ndim != 3 or coarse_poses.shape[1:] != (4, 4) or len(coarse_poses) == 0:
        raise ValueError(f"coarse_poses must be (hypotheses, 4, 4) with one at least, found {tuple(coarse_poses.shape)}.")
    if not bool(coarse_poses.isfinite().all()) or not bool(query.isfinite().all()):
        raise ValueError("query and coarse_poses must be finite, found NaN or infinity.")


def _factors(intrinsics: Intrinsics) -> list[int]:
    """Full pixels a pixel at each level, coarsest first: 8, 4, 2, 1 for a side of 400."""
    factor = 1
    while max(intrinsics.width, intrinsics.height) / (2 * factor) >= _COARSEST_SIDE:
        factor *= 2
    return [factor >> level for level in range(factor.bit_length())]


def _level(query: Tensor, intrinsics: Intrinsics, background: Tensor, window: tuple[int, ...], factor: int) -> _Level:
    """The query within ``window`` (x, y, width, height in full pixels), averaged down by ``factor``."""
    x, y, width, height = window
    columns, rows = width // factor, height // factor
    part = query[y : y + rows * factor, x : x + columns * factor]
    if factor > 1:
        part = functional.avg_pool2d(part.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0)
    camera = replace(
        intrinsics,
        width=columns * factor,
        height=rows * factor,
        centre_x=intrinsics.centre_x - x,
        centre_y=intrinsics.centre_y - y,
    )
    shown = (part - background).abs().amax(-1) > _DIFFERS
    if BLUR and factor > BLUR - 1:
        part = _blurred(part)
    return _Level(with_derivatives(part), shown, camera.resized(columns, rows), factor)


def _window(level: _Level, intrinsics: Intrinsics, factor: int) -> tuple[int, int, int, int]:
    """The part of the frame around what the query shows, with a margin, in whole coarse pixels."""
    rows = level.shown.any(1).nonzero().squeeze(-1)
    columns = level.shown.any(0).nonzero().squeeze(-1)
    margin = 2
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    bottom = min(int(rows[-1]) + 1 + margin, level.shown.shape[0])
    right = min(int(columns[-1]) + 1 + margin, level.shown.shape[1])
    return left * factor, top * factor, (right - left) * factor, (bottom - top) * factor


def _coarse_camera(intrinsics: Intrinsics) -> Intrinsics:
    factor = _factors(intrinsics)[0]
    return intrinsics.resized(max(intrinsics.width // factor, 1), max(intrinsics.height // factor, 1))


def _background(rendering: Rendering) -> Tensor:
    """The colour (3,) that is drawn where there is no object."""
    return rendering.colour.reshape(-1, 3)[rendering.opacity.reshape(-1).argmin()]


def _dilated(mask: Tensor, reach: int) -> Tensor:
    return functional.max_pool2d(mask.float()[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0] > 0


def _align(candidate: _Candidate, level: _Level, render_fn: RenderFn, config: RefineConfig) -> _Candidate:
    """One hypothesis aligned at one level: picture, a few steps, picture again, until it stands still."""
    reach = 2
    device = level.query.device
    for _ in range(config.renderings):
        rendering = _picture(candidate, level, render_fn, device)
        object_pixels = level.shown | (rendering.opacity > 0.5)
        samples = reference_samples(rendering, _dilated(object_pixels, reach), level.intrinsics, reach)
        if samples is None:
            return replace(candidate, cost=float("inf"))
        difference = (level.query[..., :3] - rendering.colour)[object_pixels].square().sum(-1)
        scale = SCALES[level.factor]
        motion = _steps(level, samples, scale, config.iterations)
        final = normal_equations(level.query, samples, level.intrinsics, motion, config.cost_scale)
        shift = _pixels(se3.log(motion), samples, level.intrinsics) * level.factor
        candidate = replace(
            candidate,
            pose=_moved(candidate.pose, motion, samples.centre),
            cost=final.cost / max(int(object_pixels.sum()), 1),
            step=shift,
        )
        if shift < 0.1 * level.factor:
            break
    return candidate


def _steps(level: _Level, samples: Samples, scale: float, iterations: int) -> Tensor:
    """Motion (4, 4) of the samples onto the query after some damped Gauss-Newton steps."""
    motion = torch.eye(4, dtype=torch.float64)
    for _ in range(iterations):
        twist = _twist(normal_equations(level.query, samples, level.intrinsics, motion, scale), DAMP)
        motion = se3.exp(twist) @ motion
        if _pixels(twist, samples, level.intrinsics) < 0.01:
            break
    return motion


def _twist(equations: Equations, damping: float) -> Tensor:
    """The damped step (6,) of the normal equations."""
    diagonal = equations.hessian.diagonal()
    lift = damping * diagonal + 1e-9 * diagonal.mean() + 1e-12
    return -torch.linalg.solve(equations.hessian + torch.diag(lift), equations.gradient)


def _pixels(twist: Tensor, samples: Samples, intrinsics: Intrinsics) -> float:
    """About how many pixels a twist moves the picture of the surface."""
    distance = max(-float(samples.centre[2]), 1e-6)
    return intrinsics.focal_x / distance * float(twist[:3].norm() + samples.radius * twist[3:].norm())


def _moved(pose: Tensor, motion: Tensor, centre: Tensor) -> Tensor:
    """The query's camera, once the surface has moved by ``motion`` about ``centre`` in the camera ``pose``."""
    about = torch.eye(4, dtype=torch.float64)
    about[:3, 3] = centre
    return pose @ about @ se3.inverse(motion) @ se3.inverse(about)


def _best(candidates: list[_Candidate], keep: int, config: RefineConfig) -> list[_Candidate]:
    """The best candidates by cost, none of them twice."""
    chosen: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda one: (one.cost, one.hypothesis)):
        twice = any(_same(candidate.pose, other.pose) for other in chosen)
        if not twice and len(chosen) < keep:
            chosen.append(candidate)
    return [one for one in chosen if one.cost <= config.give_up * chosen[0].cost + 0.01] or chosen[:1]


def _same(pose: Tensor, other: Tensor) -> bool:
    difference = se3.log(se3.inverse(pose) @ other)
    return bool(difference[3:].norm() < 0.05) and bool(difference[:3].norm() < 0.05 * pose[:3, 3].norm().clamp(min=1e-3))


def _blurred(image):
    k = torch.tensor([0.25, 0.5, 0.25])
    x = functional.pad(image.permute(2, 0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(functional.conv2d(x, k.view(1, 1, 1, 3)), k.view(1, 1, 3, 1))[:, 0].permute(1, 2, 0).contiguous()


def _picture(candidate, level, render_fn, device):
    cam = level.intrinsics
    if OVER > 1 and level.factor > 1:
        r = render_fn(candidate.pose.float().to(device), cam.resized(cam.width * OVER, cam.height * OVER))
        pool = lambda x: functional.avg_pool2d(x.permute(2, 0, 1)[None], OVER)[0].permute(1, 2, 0)
        op = pool(r.opacity[..., None])[..., 0]
        d = pool((r.depth * r.opacity)[..., None])[..., 0] / op.clamp(min=1e-6)
        r = Rendering(pool(r.colour), op, d)
    else:
        r = render_fn(candidate.pose.float().to(device), cam)
    if BLUR and level.factor > BLUR - 1:
        r = replace(r, colour=_blurred(r.colour))
    return r


def _nothing(pose: Tensor, renderings: int) -> Refinement:
    """A query that shows nothing."""
    return Refinement(pose.float(), False, False, 0.0, 1.0, 0, renderings)
