"""Filters of images: OpenCV's against their twins, and against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from utils import smoothing
from utils.smoothing import largest, smallest, smooth

IMAGES = [
    torch.rand(shape, generator=torch.Generator().manual_seed(0)) for shape in ((31, 40), (31, 40, 1), (25, 19, 20))
]


@pytest.mark.parametrize("image", IMAGES)
def test_filters_equal_their_twins(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = [lambda each: smooth(each, 2.5), lambda each: largest(each, 2), lambda each: smallest(each, 1)]
    expected = [each(image) for each in filters]
    monkeypatch.setattr(smoothing, "on_cpu", lambda _: False)
    for one, each in zip(expected, filters):
        assert one.shape == image.shape and torch.allclose(one, each(image), atol=1e-6)


def test_filters_are_those_of_scipy() -> None:
    image = IMAGES[0].numpy()
    gaussian = ndimage.gaussian_filter(image, 2.5, mode="nearest", radius=8)
    assert np.allclose(smooth(IMAGES[0], 2.5), gaussian, atol=1e-5)
    assert np.array_equal(largest(IMAGES[0], 2), ndimage.maximum_filter(image, 5, mode="nearest"))
    assert np.array_equal(smallest(IMAGES[0], 2), ndimage.minimum_filter(image, 5, mode="nearest"))
