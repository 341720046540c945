"""Posed images and their split."""

from __future__ import annotations

import pytest
import torch

from utils.camera import Intrinsics
from utils.views import FOLDS, Views, split_folds, split_held_out


def numbered(alphas: bool) -> Views:
    """Five views whose every number is that of the view."""
    number = torch.arange(5, dtype=torch.uint8)
    images = number[:, None, None, None].expand(5, 2, 3, 3).clone()
    poses = torch.eye(4) * torch.arange(5)[:, None, None]
    names = tuple(f"view {index}" for index in range(5))
    return Views(images, images[..., 0] if alphas else None, poses, Intrinsics(3, 2, 3, 3, 1.5, 1), names, (1, 1, 1))


@pytest.mark.parametrize("alphas", [True, False])
def test_subset_keeps_what_belongs_together(alphas: bool) -> None:
    part = numbered(alphas).subset([4, 0, 2])
    assert len(part) == 3 and part.names == ("view 4", "view 0", "view 2")
    for index, number in enumerate((4, 0, 2)):
        assert bool((part.images[index] == number).all()) and float(part.camera_to_world[index, 0, 0]) == number
        assert part.alphas is None if not alphas else bool((part.alphas[index] == number).all())
    assert len(numbered(alphas).subset([])) == 0


def test_image_is_between_zero_and_one() -> None:
    views = numbered(False)
    views.images[1] = torch.tensor([0, 51, 255], dtype=torch.uint8)
    image = views.image(1)
    assert image.dtype == torch.float32 and image.shape == (2, 3, 3)
    torch.testing.assert_close(image[1, 2], torch.tensor([0.0, 0.2, 1.0]))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 210])
@pytest.mark.parametrize("every", [2, 8])
def test_split_parts_all_views(count: int, every: int) -> None:
    train, held_out = split_held_out(count, every)
    assert sorted(train + held_out) == list(range(count)) and train == sorted(train)
    assert len(held_out) == -(-count // every) and all(index % every == 0 for index in held_out)


@pytest.mark.parametrize("count", [2, 3, 4, 10, 24])
def test_of_few_views_each_is_held_out_once(count: int) -> None:
    folds = split_folds(count)
    assert len(folds) == min(count, FOLDS)
    assert sorted(row for _, held_out in folds for row in held_out) == list(range(count))
    assert all(sorted(train + held_out) == list(range(count)) and train for train, held_out in folds)


@pytest.mark.parametrize(("count", "every"), [(25, 8), (60, 8), (210, 8), (8, 2)])
def test_many_views_are_split_once(count: int, every: int) -> None:
    assert split_folds(count, every) == [split_held_out(count, every)]


def test_shrunk_views_are_averaged_and_seen_by_a_smaller_camera() -> None:
    images = torch.arange(7 * 5 * 3, dtype=torch.uint8).reshape(1, 7, 5, 3)
    views = Views(images, images[..., 0], torch.eye(4)[None], Intrinsics(5, 7, 8.0, 8.0, 2.5, 3.5), ("a",), (1, 1, 1))
    small = views.shrunk(2)
    assert small.intrinsics == Intrinsics(2, 3, 4.0, 4.0, 1.25, 1.75)
    expected = images[:, :6, :4].float().reshape(3, 2, 2, 2, 3).mean((1, 3)).round()
    assert torch.equal(small.images[0].float(), expected) and small.alphas is not None
    assert torch.equal(small.alphas[0].float(), expected[..., 0])
    assert views.shrunk(1) is views and views.shrunk(9) is views
