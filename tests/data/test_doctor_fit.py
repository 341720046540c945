"""Hull and hypotheses: each failure is found on an object that is known exactly, and nothing on good ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from data.doctor import hypotheses
from data.doctor.fit import VOTE, Fit, fit_hull, hull_silhouette, left_out_iou
from data.doctor.hypotheses import (
    IMAGES_AS_TEXT,
    LEFT_HANDED,
    LEFT_RIGHT,
    MIRROR,
    MIRRORED_AXIS,
    MIRRORED_WORLD,
    POSES_AS_TEXT,
    QUARTER_TURN,
    TRANSPOSED,
    TRANSPOSED_ROTATIONS,
    UPSIDE_DOWN,
    WORLD_TO_CAMERA,
    Hypothesis,
    PosedMasks,
    apply_to_poses,
    diagnose,
    flip_images,
    is_decisive,
    with_focal,
)
from data.doctor.quick import BAD_VERDICT, GOOD_VERDICT, NOTE
from data.doctor.verdict import check_scale, foreign_views, odd_views, scale_factor
from tests.data.toy_views import BALL, LOPSIDED, camera_of, poses_around, silhouettes_of
from utils.hull import inside_votes, lattice
from utils.progress import Progress

VIEWS, SIZE = 24, 48
NAMES = tuple(f"{index}.png" for index in range(VIEWS))
QUIET = Progress(quiet=True)
POSES, CAMERA = poses_around(VIEWS), camera_of(SIZE)
OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def turned(poses: np.ndarray) -> np.ndarray:
    poses = poses.copy()
    poses[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    return poses


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coarser hulls, for small pictures of a simple object."""
    monkeypatch.setattr(hypotheses, "COARSE_CELLS", 32)
    monkeypatch.setattr(hypotheses, "FINE_CELLS", 40)


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    return silhouettes_of(LOPSIDED, POSES, CAMERA)


TEXT_ORDER = np.argsort(np.array(NAMES))
SPOILED = [
    (Hypothesis(), POSES),
    (Hypothesis(convention=WORLD_TO_CAMERA), np.linalg.inv(POSES)),
    (Hypothesis(opencv=True), POSES @ OPENCV),
    (Hypothesis(convention=TRANSPOSED), POSES.transpose(0, 2, 1)),
    (Hypothesis(convention=TRANSPOSED_ROTATIONS), turned(POSES)),
    (Hypothesis(shift=1), np.roll(POSES, 1, axis=0)),
    (Hypothesis(shift=-1), np.roll(POSES, -1, axis=0)),
    (Hypothesis(order=POSES_AS_TEXT), POSES[TEXT_ORDER]),
    (Hypothesis(order=IMAGES_AS_TEXT), POSES[np.argsort(TEXT_ORDER)]),
    (Hypothesis(convention=WORLD_TO_CAMERA, opencv=True), np.linalg.inv(POSES @ OPENCV)),
    (Hypothesis(opencv=True, shift=1), np.roll(POSES, 1, axis=0) @ OPENCV),
    (Hypothesis(convention=LEFT_HANDED), MIRROR @ POSES @ MIRROR),
    (Hypothesis(convention=MIRRORED_WORLD), MIRROR @ POSES),
    (Hypothesis(convention=MIRRORED_AXIS), POSES @ MIRROR),
    (Hypothesis(turn=1), POSES @ np.linalg.inv(QUARTER_TURN)),
    (Hypothesis(turn=-1), POSES @ QUARTER_TURN),
]


@pytest.mark.parametrize(
    "truth, matrices", SPOILED, ids=lambda item: item.describe() if isinstance(item, Hypothesis) else ""
)
def test_a_failure_is_undone_by_its_hypothesis(truth: Hypothesis, matrices: np.ndarray) -> None:
    np.testing.assert_allclose(apply_to_poses(matrices, NAMES, truth), POSES, atol=1e-12)


@pytest.mark.parametrize(
    "truth, matrices", SPOILED, ids=lambda item: item.describe() if isinstance(item, Hypothesis) else ""
)
def test_each_failure_is_found(truth: Hypothesis, matrices: np.ndarray, masks: np.ndarray) -> None:
    found = diagnose(PosedMasks(matrices, masks, CAMERA, NAMES), QUIET)
    assert found.best == truth
    assert np.median(found.fit.iou) > 0.85


@pytest.mark.parametrize("flip", [LEFT_RIGHT, UPSIDE_DOWN])
def test_mirrored_pictures_are_found(flip: str, masks: np.ndarray) -> None:
    assert diagnose(PosedMasks(POSES, flip_images(masks, flip), CAMERA, NAMES), QUIET).best == Hypothesis(flip=flip)


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_a_wrong_focal_length_is_found(factor: float, masks: np.ndarray) -> None:
    best = diagnose(PosedMasks(POSES, masks, with_focal(CAMERA, factor), NAMES), QUIET).best
    assert best.focal == pytest.approx(1 / factor, rel=0.12)  # pictures of 48 pixels
    assert best == Hypothesis(focal=best.focal)


@pytest.mark.parametrize("views", [4, 8, VIEWS])
@pytest.mark.parametrize("balls", [BALL, LOPSIDED], ids=["ball", "lopsided"])
def test_good_sets_raise_no_alarm(views: int, balls: list[tuple[float, float, float, float]]) -> None:
    poses = POSES[:views]
    found = diagnose(PosedMasks(poses, silhouettes_of(balls, poses, CAMERA), CAMERA, NAMES[:views]), QUIET)
    assert found.best == Hypothesis()


def test_of_a_ball_mirroring_cannot_be_told() -> None:
    masks = silhouettes_of(BALL, POSES, CAMERA)
    assert diagnose(PosedMasks(POSES, flip_images(masks, LEFT_RIGHT), CAMERA, NAMES), QUIET).best == Hypothesis()


def test_a_view_left_out_is_one_that_is_not_there(masks: np.ndarray) -> None:
    points, side, _ = lattice(torch.full((3,), -1.0), torch.full((3,), 1.0), 40)
    cameras, cell_pixels = torch.from_numpy(POSES).float(), side * CAMERA.focal_x / 3.0
    found, _ = left_out_iou(points, cell_pixels, masks, cameras, CAMERA, VOTE)
    for view in (0, 7):
        others = np.delete(np.arange(VIEWS), view)
        kept = points[inside_votes(points, masks[others], cameras[others], CAMERA) >= VOTE]
        hull = hull_silhouette(Fit(found, kept.numpy(), side), POSES[view], CAMERA)
        assert found[view] == pytest.approx((hull & masks[view]).sum() / (hull | masks[view]).sum(), abs=0.02)


def test_the_fit_knows_neither_unit_nor_place(masks: np.ndarray) -> None:
    moved = POSES.copy()
    moved[:, :3, 3] = 1000.0 * POSES[:, :3, 3] + [5e4, -2e4, 1e4]
    near, far = fit_hull(masks, POSES, CAMERA, 40), fit_hull(masks, moved, CAMERA, 40)
    np.testing.assert_allclose(near.iou, far.iou, atol=0.03)
    assert far.side == pytest.approx(1000 * near.side, rel=0.05)


def test_the_hull_is_the_object(masks: np.ndarray) -> None:
    found = fit_hull(masks, POSES, CAMERA, 64)
    centre, radius = np.array(LOPSIDED[0][:3]), LOPSIDED[0][3]
    inner = np.linalg.norm(found.points - centre, axis=1) < 0.9 * radius
    assert inner.sum() * found.side**3 == pytest.approx(4 / 3 * np.pi * (0.9 * radius) ** 3, rel=0.05)


@pytest.mark.parametrize("poses", [np.eye(4)[None].repeat(VIEWS, 0), 0.0 * POSES], ids=["equal", "zero"])
def test_poses_without_sense_fit_nothing(poses: np.ndarray, masks: np.ndarray) -> None:
    fit = fit_hull(masks, poses, CAMERA, 40)
    assert np.isfinite(fit.iou).all() and fit.iou.max() < 0.7


def test_a_gain_must_be_large_and_sure() -> None:
    def fit(*iou: float) -> Fit:
        return Fit(np.array(iou), np.empty((0, 3), np.float32), 1.0)

    assert is_decisive(fit(0.5, 0.5, 0.5), fit(0.9, 0.9, 0.89), 1.25)
    assert not is_decisive(fit(0.9, 0.9, 0.9), fit(0.91, 0.91, 0.91), 1.25)  # sure, and small
    assert not is_decisive(fit(0.1, 0.9, 0.9), fit(0.9, 0.7, 0.9), 1.25)  # large, and owed to one view
    assert not is_decisive(fit(0.9, 0.9, 0.9), fit(0.5, 0.5, 0.5), 1.25)


def test_views_that_do_not_fit_are_named(masks: np.ndarray) -> None:
    poses = POSES.copy()
    poses[[3, 17]] = poses[[17, 3]]
    found = diagnose(PosedMasks(poses, masks, CAMERA, NAMES), QUIET)
    assert found.best == Hypothesis() and sorted(odd_views(found.agreement)) == [3, 17]


def test_a_shift_that_is_not_cyclic_leaves_one_pose_to_nobody(masks: np.ndarray) -> None:
    lagging = np.concatenate([POSES[:1], POSES[:-1]])
    found = diagnose(PosedMasks(lagging, masks, CAMERA, NAMES), QUIET)
    assert found.best == Hypothesis(shift=1) and foreign_views(found.agreement, 1).tolist() == [VIEWS - 1]


def test_distances_that_differ_too_much_are_noted_and_wrong_scales_are_not_excused() -> None:
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (500, 3))
    fit = cast(Fit, SimpleNamespace(points=points))

    def at(distances: np.ndarray) -> np.ndarray:
        poses = np.tile(np.eye(4), (len(distances), 1, 1))
        poses[:, 2, 3] = distances
        return poses

    even, spread = at(np.linspace(3.0, 5.0, 20)), at(np.concatenate([np.linspace(3.0, 5.0, 16), [1.5, 1.6, 7.5, 7.9]]))
    assert check_scale(fit, even).verdict == GOOD_VERDICT and scale_factor(fit, even) == 1.0
    assert check_scale(fit, spread).verdict == NOTE and scale_factor(fit, spread) == 1.0
    for factor in (0.2, 3.0, 1000.0):
        wrong = cast(Fit, SimpleNamespace(points=factor * points))
        assert check_scale(wrong, at(factor * np.linspace(3.0, 5.0, 20))).verdict == BAD_VERDICT
