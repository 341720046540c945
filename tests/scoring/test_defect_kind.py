"""Shape and colour are told apart on a disc."""

from __future__ import annotations

import pytest
import torch

from scoring.defect_kind import AROUND, colour_novelty, distance_at_any_brightness, outline_difference
from tests.scoring.disc import pair
from utils.smoothing import smooth

WHITE = (1.0, 1.0, 1.0)


def test_a_missing_piece_and_a_burr_change_the_outline_and_a_stain_does_not() -> None:
    query, reference, stained = pair(0, defect=True)
    assert not outline_difference(query, reference, WHITE).any()
    missing = query.clone()
    missing[:, :20] = 1.0
    place = outline_difference(missing, reference, WHITE)
    assert place.any() and not place[:, 20:].any() and bool((reference.opacity[place] > 0.5).all())
    burr = pair(0, defect=False)[0]
    burr[30:36, 50:62] = burr[32, 32]
    place = outline_difference(burr, reference, WHITE)
    assert place.any() and bool((reference.opacity[place] < 0.5).all())
    assert stained.any()


def test_an_edge_off_by_a_pixel_is_no_difference() -> None:
    query, reference, _ = pair(1, defect=False)
    assert not outline_difference(query.roll(1, dims=1), reference, WHITE).any()


def test_a_stain_is_a_new_colour_and_a_shadow_is_not() -> None:
    query, reference, stained = pair(2, defect=True)
    assert float(colour_novelty(query, reference, stained)[stained].mean()) > 0.2
    shaded = reference.colour.clone()
    shaded[stained] *= 0.7
    assert float(colour_novelty(shaded, reference, stained)[stained].mean()) < 0.02
    hole = reference.colour.clone()
    hole[stained] = 1.0  # the background shows, as it does around
    assert float(colour_novelty(hole, reference, stained)[stained].mean()) < 0.05  # it blends with the rest at edges


def test_novelty_is_the_least_distance_around() -> None:
    generator = torch.Generator().manual_seed(3)
    _, reference, _ = pair(0, defect=False)
    query = torch.rand(64, 64, 3, generator=generator)
    where = torch.zeros(64, 64, dtype=torch.bool)
    where[31, 40] = where[5, 60] = True
    novelty = colour_novelty(query, reference, where)
    assert int((novelty > 0).sum()) == 2
    colours, palette = smooth(query, 1.0), smooth(reference.colour, 1.0)
    for row, column in ((31, 40), (5, 60)):
        steps = range(-AROUND, AROUND + 1, 4)
        near = [(min(max(row + y, 0), 63), min(max(column + x, 0), 63)) for y in steps for x in steps]
        each = [float(distance_at_any_brightness(colours[row, column][None], palette[y, x][None])) for y, x in near]
        assert float(novelty[row, column]) == pytest.approx(min(each), abs=1e-6)
