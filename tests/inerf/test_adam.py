from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inerf import adam, se3
from inerf.adam import Adam, PoseProblem, descend, learning_rate
from inerf.judge import Refinement, judge
from inerf.sampling import make_sampler
from inerf.settings import InerfConfig, RefineConfig
from pipeline.config import Config
from pipeline.methods import run_context
from tests.inerf import scene
from tests.inerf.blobs import CAMERA, FIELD, QUERY, TRUTH, Blobs, turned
from utils.camera import Intrinsics, pose_errors
from utils.rendering import Renderer
from utils.seeds import generator

INERF = InerfConfig(batch_size=256, inerf_steps=100)
CONFIG = Config(quiet=True, refine=RefineConfig(method="adam"), inerf=INERF)


def descended(
    query: Tensor, name: str, coarse: Tensor, intrinsics: Intrinsics, field: Renderer, config: Config
) -> Refinement:
    return Adam(config.refine, config.inerf).refine(query, name, coarse, intrinsics, field, run_context(config))


def problem(config: InerfConfig = INERF) -> PoseProblem:
    return PoseProblem(QUERY, CAMERA, FIELD.render_pixels, make_sampler(QUERY, config, "query"))


def unseen(loss: Tensor) -> None:
    pass


@pytest.mark.parametrize(
    "limits, expected", [({}, True), ({"max_cost": -1.0}, False), ({"min_silhouette_iou": 2.0}, False)]
)
def test_found_is_judged_by_cost_and_overlap(limits: dict[str, float], expected: bool) -> None:
    config = replace(CONFIG, refine=replace(CONFIG.refine, **limits))
    assert descended(QUERY, "query", turned(3.0)[None], CAMERA, FIELD, config).found is expected


@pytest.mark.parametrize("strategy", ["random", "interest_points", "interest_regions"])
def test_converges_from_a_few_degrees_and_stays_rigid(strategy: str) -> None:
    config = replace(CONFIG, inerf=replace(INERF, sampling_strategy=strategy, inerf_steps=300))
    found = descended(QUERY, "query", turned(8.0)[None], CAMERA, FIELD, config)
    angle, distance = pose_errors(found.camera_to_world, TRUTH)
    assert math.degrees(angle) < 0.05 and distance < 0.005
    assert found.found and found.confidence > 0.9
    rotation = found.camera_to_world[:3, :3].double()
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double(), atol=1e-6, rtol=0)
    assert torch.linalg.det(rotation) > 0


def test_learning_rates_are_the_papers() -> None:
    rate, expected = 0.01, []
    for step in range(300):  # the paper sets the next step's rate after each step
        expected.append(rate)
        rate = 0.01 * 0.8 ** ((step + 1) / 100)
    assert [learning_rate(0.01, step) for step in range(300)] == pytest.approx(expected, rel=1e-12)


def test_descent_equals_its_slow_twin() -> None:
    config, start = replace(INERF, inerf_steps=30), turned(5.0)
    fast = descend(start, problem(config), config, generator(0, "query"), unseen)

    random, sampler = generator(0, "query"), problem(config).sampler
    value, first, second = (torch.zeros(6, dtype=torch.float64) for _ in range(3))
    for step in range(1, 31):
        twist = value.clone().requires_grad_()
        motion = torch.zeros(4, 4, dtype=torch.float64)
        motion[:3, :3], motion[:3, 3] = se3.hat(twist[3:]), twist[:3]
        pose = (torch.matrix_exp(motion) @ start).float()
        chosen = sampler.draw(random)
        pixels = torch.tensor([[int(one) % 64 + 0.5, int(one) // 64 + 0.5] for one in chosen])
        colours = torch.stack([QUERY[int(one) // 64, int(one) % 64] for one in chosen])
        ((FIELD.render_pixels(pixels, pose, CAMERA) - colours) ** 2).mean().backward()
        first = 0.9 * first + 0.1 * twist.grad
        second = 0.999 * second + 0.001 * twist.grad**2
        rate = 0.01 * 0.8 ** ((step - 1) / 100)
        value = value - rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    assert fast.shape == (31, 6) and not fast[0].any()
    torch.testing.assert_close(fast[-1], value, atol=1e-4, rtol=1e-3)


def test_same_answer_every_time_whatever_ran_before() -> None:
    coarse = turned(5.0)[None]
    config = replace(CONFIG, inerf=replace(INERF, inerf_steps=20))
    first = descended(QUERY, "query", coarse, CAMERA, FIELD, config)
    other = descended(QUERY, "another", coarse, CAMERA, FIELD, config)
    torch.manual_seed(123)
    second = descended(QUERY, "query", coarse, CAMERA, FIELD, config)
    reseeded = descended(QUERY, "query", coarse, CAMERA, FIELD, replace(config, seed=1))
    assert torch.equal(first.camera_to_world, second.camera_to_world) and first.cost == second.cost
    assert not torch.equal(first.camera_to_world, other.camera_to_world)
    assert not torch.equal(first.camera_to_world, reseeded.camera_to_world)


def test_best_coarse_pose_wins_wherever_it_stands() -> None:
    others = [scene.camera(azimuth, 10) for azimuth in (130, 220)]
    alone = descended(QUERY, "query", turned(4.0)[None], CAMERA, FIELD, CONFIG)
    for place in range(3):
        coarse = torch.stack([*others[:place], turned(4.0), *others[place:]])
        found = descended(QUERY, "query", coarse, CAMERA, FIELD, CONFIG)
        assert found.hypothesis == place and torch.equal(found.camera_to_world, alone.camera_to_world)


def test_what_is_reported_is_of_the_pose_that_is_returned() -> None:
    config, start = replace(INERF, inerf_steps=60), turned(6.0)
    twists = descend(start, problem(config), config, generator(0, "query"), unseen)
    common = problem(config).sampler.draw(generator(0, "query/common"))
    result = adam._evaluate(twists, start, 0, problem(config), common)
    torch.testing.assert_close(result.poses, se3.exp(twists[[0, 50, 60]]) @ start)
    assert result.loss == pytest.approx(float(problem(config).loss(result.poses[-1], common)), rel=1e-5)

    found = descended(QUERY, "query", start[None], CAMERA, FIELD, replace(CONFIG, inerf=config))
    torch.testing.assert_close(found.camera_to_world.double(), result.poses[-1], atol=1e-6, rtol=0)
    assert torch.equal(found.camera_to_world, found.pose_history[-1]) and len(found.pose_history) == 3
    quality = judge(found.camera_to_world, QUERY, CAMERA, FIELD.render, CONFIG.refine)
    assert found.silhouette_iou == quality.silhouette_iou and found.cost == pytest.approx(quality.cost, abs=1e-4)


def test_early_stopping_stops_when_the_camera_stands_still() -> None:
    start = turned(3.0)
    run = {}
    for threshold in (0.0, 1e-3, 1e3):
        config = replace(INERF, inerf_steps=300, early_stop=threshold)
        run[threshold] = descend(start, problem(config), config, generator(0, "query"), unseen)
    assert len(run[0.0]) == 301 and len(run[1e3]) == 21
    stopped = run[1e-3]
    assert len(stopped) < 301 and len(stopped) % 20 == 1
    assert torch.equal(stopped, run[0.0][: len(stopped)])  # the same descent, only shorter
    poses = se3.exp(stopped) @ start
    still = [max(pose_errors(poses[step], poses[step - 20])) < 1e-3 for step in range(20, len(poses), 20)]
    assert still[-1] and not any(still[:-1])


def test_not_found_where_there_is_nothing_to_find() -> None:
    blank = torch.ones_like(QUERY)
    noise = torch.rand(QUERY.shape, generator=torch.Generator().manual_seed(0))
    away = turned(0.0)
    away[:3, [0, 2]] *= -1  # looks the other way
    with pytest.warns(UserWarning, match="Query blank has no SIFT keypoint"):
        assert not descended(blank, "blank", turned(3.0)[None], CAMERA, FIELD, CONFIG).found
    assert not descended(noise, "noise", turned(3.0)[None], CAMERA, FIELD, CONFIG).found
    lost = descended(QUERY, "away", away[None], CAMERA, FIELD, CONFIG)
    assert not lost.found and lost.confidence == 0.0 and lost.camera_to_world.isfinite().all()


def test_a_field_that_meets_no_ray_leaves_the_pose() -> None:
    class Empty(Blobs):
        def render_pixels(self, pixels: Tensor, *_) -> Tensor:
            return torch.ones(len(pixels), 3)

    found = descended(QUERY, "query", turned(3.0)[None], CAMERA, Empty(), CONFIG)
    torch.testing.assert_close(found.camera_to_world.double(), turned(3.0), atol=1e-6, rtol=0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="query must be"):
        descended(QUERY[:10], "query", TRUTH[None], CAMERA, FIELD, CONFIG)
    with pytest.raises(ValueError, match="coarse_poses must be"):
        descended(QUERY, "query", TRUTH, CAMERA, FIELD, CONFIG)
