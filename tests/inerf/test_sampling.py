from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inerf.sampling import PixelSampler, dilate_mask, keypoint_mask, make_sampler
from inerf.settings import InerfConfig
from tests.inerf import scene
from utils.images import to_bytes
from utils.seeds import generator

CONFIG = InerfConfig(batch_size=500)
QUERY = scene.render(scene.camera(30, 20), scene.CAMERA).colour
PIXELS = QUERY.shape[0] * QUERY.shape[1]


def slowly_dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    result = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        result[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1] = True
    return result


def dot(row: float, column: float) -> torch.Tensor:
    """A white image with a soft dark dot."""
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    value = 1.0 - torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 18.0)
    return value[..., None].expand(-1, -1, 3).contiguous()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 60), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_batches_are_whole_without_repetition_preferred_first(
    preferred: int, others: int, batch_size: int, seed: int
) -> None:
    pixels = torch.randperm(preferred + others, generator=torch.Generator().manual_seed(seed))
    sampler = PixelSampler(pixels[:preferred], pixels[preferred:], batch_size)
    random = torch.Generator().manual_seed(seed)
    for _ in range(2):
        batch = sampler.draw(random).tolist()
        assert len(batch) == len(set(batch)) == min(batch_size, preferred + others)
        wanted = set(pixels[:preferred].tolist())
        assert len(wanted & set(batch)) == min(preferred, batch_size)


@pytest.mark.parametrize("row, column", [(20.3, 49.7), (30.7, 21.3)])
def test_a_keypoint_is_the_pixel_nearest_to_it(row: float, column: float) -> None:
    found = np.argwhere(keypoint_mask(to_bytes(dot(row, column)))).tolist()
    assert [round(row), round(column)] in found and len(found) < 5


@pytest.mark.parametrize("kernel_size, times", [(5, 3), (3, 1), (1, 4), (7, 0)])
def test_regions_are_the_keypoints_surroundings(kernel_size: int, times: int) -> None:
    mask = keypoint_mask(to_bytes(QUERY))
    expected = slowly_dilated(mask, kernel_size // 2 * times)
    assert np.array_equal(dilate_mask(mask, kernel_size, times), expected)
    config = replace(CONFIG, kernel_size=kernel_size, dil_iter=times)
    sampler = make_sampler(QUERY, config, "query")
    assert sampler.preferred.tolist() == np.flatnonzero(expected).tolist()
    assert sampler.others.tolist() == np.flatnonzero(~expected).tolist()


def test_each_strategy_samples_where_it_says() -> None:
    points = set(np.flatnonzero(keypoint_mask(to_bytes(QUERY))).tolist())
    regions = set(np.flatnonzero(slowly_dilated(keypoint_mask(to_bytes(QUERY)), 6)).tolist())
    assert 10 < len(points) < CONFIG.batch_size < len(regions) < PIXELS
    batch = {}
    for strategy in ("random", "interest_points", "interest_regions"):
        sampler = make_sampler(QUERY, replace(CONFIG, sampling_strategy=strategy), "query")
        batch[strategy] = set(sampler.draw(generator(0, "query")).tolist())
        assert len(batch[strategy]) == CONFIG.batch_size and max(batch[strategy]) < PIXELS
    assert points < batch["interest_points"]
    assert batch["interest_regions"] < regions
    assert not batch["random"] <= regions


def test_every_pixel_has_its_chance() -> None:
    sampler = PixelSampler(torch.arange(10), torch.empty(0, dtype=torch.int64), 4)
    random = generator(0, "query")
    count = torch.zeros(10)
    for _ in range(500):
        count[sampler.draw(random)] += 1
    assert count.min() > 150 and count.max() < 250  # 200 on average


def test_too_few_and_no_keypoints() -> None:
    few = dot(20, 50)
    for strategy in ("interest_points", "interest_regions"):
        sampler = make_sampler(few, replace(CONFIG, sampling_strategy=strategy, batch_size=2000), "few")
        assert 0 < len(sampler.preferred) < 2000 == len(sampler.draw(generator(0, "few")).unique())
        whole = make_sampler(few, replace(CONFIG, sampling_strategy=strategy, batch_size=10**6), "few")
        assert whole.draw(generator(0, "few")).sort().values.tolist() == list(range(60 * 80))
        with pytest.warns(UserWarning, match="Query blank has no SIFT keypoint"):
            blank = make_sampler(torch.ones(60, 80, 3), replace(CONFIG, sampling_strategy=strategy), "blank")
        assert len(blank.draw(generator(0, "blank")).unique()) == CONFIG.batch_size
