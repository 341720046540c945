"""Residuals against obvious twins."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from scoring.residuals import beyond_range, gaussian_blur, neighbourhood_range, object_crop, shading
from utils.rendering import Rendering


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_neighbourhood_range_is_pooling() -> None:
    image = noise(3, 17, 23)
    for radius in (1, 2):
        padded = functional.pad(image[None], [radius] * 4, mode="replicate")
        low, high = neighbourhood_range(image, radius)
        assert torch.equal(high, functional.max_pool2d(padded, 2 * radius + 1, 1)[0])
        assert torch.equal(low, -functional.max_pool2d(-padded, 2 * radius + 1, 1)[0])


def test_blur_is_scipys() -> None:
    image = noise(2, 31, 26)
    expected = np.stack([gaussian_filter(c.numpy(), 2.0, mode="nearest", truncate=3.0) for c in image])
    np.testing.assert_allclose(gaussian_blur(image, 2.0).numpy(), expected, atol=1e-5)


def test_a_shift_of_one_pixel_leaves_nothing() -> None:
    image = noise(3, 20, 20)
    moved = image.roll((1, -1), (1, 2))
    inner = beyond_range(moved, *neighbourhood_range(image, 1))[:, 2:-2, 2:-2]
    assert float(inner.abs().max()) == 0.0
    assert float(beyond_range(image + 2, *neighbourhood_range(image, 1)).min()) > 0.9


def test_shading_is_removed_and_a_small_defect_is_not() -> None:
    slope = torch.linspace(-0.05, 0.05, 64).expand(3, 64, 64)
    stained = slope.clone()
    stained[0, 30:34, 30:34] += 0.5
    rest = stained - shading(stained, torch.ones(64, 64))
    assert float(rest[:, 8:-8, 8:20].abs().max()) < 0.01
    assert float(rest[0, 31, 31]) > 0.45
    assert float(shading(slope, torch.zeros(64, 64)).abs().max()) == 0.0


def test_the_crop_holds_what_either_image_shows() -> None:
    query, colour, opacity = torch.ones(80, 90, 3), torch.ones(80, 90, 3), torch.zeros(80, 90)
    colour[30:40, 30:40], opacity[30:40, 30:40] = 0.5, 1.0
    query[30:40, 60:62] = 0.2
    crop = object_crop(query, Rendering(colour, opacity, opacity))
    assert (crop.top, crop.bottom, crop.left, crop.right) == (18, 52, 18, 74)
    blank = object_crop(torch.ones(80, 90, 3), Rendering(torch.ones(80, 90, 3), torch.zeros(80, 90), opacity))
    assert (blank.bottom, blank.right) == (80, 90)
