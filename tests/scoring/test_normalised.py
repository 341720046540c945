"""The difference over the expected one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scoring.crop import Crop, object_crop
from scoring.normalised import (
    CHROMA,
    LEAST,
    NormalisedDifference,
    edge_range,
    expected_difference,
    smoothed_size,
)
from tests.scoring.disc import pair
from utils.rendering import Rendering

WHOLE = Crop(0, 0, 64, 64)


def known(reference: Rendering, residual: float, disagreement: float = 0.0) -> Rendering:
    """The reference, with the same to expect everywhere."""
    images = (torch.full_like(reference.opacity, value) for value in (residual, disagreement))
    return replace(reference, **dict(zip(("expected_residual", "disagreement"), images)))


def test_defect_is_found_where_it_is() -> None:
    query, reference, mask = pair(3, True)
    anomaly_map, score = NormalisedDifference().compare(query, reference)
    row, column = divmod(int(anomaly_map.argmax()), 64)
    assert bool(mask[row, column]) and score == float(anomaly_map.max())
    assert score > 5 * NormalisedDifference().compare(*pair(3, False)[:2])[1]


def test_what_is_expected_divides() -> None:
    query, reference, _ = pair(3, True)
    scores = [NormalisedDifference().compare(query, known(reference, *each))[1] for each in ((0.01,), (0.2,), (0, 0.2))]
    assert scores[0] > 2 * scores[1] and scores[1] == pytest.approx(scores[2], rel=0.01)
    assert NormalisedDifference().compare(query, replace(known(reference, 0.1), growth=2.0))[1] < scores[0]


def test_expectation_is_the_sum_of_what_is_known() -> None:
    flat = Rendering(torch.full((64, 64, 3), 0.5), torch.ones(64, 64), torch.ones(64, 64))
    assert torch.allclose(expected_difference(flat, WHOLE), torch.full((64, 64), LEAST))
    both = expected_difference(known(replace(flat, growth=2.0), 0.03, 0.02), WHOLE)
    assert torch.allclose(both, torch.full((64, 64), 2 * LEAST + 0.05), atol=1e-5)


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_edges_are_expected_to_differ_only_where_depth_jumps(step: float) -> None:
    colour, depth = torch.full((64, 64, 3), 0.2), torch.ones(64, 64)
    colour[:, 32:], depth[:, 32:] = 0.8, 1.0 + step
    found = edge_range(Rendering(colour, torch.ones(64, 64), depth), WHOLE)
    assert float(found[:, :20].max()) == 0 and (float(found[:, 32].max()) > 0.2) == (step > 0)


def test_colour_counts_more_than_brightness() -> None:
    query = pair(0, False)[0]
    sizes = []
    for change in ((0.1, 0.1, 0.1), (0.1 * 2**0.5, -0.1 * 2**0.5 / 2, -0.1 * 2**0.5 / 2)):  # of equal root mean square
        stained = query.clone()
        stained[28:36, 28:36] += torch.tensor(change)
        sizes.append(float(smoothed_size(stained - query).max()))
    assert sizes[1] == pytest.approx(CHROMA * sizes[0], rel=1e-4)


def test_small_shift_of_an_outline_is_no_defect() -> None:
    query, reference, _ = pair(0, False)
    shifted, defect = query.roll(1, 1), pair(0, True)[0]
    scores = [NormalisedDifference().compare(image, known(reference, 0.01))[1] for image in (shifted, defect)]
    assert scores[0] < 0.5 * scores[1]


def test_changed_light_is_no_defect_and_hides_none() -> None:
    scores = []
    for defect in (False, True):
        query, reference, _ = pair(3, defect)
        slope = torch.linspace(0.03, 0.09, 64)[:, None, None] * reference.opacity[..., None]
        lit = [NormalisedDifference().compare(image, known(reference, 0.01))[1] for image in (query, query - slope)]
        scores.append(lit)
    (good, good_lit), (defective, defective_lit) = scores
    assert max(good, good_lit) < 0.5 and 3 < defective_lit < defective


def test_all_devices_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    query, reference, _ = pair(1, True)
    expected = NormalisedDifference().compare(query, known(reference, 0.02, 0.01))[0]
    monkeypatch.setattr("utils.smoothing.on_cpu", lambda image: False)
    assert torch.allclose(NormalisedDifference().compare(query, known(reference, 0.02, 0.01))[0], expected, atol=1e-4)


def test_crop_holds_what_either_image_shows() -> None:
    query, colour, opacity = torch.ones(80, 90, 3), torch.ones(80, 90, 3), torch.zeros(80, 90)
    colour[30:40, 30:40], opacity[30:40, 30:40] = 0.5, 1.0
    query[30:40, 60:62] = 0.2
    crop = object_crop(query, Rendering(colour, opacity, opacity))
    assert (crop.top, crop.bottom, crop.left, crop.right) == (18, 52, 18, 74)
    blank = object_crop(torch.ones(80, 90, 3), Rendering(torch.ones(80, 90, 3), torch.zeros(80, 90), opacity))
    assert (blank.bottom, blank.right) == (80, 90)


def test_image_without_an_object_scores_nothing() -> None:
    blank: Tensor = torch.ones(40, 40, 3)
    assert NormalisedDifference().compare(blank, Rendering(blank, torch.zeros(40, 40), torch.zeros(40, 40)))[1] == 0
