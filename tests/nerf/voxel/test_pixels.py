"""The pixels that training draws from."""

from __future__ import annotations

import numpy as np
import pytest

from nerf.voxel.pixels import EDGE_CONTRAST, RUN_LENGTH, SILHOUETTE_MARGIN, TrainingPixels, project_hull, select_pixels
from tests.nerf.scene import CONFIG, ball_views
from utils.camera import project_points
from utils.hull import object_bounds, silhouettes, visual_hull
from utils.views import Views


@pytest.fixture(scope="module")
def views() -> Views:
    return ball_views()


@pytest.fixture(scope="module")
def pixels(views: Views) -> TrainingPixels:
    masks = silhouettes(views)
    cameras, camera = views.camera_to_world, views.intrinsics
    bounds = object_bounds(masks, cameras, camera, CONFIG.hull_min_view_share)
    hull = visual_hull(masks, cameras, camera, bounds, CONFIG.resolutions()[0], CONFIG.hull_min_view_share)
    return select_pixels(views, masks, hull.points)


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


def test_hull_is_projected_onto_squares_and_their_neighbours(views: Views) -> None:
    point = views.camera_to_world.new_tensor([[0.2, -0.1, 0.3]])
    for view in (0, 7, 20):
        (x, y), _ = (part[0] for part in project_points(point, views.intrinsics, views.camera_to_world[view]))
        mask = project_hull(point, views, view, 1)
        assert mask.shape == (48, 48) and mask[int(y), int(x)] == 1 and mask.sum() == 9
    behind = views.camera_to_world[0][:3, 3] + views.camera_to_world[0][:3, 2]
    assert project_hull(behind[None], views, 0, 2).sum() == 0
