"""Scores of parts from several photos: closed forms, slow twins, and parts that depend on one another."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoring.calibration import Calibration
from scoring.parts import AT_MOST, LEAST, MEAN_WEIGHT, MOST, SHARE, USUAL, GoodViews, blended, largest_of, score_of

NAN = float("nan")


def gumbel(shape: tuple[int, ...], scale: float, seed: int) -> Tensor:
    """Values whose logarithms follow Gumbel's distribution."""
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(seed)).clamp(1e-6, 1 - 1e-6)
    return (-scale * (-uniform.log()).log()).exp()


def lonely_views(views: int, scale: float = 0.25) -> GoodViews:
    """Views of which each shows five points that no other does, four of them free of noise: scores are independent."""
    values = torch.full((views, views, 5), NAN)
    for number, value in enumerate(gumbel((views,), scale, seed=1)):
        values[number, number] = torch.tensor([float(value), 0.1, 0.1, 0.1, 0.1])
    return GoodViews(values.view(views, -1), torch.arange(5 * views)[:, None])


def test_photos_are_blended_point_by_point() -> None:
    relative = torch.tensor([[0.0, 1.0, NAN, NAN], [2.0, NAN, NAN, -1.0]])
    expected = [math.exp((1 - MEAN_WEIGHT) * 2.0 + MEAN_WEIGHT * 1.0), math.exp(1.0), NAN, math.exp(-1.0)]
    assert blended(relative).tolist() == pytest.approx(expected, nan_ok=True)
    assert score_of(relative) == pytest.approx(expected[0])
    assert score_of(torch.full((2, 3), NAN)) == LEAST == largest_of(torch.zeros(0))


def test_the_level_is_the_mean_of_the_largest_values_around() -> None:
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(5, 7, generator=generator) + 0.1
    values[torch.rand(5, 7, generator=generator) < 0.4] = NAN
    neighbours = torch.stack([torch.tensor([point, (point + 1) % 7, (point + 3) % 7]) for point in range(7)])
    views = GoodViews(values, neighbours)

    def around(view: int, point: int) -> float | None:
        known = [float(values[view, one]) for one in neighbours[point] if not math.isnan(values[view, one])]
        return math.log(max(known)) if known else None

    everywhere = [each for view in range(5) for point in range(7) if (each := around(view, point)) is not None]
    mean = sum(everywhere) / len(everywhere)
    for without in (None, 3):
        level = views.level(without)
        for point in range(7):
            known = [around(view, point) for view in range(5) if view != without]
            kept = [each for each in known if each is not None]
            assert float(level[point]) == pytest.approx(
                (sum(kept) + USUAL * mean) / (len(kept) + USUAL) - mean, abs=1e-5
            )
    assert torch.allclose(views.against_others[3], values[3].log() - SHARE * views.level(3), equal_nan=True, atol=1e-6)
    relative = values[0].log() - SHARE * views.level()
    sizes = sorted(float(each) for each in relative if not math.isnan(each))
    place = MOST * (len(sizes) - 1)
    most = sizes[int(place)] + (place - int(place)) * (sizes[min(int(place) + 1, len(sizes) - 1)] - sizes[int(place)])
    wanted = relative - min(max(0.0, most - views.usual), math.log(AT_MOST))
    assert torch.allclose(views.relative(values[:1])[0], wanted, equal_nan=True, atol=1e-5)


def test_a_photo_that_differs_everywhere_is_no_defect() -> None:
    values = gumbel((30, 60), 0.25, seed=6)
    views = GoodViews(values, torch.arange(60)[:, None])
    good = gumbel((2, 60), 0.25, seed=7)
    wrong, defective, broken = good.clone(), good.clone(), good.clone()
    wrong[1] *= 5.0
    defective[1, 10:14] *= 30.0
    broken[1, :30] *= 30.0  # half of it is missing
    threshold = views.calibration(2, 0.05).threshold
    assert score_of(views.relative(wrong)) < threshold < score_of(views.relative(defective))
    assert threshold < score_of(views.relative(broken))


@pytest.mark.parametrize("photos", [1, 2, 4, 8])
def test_independent_photos_have_the_distribution_of_the_maximum(photos: int) -> None:
    views = lonely_views(400)
    single, several = views.calibration(1, 0.05), views.calibration(photos, 0.05)
    assert several.scale == single.scale == pytest.approx(0.25, rel=0.15)
    assert several.location == pytest.approx(single.location + single.scale * math.log(photos), abs=0.1)
    assert several.count == 400 / photos
    parts = gumbel((4000, photos), 0.25, seed=5).amax(1)  # parts of which no view was calibrated on
    assert float((parts > several.threshold).float().mean()) == pytest.approx(0.05, abs=0.03)


def test_more_photos_than_views_move_the_threshold_on() -> None:
    views = lonely_views(20)
    thresholds = [views.calibration(photos, 0.05).threshold for photos in (10, 20, 40)]
    assert thresholds[1] / thresholds[0] == pytest.approx(2 ** views.calibration(1, 0.05).scale, rel=1e-5)
    assert thresholds[2] > thresholds[1]


def test_photos_that_err_alike_count_as_one() -> None:
    values = gumbel((40, 1), 0.25, seed=3).expand(40, 30).clone()
    same = GoodViews(values[:1].expand(40, 30) * torch.ones(40, 1), torch.arange(30)[:, None])
    assert same.calibration(8, 0.05).location == pytest.approx(same.calibration(1, 0.05).location, abs=1e-4)
    lonely = lonely_views(40)
    assert lonely.calibration(8, 0.05).location > lonely.calibration(1, 0.05).location + 0.2


def test_where_good_views_err_more_is_expected() -> None:
    """A point at which the reference always errs does not make a good part defective."""
    values = 1.0 + 0.05 * gumbel((30, 50), 0.2, seed=4)
    values[:, 7] *= 3.0
    views = GoodViews(values, torch.arange(50)[:, None])
    good, defective = values[:2].clone(), values[:2].clone()
    defective[:, 20] *= 3.0
    threshold = views.calibration(2, 0.05).threshold
    assert score_of(views.relative(good)) < threshold < score_of(views.relative(defective))
    assert int(blended(views.relative(defective)).argmax()) == 20
    assert float(defective.max()) == float(good.max())  # single values do not tell them apart


def test_few_views_and_no_surface_have_a_calibration() -> None:
    two = GoodViews(torch.tensor([[0.5, NAN], [NAN, 0.8]]), torch.tensor([[0], [1]]))
    assert two.calibration(3, 0.05).threshold > 0.8
    none = GoodViews(torch.zeros(3, 0), torch.zeros(0, 0, dtype=torch.int64))
    assert isinstance(none.calibration(2, 0.05), Calibration)
    assert none.relative(torch.zeros(2, 0)).shape == (2, 0)
