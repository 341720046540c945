from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.util import random_noise

from data.settings import RobustnessConfig
from data.splits import (
    change_brightness,
    chosen_views,
    disturb,
    viewing_directions,
    without_pole_rings,
)
from utils.camera import look_at
from utils.errors import InputError

RINGS, AZIMUTHS = 14, 15


@cache
def grid(radius: float = 3.0, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    """MAD-Sim's cameras: 14 rings from 85 to -85 degrees, 15 azimuths each."""
    target, poses = torch.tensor(centre), []
    for ring, turn in itertools.product(range(RINGS), range(AZIMUTHS)):
        up, around = math.radians(85 - 170 / 13 * ring), math.radians(120 + 320 / 14 * turn)
        toward = torch.tensor(
            [math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)], dtype=torch.float32
        )
        poses.append(look_at(target + radius * toward, target, torch.tensor([0.0, 0.0, 1.0])))
    return torch.stack(poses)


def study(**changes: object) -> RobustnessConfig:
    return dataclasses.replace(RobustnessConfig(), **changes)


def test_all_views_are_the_default() -> None:
    assert chosen_views(grid(), RobustnessConfig(), 0) == list(range(210))


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 21), (0.2, 42), (0.4, 84), (1.0, 210)])
def test_uniform_draws_the_share_by_seed(fraction: float, count: int) -> None:
    config = study(view_split="uniform", view_fraction=fraction)
    rows = chosen_views(grid(), config, 0)
    assert len(set(rows)) == len(rows) == count and rows == sorted(rows) == chosen_views(grid(), config, 0)
    assert set(rows) <= set(range(210)) and (count == 210 or rows != chosen_views(grid(), config, 1))


def test_uniform_favours_no_view() -> None:
    config, counts, poses = study(view_split="uniform"), np.zeros(20), grid()[:20]
    for seed in range(1000):
        counts[chosen_views(poses, config, seed)] += 1
    assert counts.sum() == 4000 and np.abs(counts - 200).max() < 5 * math.sqrt(1000 * 0.2 * 0.8)


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (5.0, -3.0, 40.0)])
def test_published_leaves_out_the_two_pole_rings(centre: tuple[float, float, float]) -> None:
    poses = grid(centre=centre)
    assert without_pole_rings(poses) == list(range(AZIMUTHS, (RINGS - 1) * AZIMUTHS))
    drawn = set()
    for seed in range(40):
        rows = chosen_views(poses, study(view_split="published", view_fraction=0.4), seed)
        assert len(rows) == 84  # the share is that of all views
        drawn |= set(rows)
    assert drawn == set(range(AZIMUTHS, (RINGS - 1) * AZIMUTHS))


def test_more_than_there_is_without_the_poles() -> None:
    with pytest.raises(InputError, match="lower the fraction"):
        chosen_views(grid(), study(view_split="published", view_fraction=0.95), 0)


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_few_shot_views_are_each_the_farthest_from_those_before(seed: int, count: int) -> None:
    poses = grid()
    rows = chosen_views(poses, study(view_split="few_shot", few_shot_views=count), seed)
    assert len(set(rows)) == count
    directions = viewing_directions(poses).numpy()
    for first in rows:  # the slow twin: from one of them the greedy choice leads to all of them
        chosen = [first]
        while len(chosen) < count:
            distances = [min(np.linalg.norm(point - directions[row]) for row in chosen) for point in directions]
            chosen.append(int(np.argmax(distances)))
        if sorted(chosen) == rows:
            return
    pytest.fail("no first view explains the choice")


def test_four_few_shot_views_surround_the_object() -> None:
    for seed in range(20):
        directions = viewing_directions(grid())[chosen_views(grid(), study(view_split="few_shot"), seed)]
        angles = torch.rad2deg(torch.acos((directions @ directions.T).clamp(-1, 1)))[~torch.eye(4, dtype=torch.bool)]
        assert angles.min() > 75


def picture(seed: int = 0, size: int = 60) -> torch.Tensor:
    values = torch.randint(0, 256, (size, size, 3), generator=torch.Generator().manual_seed(seed))
    return values.float() / 255.0


def test_queries_are_untouched_by_default_and_by_the_papers_files() -> None:
    query = picture()
    assert disturb(query, "Burrs/0", RobustnessConfig(), 0) is query
    paper = study(sigma=0.01, noise="None", amount=0.8, delta_brightness=0.0)
    assert disturb(query, "Burrs/0", paper, 0) is query


@pytest.mark.parametrize("noise", ["gaussian", "s_and_p", "salt", "pepper", "poisson"])
def test_noise_is_that_of_scikit_image(noise: str) -> None:
    query, config = torch.full((200, 200, 3), 0.4), study(noise=noise, sigma=0.1, amount=0.3)
    found = disturb(query, "Burrs/0", config, 0)
    mode, strength = {
        "gaussian": ("gaussian", {"var": 0.1**2}),
        "s_and_p": ("s&p", {"amount": 0.3}),
        "poisson": ("poisson", {}),
    }.get(noise, (noise, {"amount": 0.3}))
    query[0, :, 0] = torch.linspace(0, 1, 200)  # scikit-image counts the levels that a picture has
    expected = random_noise(query.numpy(), mode=mode, rng=0, **strength)
    values, twin = found[1:].numpy().ravel(), expected[1:].ravel()
    assert values.mean() == pytest.approx(twin.mean(), abs=0.01) and values.std() == pytest.approx(twin.std(), rel=0.05)
    np.testing.assert_allclose(np.quantile(values, [0.05, 0.5, 0.9]), np.quantile(twin, [0.05, 0.5, 0.9]), atol=0.01)
    assert found.dtype == query.dtype and values.min() >= 0 and values.max() <= 1
    assert torch.equal(found, disturb(torch.full((200, 200, 3), 0.4), "Burrs/0", config, 0))
    assert not torch.equal(found, disturb(torch.full((200, 200, 3), 0.4), "Burrs/1", config, 0))


@given(st.floats(-1, 1), st.integers(0, 100))
def test_brightness_is_hsvs_value(change: float, seed: int) -> None:
    image = picture(seed, size=8)
    image[0, 0], image[0, 1] = 0.0, 1.0
    hsv = cv2.cvtColor(image.numpy(), cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] + change, 0, 1)
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    np.testing.assert_allclose(change_brightness(image, change), expected, atol=2e-4)


def test_black_and_white_end_the_scale() -> None:
    assert (change_brightness(picture(), -1.0) == 0).all() and change_brightness(picture(), 1.0).amax(
        dim=-1
    ).min() > 1 - 1e-6
    config = study(delta_brightness=-1.0, noise="gaussian", sigma=0.0)
    assert (disturb(picture(), "good/0", config, 0) == 0).all()
