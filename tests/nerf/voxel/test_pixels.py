"""The pixels that training draws from."""

from __future__ import annotations

import numpy as np
import pytest

from nerf.voxel.pixels import (
    EDGE_CONTRAST,
    RUN_LENGTH,
    SILHOUETTE_MARGIN,
    TrainingPixels,
    select_pixels,
    shrink_factor,
)
from tests.nerf.scene import ball_views
from utils.hull import silhouettes
from utils.views import Views


@pytest.fixture(scope="module")
def views() -> Views:
    return ball_views()


@pytest.fixture(scope="module")
def pixels(views: Views) -> TrainingPixels:
    return select_pixels(views, silhouettes(views))


def test_every_pixel_near_the_object_is_trained_once(views: Views, pixels: TrainingPixels) -> None:
    found = np.zeros((len(views), 48, 48), int)
    view, column, row, _ = pixels.pixels.T
    np.add.at(found, (view, row, column), 1)
    assert found.max() == 1
    masks = silhouettes(views)
    for shift in (-SILHOUETTE_MARGIN, 0, SILHOUETTE_MARGIN):
        assert bool((found[np.roll(masks, shift, axis=2)] == 1).all())
        assert bool((found[np.roll(masks, shift, axis=1)] == 1).all())


def test_edges_get_four_rays(views: Views, pixels: TrainingPixels) -> None:
    assert set(pixels.pixels[:, 3].tolist()) == {1, 4}
    images = views.images.numpy().astype(int)
    for view, column, row, rays in pixels.pixels[:: len(pixels.pixels) // 200]:
        part = images[view, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        contrast = (part.max((0, 1)) - part.min((0, 1))).max()
        assert rays == (4 if contrast > EDGE_CONTRAST else 1)


def test_batches_are_runs_of_neighbours_and_follow_the_seed(pixels: TrainingPixels) -> None:
    one, offsets = pixels.draw_batch(1000, np.random.default_rng([0, 5]))
    assert one.shape == (1000 // RUN_LENGTH * RUN_LENGTH, 4) and one.dtype == np.int32 and offsets.dtype == np.float32
    assert offsets.min() >= 0 and offsets.max() < 1 and offsets.std() > 0.2
    again, same = pixels.draw_batch(1000, np.random.default_rng([0, 5]))
    other, _ = pixels.draw_batch(1000, np.random.default_rng([0, 6]))
    assert np.array_equal(one, again) and np.array_equal(offsets, same) and not np.array_equal(one, other)
    order = {tuple(pixel): number for number, pixel in enumerate(pixels.pixels.tolist())}
    places = np.array([order[tuple(pixel)] for pixel in one.tolist()]).reshape(-1, RUN_LENGTH)
    assert bool((np.diff(places, axis=1) == 1).all())


def test_few_pixels_make_a_small_batch() -> None:
    few = TrainingPixels(np.arange(20, dtype=np.int32).reshape(5, 4))
    batch, offsets = few.draw_batch(64, np.random.default_rng(0))
    assert len(batch) == len(offsets) and np.array_equal(batch[:5], few.pixels)


def test_masks_shrink_with_the_views(views: Views) -> None:
    masks = silhouettes(views)
    small = select_pixels(views.shrunk(4), masks, 0).pixels
    touched = masks.reshape(len(views), 12, 4, 12, 4).any((2, 4))
    assert {tuple(pixel) for pixel in small[:, :3].tolist()} == {(v, c, r) for v, r, c in np.argwhere(touched).tolist()}


def test_views_are_shrunk_to_about_a_voxel() -> None:
    assert [shrink_factor(1.0, voxel) for voxel in (0.5, 1.4, 1.5, 2.9, 3.0, 6.1)] == [1, 1, 2, 2, 4, 8]
