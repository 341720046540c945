"""iNeRF (arXiv:2012.05877): the pose descends the photometric error at some pixels, by Adam, through the field.

A pose is ``exp(twist) @ start``: the twist moves the camera in the world's frame, and the pose never leaves SE(3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from inerf import se3
from inerf.judge import Refinement, check_inputs, judge
from inerf.sampling import PixelSampler, make_sampler
from inerf.settings import InerfConfig, RefineConfig
from utils.camera import Intrinsics, pose_errors
from utils.rendering import Renderer, RenderPixelsFn
from utils.run_context import RunContext
from utils.seeds import generator

HISTORY_STEPS = 50  # between two poses of a pose history
EARLY_STOP_STEPS = 20  # over which the camera's motion is measured for early stopping
_LOSS_STEPS = 10  # between two losses on the progress bar: reading one waits for the device


@dataclass(frozen=True)
class PoseProblem:
    """A query, and the field that is to explain it."""

    query: Tensor  # (height, width, 3) float32 RGB
    intrinsics: Intrinsics
    render_pixels: RenderPixelsFn
    sampler: PixelSampler

    def loss(self, pose: Tensor, chosen: Tensor) -> Tensor:
        """Compute the mean squared colour difference of rendering and query over the pixels ``chosen`` (pixels,)."""
        width = self.intrinsics.width
        pixels = torch.stack([chosen % width, chosen // width], -1) + 0.5  # (pixels, xy)
        rendered = self.render_pixels(pixels, pose.float(), self.intrinsics)
        return (rendered - self.query.reshape(-1, 3)[chosen]).square().mean()


@dataclass(frozen=True)
class DescentResult:
    """The descent from one coarse pose."""

    poses: Tensor  # (poses, 4, 4) float64: the coarse pose, those after each 50 steps, the last one
    loss: float  # at the last pose
    hypothesis: int


def learning_rate(lrate: float, step: int) -> float:
    """Return Adam's learning rate at ``step`` (from 0), by the paper's schedule.

    >>> learning_rate(0.01, 0), round(learning_rate(0.01, 100), 6)
    (0.01, 0.008)
    """
    return float(lrate * 0.8 ** (step / 100))


@dataclass(frozen=True)
class Adam:
    """iNeRF: Adam on the twist of the pose, through the field, from several coarse poses."""

    config: RefineConfig
    inerf: InerfConfig

    name: ClassVar[str] = "adam"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("refine", "inerf")

    def refine(
        self,
        query: Tensor,
        name: str,
        coarse_poses: Tensor,
        intrinsics: Intrinsics,
        renderer: Renderer,
        context: RunContext,
    ) -> Refinement:
        """Descend from each coarse pose; the one with the lowest loss on a further batch of pixels wins.

        All coarse poses see the same batches. Whether the pose is found is judged as for Gauss-Newton, on a rendering
        of 50 pixels.

        Args, Raises: as ``inerf.methods.RefinementMethod.refine``.
        """
        check_inputs(query, coarse_poses, intrinsics)
        device, config = query.device, self.inerf
        problem = PoseProblem(query, intrinsics, renderer.render_pixels, make_sampler(query, config, name))
        validation = problem.sampler.draw(generator(context.seed, f"{name}/common", device))
        results = []
        with context.progress.bar(f"pose of {name}", len(coarse_poses) * config.inerf_steps) as bar:
            for hypothesis, start in enumerate(se3.renormalised(coarse_poses.double()).to(device)):
                twists = descend(start, problem, config, generator(context.seed, name, device), _bar_updater(bar))
                results.append(_evaluate(twists, start, hypothesis, problem, validation))
        best = min(results, key=lambda result: (math.isnan(result.loss), result.loss))
        quality = judge(best.poses[-1], query, intrinsics, renderer.render, self.config)
        render_count = 1  # by judge
        return Refinement.of(best.poses, quality, best.hypothesis, render_count, self.config, device)


def descend(
    start: Tensor,
    problem: PoseProblem,
    config: InerfConfig,
    random: torch.Generator,
    on_step: Callable[[Tensor], None],
) -> Tensor:
    """Optimise the twist by Adam, starting from zero.

    Args:
        start: (4, 4) float64 camera_to_world.
        problem: whose loss is minimised.
        config: number of steps and learning rate; with ``early_stop`` above 0 the descent ends after a multiple of 20
            steps, when the last 20 rotated the camera by less radians and moved its centre by less scene units.
        random: draws the pixels.
        on_step: called with each step's loss.
    Returns:
        (steps + 1, 6) float64, the twist before the first step and after each.
    """
    twist = torch.zeros(6, dtype=torch.float64, device=start.device, requires_grad=True)
    optimiser = torch.optim.Adam([twist], lr=config.lrate, betas=(0.9, 0.999))
    twists = [twist.detach().clone()]
    for step in range(config.inerf_steps):
        optimiser.param_groups[0]["lr"] = learning_rate(config.lrate, step)
        optimiser.zero_grad()
        loss = problem.loss(se3.exp(twist) @ start, problem.sampler.draw(random))
        if loss.requires_grad:  # else no ray met the object
            loss.backward()
        optimiser.step()
        twists.append(twist.detach().clone())
        on_step(loss.detach())
        if config.early_stop > 0 and (step + 1) % EARLY_STOP_STEPS == 0:
            now, earlier = se3.exp(twists[-1]) @ start, se3.exp(twists[-1 - EARLY_STOP_STEPS]) @ start
            if max(pose_errors(now, earlier)) < config.early_stop:
                break
    return torch.stack(twists)


def _bar_updater(bar: Any) -> Callable[[Tensor], None]:
    """Return a function that counts each step on ``bar`` and shows the loss of some."""

    def on_step(loss: Tensor) -> None:
        if bar.n % _LOSS_STEPS == 0 and not bar.disable:
            bar.set_postfix_str(f"loss {float(loss):.5f}", refresh=False)
        bar.update()

    return on_step


@torch.no_grad()
def _evaluate(
    twists: Tensor, start: Tensor, hypothesis: int, problem: PoseProblem, validation: Tensor
) -> DescentResult:
    """Evaluate a descent by its loss at the pixels ``validation``."""
    last = len(twists) - 1
    poses = se3.exp(twists[[*range(0, last, HISTORY_STEPS), last]]) @ start
    return DescentResult(poses, float(problem.loss(poses[-1], validation)), hypothesis)
