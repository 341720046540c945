from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from retrieval.settings import RetrievalConfig
from retrieval.thumbnail_gallery import ThumbnailGallery
from retrieval.viewpoints import roll_rotations
from tests.inerf import scene
from tests.retrieval.rendered_views import CAMERA, grid, views_at
from utils.camera import pose_errors
from utils.views import Views


@pytest.fixture(scope="module")
def views() -> Views:
    return views_at(grid())


@pytest.fixture(scope="module")
def gallery(views: Views) -> ThumbnailGallery:
    return ThumbnailGallery.build(views, None, RetrievalConfig())


@pytest.fixture(scope="module")
def dense(views: Views) -> ThumbnailGallery:
    return ThumbnailGallery.build(views, scene.render, RetrievalConfig(virtual_views=300))


def nearest_error(poses: Tensor, truth: Tensor) -> float:
    return min(math.degrees(pose_errors(pose, truth)[0]) for pose in poses)


def photograph(pose: Tensor) -> Tensor:
    return scene.render(pose, CAMERA, oversample=4).colour


def test_a_view_finds_itself(views: Views, gallery: ThumbnailGallery) -> None:
    for index in range(0, len(views), 7):
        pose = gallery.retrieve(views.image(index), CAMERA, 1)[0]
        angle, distance = pose_errors(pose, views.camera_to_world[index])
        assert math.degrees(angle) < 0.1 and distance < 0.01


def test_virtual_views_come_nearer(gallery: ThumbnailGallery, dense: ThumbnailGallery) -> None:
    truths = [
        scene.camera(azimuth, elevation)
        for azimuth, elevation in ((15, 5), (135, -25), (225, 35), (345, 65), (45, -60))
    ]
    sparse_error = [nearest_error(gallery.retrieve(photograph(truth), CAMERA, 6), truth) for truth in truths]
    dense_error = [nearest_error(dense.retrieve(photograph(truth), CAMERA, 6), truth) for truth in truths]
    assert max(dense_error) < 10.0
    assert sum(dense_error) < sum(sparse_error)


def test_straight_down_at_any_turn(dense: ThumbnailGallery) -> None:
    for azimuth in (10, 75, 200, 290):
        truth = scene.camera(azimuth, 89.5)
        assert nearest_error(dense.retrieve(photograph(truth), CAMERA, 6), truth) < 18.0


def test_place_and_size_in_the_frame_are_undone(dense: ThumbnailGallery) -> None:
    for radius, target in (
        (2.6, (0.0, 0.0, 0.0)),
        (3.4, (0.0, 0.0, 0.0)),
        (3.0, (0.2, -0.1, 0.2)),
        (3.3, (-0.2, 0.1, 0.15)),
    ):
        truth = scene.camera(30, 20, radius, target)
        poses = dense.retrieve(photograph(truth), CAMERA, 1)
        angle, distance = pose_errors(poses[0], truth)
        assert math.degrees(angle) < 8.0
        at_rest = scene.camera(30, 20)
        assert distance < max(0.5, 0.8 * pose_errors(at_rest, truth)[1])


def test_varied_rolls_among_the_views_open_all_rolls() -> None:
    poses = grid()
    angles = torch.rand(len(poses), generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 * math.pi
    poses[:, :3, :3] = poses[:, :3, :3] @ roll_rotations(angles)
    rolled = ThumbnailGallery.build(views_at(poses), None, RetrievalConfig())
    assert len(rolled.rolls) == 30
    truth = scene.camera(33, 22)
    truth[:3, :3] = truth[:3, :3] @ roll_rotations(torch.tensor(2.0, dtype=torch.float64))
    assert nearest_error(rolled.retrieve(photograph(truth), CAMERA, 6), truth) < 10.0


def test_hypotheses_are_apart_and_ordered_by_nothing_else(dense: ThumbnailGallery) -> None:
    query = photograph(scene.camera(100, 15))
    poses = dense.retrieve(query, CAMERA, 6)
    assert poses.shape == (6, 4, 4)
    for first in range(6):
        for second in range(first):
            assert math.degrees(pose_errors(poses[first], poses[second])[0]) > 10.0
    dense.retrieve(photograph(scene.camera(10, -15)), CAMERA, 6)
    assert torch.equal(dense.retrieve(query, CAMERA, 6), poses)
    assert torch.equal(dense.retrieve(query, CAMERA, 3), poses[:3])


def test_a_gallery_comes_back_from_its_state(gallery: ThumbnailGallery) -> None:
    again = ThumbnailGallery.from_state_dict(gallery.state_dict())
    query = photograph(scene.camera(100, 15))
    assert torch.equal(again.retrieve(query, CAMERA, 4), gallery.retrieve(query, CAMERA, 4))
    state = gallery.state_dict()
    state.pop("sizes")
    with pytest.raises(ValueError, match="build it again"):
        ThumbnailGallery.from_state_dict(state)


def test_blank_images(views: Views, gallery: ThumbnailGallery) -> None:
    assert gallery.retrieve(torch.ones(96, 96, 3), CAMERA, 4).isfinite().all()
    blank = Views(
        torch.full_like(views.images, 255), None, views.camera_to_world, CAMERA, views.names, views.background
    )
    with pytest.raises(ValueError, match="view shows anything"):
        ThumbnailGallery.build(blank, None, RetrievalConfig())
    with pytest.raises(ValueError, match="at least one view"):
        ThumbnailGallery.build(views.subset([]), None, RetrievalConfig())


def test_wrong_size_is_refused(gallery: ThumbnailGallery) -> None:
    with pytest.raises(ValueError, match="query must be"):
        gallery.retrieve(torch.ones(50, 96, 3), CAMERA, 4)
