"""iNeRF (arXiv:2012.05877): the pose descends the photometric error at some pixels, by Adam, through the field.

A pose is ``exp(twist) @ start``: the twist moves the camera in the world's frame, and the pose never leaves SE(3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inerf import se3
from inerf.photometric import Samples, normal_equations, reference_samples
from inerf.pyramid import background_of, coarse_camera, cut, factors
from inerf.refine import CONVERGED, REACH, Refinement, check_inputs, motion_pixels
from inerf.sampling import PixelSampler, make_sampler
from utils.camera import Intrinsics, pose_errors
from utils.config import Config, InerfConfig
from utils.progress import Progress
from utils.rendering import Renderer, RenderFn, RenderPixelsFn
from utils.seeds import generator

TRAIL_STEPS = 50  # between two poses of a trail
STILL_STEPS = 20  # over which a pose is judged to stand still
_SHOWN_STEPS = 10  # between two losses on the progress bar: each waits for the device


@dataclass(frozen=True)
class Problem:
    """A query, and the field that shall explain it."""

    query: Tensor  # (height, width, 3) float32 RGB
    intrinsics: Intrinsics
    render_pixels: RenderPixelsFn
    sampler: PixelSampler

    def loss(self, pose: Tensor, chosen: Tensor) -> Tensor:
        """Mean squared difference of rendering and query, over channels and the pixels ``chosen`` (pixels,)."""
        width = self.intrinsics.width
        pixels = torch.stack([chosen % width, chosen // width], -1) + 0.5  # (pixels, xy)
        rendered = self.render_pixels(pixels, pose.float(), self.intrinsics)
        return (rendered - self.query.reshape(-1, 3)[chosen]).square().mean()


@dataclass(frozen=True)
class Way:
    """How a coarse pose came to its end."""

    trail: Tensor  # (poses, 4, 4) float64: the coarse pose, those after each 50 steps, the last one
    before: Tensor  # (4, 4) float64: the pose 20 steps before the last one
    loss: float  # at the last one
    hypothesis: int


def step_size(lrate: float, step: int) -> float:
    """Adam's step size at ``step`` (from 0), of the paper's schedule.

    >>> step_size(0.01, 0), round(step_size(0.01, 100), 6)
    (0.01, 0.008)
    """
    return float(lrate * 0.8 ** (step / 100))


def descend_poses(
    query: Tensor, name: str, coarse_poses: Tensor, intrinsics: Intrinsics, renderer: Renderer, config: Config
) -> Refinement:
    """Pose from which ``renderer`` explains the query best, descended from several coarse poses.

    All coarse poses see the same batches of pixels. The last pose of each is compared on one further batch; the lowest
    loss wins. Whether it is found is judged as for Gauss-Newton, in a picture of 50 pixels.

    Args, raises: as ``inerf.refiners.refine``.
    """
    check_inputs(query, coarse_poses, intrinsics)
    device, settings = query.device, config.inerf
    problem = Problem(query, intrinsics, renderer.render_pixels, make_sampler(query, settings, name))
    common = problem.sampler.draw(generator(config.seed, f"{name}/common", device))
    ways = []
    with Progress(config.quiet).bar(f"pose of {name}", len(coarse_poses) * settings.inerf_steps) as bar:
        for hypothesis, start in enumerate(se3.renormalised(coarse_poses.double()).to(device)):
            twists = descend(start, problem, settings, generator(config.seed, name, device), _shown_on(bar))
            ways.append(_way(twists, start, hypothesis, problem, common))
    best = min(ways, key=lambda way: (math.isnan(way.loss), way.loss))
    return _refinement(best, query, intrinsics, renderer.render, config)


def descend(
    start: Tensor, problem: Problem, config: InerfConfig, random: torch.Generator, told: Callable[[Tensor], None]
) -> Tensor:
    """Adam on the twist, from zero.

    Args:
        start: (4, 4) float64 camera_to_world.
        problem: what is descended.
        config: number and size of the steps; with ``early_stop`` above 0 the descent ends after a multiple of 20
            steps, when the last 20 turned the camera by less radians and moved its centre by less scene units.
        random: draws the pixels.
        told: called with each step's loss.
    Returns:
        (steps + 1, 6) float64, the twist before the first step and after each.
    """
    twist = torch.zeros(6, dtype=torch.float64, device=start.device, requires_grad=True)
    optimiser = torch.optim.Adam([twist], lr=config.lrate, betas=(0.9, 0.999))
    twists = [twist.detach().clone()]
    for step in range(config.inerf_steps):
        optimiser.param_groups[0]["lr"] = step_size(config.lrate, step)
        optimiser.zero_grad()
        loss = problem.loss(se3.exp(twist) @ start, problem.sampler.draw(random))
        if loss.requires_grad:  # else no ray met the object
            loss.backward()
        optimiser.step()
        twists.append(twist.detach().clone())
        told(loss.detach())
        if config.early_stop > 0 and (step + 1) % STILL_STEPS == 0:
            now, earlier = se3.exp(twists[-1]) @ start, se3.exp(twists[-1 - STILL_STEPS]) @ start
            if max(pose_errors(now, earlier)) < config.early_stop:
                break
    return torch.stack(twists)


def _shown_on(bar: Any) -> Callable[[Tensor], None]:
    """Shows each step on ``bar``, and now and then its loss."""

    def told(loss: Tensor) -> None:
        if bar.n % _SHOWN_STEPS == 0 and not bar.disable:
            bar.set_postfix_str(f"loss {float(loss):.5f}", refresh=False)
        bar.update()

    return told


@torch.no_grad()
def _way(twists: Tensor, start: Tensor, hypothesis: int, problem: Problem, common: Tensor) -> Way:
    """What a descent led to, with the loss at the pixels ``common``."""
    last = len(twists) - 1
    poses = se3.exp(twists[[*range(0, last, TRAIL_STEPS), last, max(last - STILL_STEPS, 0)]]) @ start
    return Way(poses[:-1], poses[-1], float(problem.loss(poses[-2], common)), hypothesis)


def _refinement(way: Way, query: Tensor, intrinsics: Intrinsics, render: RenderFn, config: Config) -> Refinement:
    """The end of a way, judged by what the object looks like from there."""
    pose, limits = way.trail[-1], config.refine
    samples, cost = judged(pose, query, intrinsics, render, limits.cost_scale)
    overlap = samples.overlap if samples else 0.0
    trail = se3.renormalised(way.trail).float()
    return Refinement(
        camera_to_world=trail[-1],
        found=cost <= limits.found_cost and overlap >= limits.found_overlap,
        converged=samples is not None and _moved_pixels(way, samples, intrinsics) < CONVERGED,
        confidence=overlap * (1.0 - cost),
        cost=cost,
        overlap=overlap,
        hypothesis=way.hypothesis,
        renderings=2,
        trail=trail,
    )


def judged(
    pose: Tensor, query: Tensor, intrinsics: Intrinsics, render: RenderFn, cost_scale: float
) -> tuple[Samples | None, float]:
    """What a rendering of 50 pixels shows of the object, and its mean robust difference (0 to 1) to the query.

    Where it shows next to nothing there are no samples, and the difference is 1.
    """
    empty = render(pose.float(), coarse_camera(intrinsics))
    background = background_of(empty.colour, empty.opacity)
    window = (0, 0, intrinsics.width, intrinsics.height)
    level = cut(query, intrinsics, background, window, factors(intrinsics)[0])
    samples = reference_samples(render(pose.float(), level.intrinsics), level, REACH)
    if samples is None:
        return None, 1.0
    still = torch.eye(4, dtype=torch.float64)
    cost = normal_equations(level.query, samples, level.intrinsics, still, cost_scale).cost
    return samples, min(cost / samples.pixels, 1.0)


def _moved_pixels(way: Way, samples: Samples, intrinsics: Intrinsics) -> float:
    """About how many pixels the last 20 steps moved the picture."""
    motion = (se3.inverse(way.before) @ way.trail[-1]).cpu()
    motion[:3, 3] += motion[:3, :3] @ samples.centre - samples.centre
    return motion_pixels(motion, samples, intrinsics)
