from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from inerf.gauss_newton import refine_pose
from inerf.settings import RefineConfig
from tests.inerf import scene
from utils.camera import Intrinsics, pose_errors

CONFIG = RefineConfig()
RENDER = partial(scene.render, oversample=2)


def degrees_and_units(pose: Tensor, truth: Tensor) -> tuple[float, float]:
    angle, distance = pose_errors(pose, truth)
    return math.degrees(angle), distance


def photograph(pose: Tensor, **changes) -> Tensor:
    return scene.render(pose, scene.CAMERA, oversample=4, **changes).colour


@pytest.mark.parametrize("azimuth, elevation", [(20, 10), (140, -50), (250, 60), (300, 88)])
def test_converges_from_eight_degrees(azimuth: float, elevation: float) -> None:
    truth = scene.camera(azimuth, elevation)
    coarse = scene.camera(azimuth + 5.6 / math.cos(math.radians(min(elevation, 60))), elevation - 5.6, radius=3.1)
    assert degrees_and_units(coarse, truth)[0] > 6.0
    found = refine_pose(photograph(truth), coarse[None], scene.CAMERA, RENDER, CONFIG)
    angle, distance = degrees_and_units(found.camera_to_world, truth)
    assert angle < 0.05 and distance < 0.005
    assert found.found and found.confidence > 0.9
    rotation = found.camera_to_world[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)


def test_camera_that_looks_elsewhere_is_rolled_and_nearer() -> None:
    truth = scene.camera(60, 30, radius=2.7, target=(0.1, -0.1, 0.05))
    roll = torch.eye(4, dtype=torch.float64)
    roll[:2, :2] = torch.tensor([[math.cos(0.1), -math.sin(0.1)], [math.sin(0.1), math.cos(0.1)]])
    found = refine_pose(photograph(truth @ roll), scene.camera(57, 33)[None], scene.CAMERA, RENDER, CONFIG)
    angle, distance = degrees_and_units(found.camera_to_world, truth @ roll)
    assert angle < 0.05 and distance < 0.005


def test_defects_do_not_pull_the_pose() -> None:
    truth = scene.camera(20, 10)
    coarse = scene.camera(25, 5)[None]
    stained = photograph(truth).clone()
    stained[90:104, 96:112] = torch.tensor([0.1, 0.9, 0.9])
    for query in (stained, photograph(truth, missing=(3,))):
        found = refine_pose(query, coarse, scene.CAMERA, RENDER, CONFIG)
        angle, distance = degrees_and_units(found.camera_to_world, truth)
        assert angle < 0.2 and distance < 0.01 and found.found


def test_best_hypothesis_wins_wherever_it_stands() -> None:
    truth = scene.camera(20, 10)
    others = [scene.camera(azimuth, elevation) for azimuth, elevation in ((110, 0), (200, 30), (290, -40))]
    for place in range(4):
        coarse = torch.stack([*others[:place], scene.camera(25, 14), *others[place:]])
        found = refine_pose(photograph(truth), coarse, scene.CAMERA, RENDER, CONFIG)
        assert found.hypothesis == place
        assert degrees_and_units(found.camera_to_world, truth)[0] < 0.05


def test_symmetric_object_has_a_rival() -> None:
    truth = scene.camera(20, 30, radius=4)
    coarse = torch.stack([scene.camera(25, 26, radius=4), scene.camera(205, 26, radius=4)])
    render = partial(scene.render_symmetric, oversample=2)
    found = refine_pose(render(truth, scene.CAMERA).colour, coarse, scene.CAMERA, render, CONFIG)
    assert found.rival is not None and found.confidence < 0.5 and {found.hypothesis, found.rival.hypothesis} == {0, 1}
    turned = sorted(degrees_and_units(one.camera_to_world, truth)[0] for one in (found, found.rival))
    assert turned[0] < 0.05 and turned[1] == pytest.approx(180, abs=0.1)
    assert found.rival.rendering is not None
    alone = refine_pose(photograph(truth), coarse, scene.CAMERA, RENDER, CONFIG)
    assert alone.rival is None and alone.confidence > 0.9


def test_an_odd_frame_and_an_object_cut_by_it() -> None:
    camera = Intrinsics(187, 131, 230.0, 230.0, 140.0, 50.0)
    truth = scene.camera(20, 10, radius=2.6)
    query = scene.render(truth, camera, oversample=4).colour
    found = refine_pose(query, scene.camera(23, 13)[None], camera, RENDER, CONFIG)
    assert degrees_and_units(found.camera_to_world, truth)[0] < 0.2 and found.found


def test_not_found_where_there_is_nothing_to_find() -> None:
    coarse = torch.stack([scene.camera(25, 14), scene.camera(120, -30)])
    blank = torch.ones(scene.CAMERA.height, scene.CAMERA.width, 3)
    noise = torch.rand(blank.shape, generator=torch.Generator().manual_seed(0))
    bars = blank.clone()
    bars[60:140, 60:140] = torch.tensor([0.1, 0.6, 0.9])
    for query in (blank, noise, bars):
        found = refine_pose(query, coarse, scene.CAMERA, RENDER, CONFIG)
        assert not found.found and found.camera_to_world.isfinite().all()


def test_object_out_of_sight_of_all_hypotheses() -> None:
    away = scene.camera(20, 10).clone()
    away[:3, 2] *= -1  # looks the other way
    away[:3, 0] *= -1
    found = refine_pose(photograph(scene.camera(20, 10)), away[None], scene.CAMERA, RENDER, CONFIG)
    assert not found.found and found.confidence == 0.0


def test_same_answer_every_time() -> None:
    query, coarse = photograph(scene.camera(20, 10)), scene.camera(25, 14)[None]
    first, second = (refine_pose(query, coarse, scene.CAMERA, RENDER, CONFIG) for _ in range(2))
    assert torch.equal(first.camera_to_world, second.camera_to_world) and first.cost == second.cost


def test_bad_input_is_refused() -> None:
    query, coarse = torch.ones(200, 200, 3), scene.camera(25, 14)[None]
    with pytest.raises(ValueError, match="query must be"):
        refine_pose(query[:100], coarse, scene.CAMERA, RENDER, CONFIG)
    with pytest.raises(ValueError, match="coarse_poses must be"):
        refine_pose(query, coarse[0], scene.CAMERA, RENDER, CONFIG)
    with pytest.raises(ValueError, match="finite"):
        refine_pose(query, coarse * float("nan"), scene.CAMERA, RENDER, CONFIG)


def test_few_images_are_rendered() -> None:
    query, coarse = photograph(scene.camera(20, 10)), scene.camera(25, 14)[None]
    found = refine_pose(query, coarse, scene.CAMERA, RENDER, replace(CONFIG, renders_per_level=1))
    assert 3 <= found.render_count <= 5  # one a level, perhaps one more at the coarsest and at the finest


def test_the_last_rendering_is_the_reference() -> None:
    truth = scene.camera(20, 10)
    found = refine_pose(photograph(truth), scene.camera(25, 14)[None], scene.CAMERA, RENDER, CONFIG)
    assert found.rendering is not None
    again = RENDER(found.camera_to_world, scene.CAMERA)
    assert torch.equal(found.rendering.colour, again.colour) and torch.equal(found.rendering.depth, again.depth)
