"""Silhouettes and the visual hull, on spheres and rods drawn in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from utils.camera import Intrinsics, look_at, pixel_centres, project_points, world_rays
from utils.errors import InputError
from utils.hull import (
    dilate,
    dilation_radius,
    framed_pixels,
    inside_votes,
    lattice,
    object_bounds,
    silhouette,
    silhouettes,
    vote_share,
)
from utils.views import Views

CAMERA = Intrinsics.from_angle(64, 64, 0.69)
WHITE = (1.0, 1.0, 1.0)
CENTRE, RADIUS = torch.tensor([0.2, -0.1, 0.15]), 0.4
VOTE = 0.95  # one view of 24 may be wrong


def cameras() -> Tensor:
    """24 cameras around the origin, 3 units away."""
    poses = []
    for azimuth in range(0, 360, 60):
        for elevation in (-50, -20, 15, 50):
            a, e = math.radians(azimuth + elevation), math.radians(elevation)
            eye = 3 * torch.tensor([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
            poses.append(look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0])))
    return torch.stack(poses)


def ball_masks(poses: Tensor) -> np.ndarray:
    """Silhouettes of the ball."""
    masks = []
    for pose in poses:
        origins, directions = world_rays(pixel_centres(CAMERA), CAMERA, pose)
        offset = CENTRE - origins
        along = (offset * directions).sum(-1)
        masks.append((offset.square().sum(-1) - along.square() < RADIUS**2).numpy())
    return np.stack(masks)


def rod_masks(poses: Tensor) -> np.ndarray:
    """Silhouettes, a pixel wide, of a rod of no thickness from (0, 0, -0.5) to (0, 0, 0.5)."""
    points = torch.zeros(2000, 3)
    points[:, 2] = torch.linspace(-0.5, 0.5, 2000)
    masks = np.zeros((len(poses), 64, 64), bool)
    for mask, pose in zip(masks, poses):
        column, row = project_points(points, CAMERA, pose)[0].floor().long().unbind(-1)
        mask[row.numpy(), column.numpy()] = True
    return masks


def hull_of(masks: np.ndarray, poses: Tensor, cells: int = 16) -> tuple[Tensor, Tensor, float]:
    """Vertices over [-0.8, 0.8]^3, which of them are in the hull, and the cell's side."""
    points, side, _ = lattice(torch.full((3,), -0.8), torch.full((3,), 0.8), cells)
    grown = dilate(masks, dilation_radius(side, points, poses, CAMERA))
    return points, inside_votes(points, grown, poses, CAMERA) >= VOTE, side


def test_hull_holds_the_ball_and_little_more() -> None:
    poses = cameras()
    points, hull, side = hull_of(ball_masks(poses), poses)
    distance = (points - CENTRE).norm(dim=1)
    assert bool(hull[distance < RADIUS].all())
    assert not bool(hull[distance > RADIUS + 3 * side].any())


def test_votes_are_shares_of_the_views_that_frame_the_point() -> None:
    poses = cameras()
    masks = ball_masks(poses)
    votes = inside_votes(CENTRE[None], masks, poses, CAMERA)
    assert float(votes) == 1.0
    masks[:6] = False
    assert float(inside_votes(CENTRE[None], masks, poses, CAMERA)) == pytest.approx(0.75)
    assert float(inside_votes(torch.tensor([[0.0, 0.0, 90.0]]), masks, poses, CAMERA)) == 0.0


def test_votes_equal_those_counted_view_by_view() -> None:
    poses = cameras()
    masks = rod_masks(poses) | ball_masks(poses)
    points = 4 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) - 2
    inside, seen = torch.zeros(4000), torch.zeros(4000)
    for mask, pose in zip(torch.from_numpy(masks), poses):
        framed, flat = framed_pixels(points, pose, CAMERA)
        seen += framed
        inside += framed & mask.reshape(-1)[flat]
    votes = inside_votes(points, masks, poses, CAMERA)
    assert int((votes > 0).sum()) > 100
    assert float((votes - vote_share(inside, seen, len(poses)) != 0).float().mean()) < 2e-3  # rounding at pixels' edges


def test_few_wrong_silhouettes_carve_no_holes() -> None:
    poses = cameras()
    masks = ball_masks(poses)
    right = hull_of(masks, poses)[1]
    masks[7, :, 30:] = False  # half lost in glare
    points, hull, _ = hull_of(masks, poses)
    assert bool(hull[(points - CENTRE).norm(dim=1) < RADIUS].all()) and int((hull != right).sum()) < 0.2 * int(
        right.sum()
    )
    masks[18:21] = False
    assert not bool(hull_of(masks, poses)[1].any())  # four of 24 outvote the rest


def test_thin_rods_stay() -> None:
    poses = cameras()
    points, hull, side = hull_of(rod_masks(poses), poses)
    beside = points[:, :2].abs().amax(1) < 0.5 * side
    rod = beside & (points[:, 2].abs() <= 0.5)
    assert int(rod.sum()) >= 9 and bool(hull[rod].all())
    assert not bool(hull[points[:, :2].norm(dim=1) > 4 * side].any())


def test_corners_that_few_views_see_are_not_hull() -> None:
    poses = cameras()
    points, side, _ = lattice(torch.full((3,), -1.6), torch.full((3,), 1.6), 16)
    grown = dilate(ball_masks(poses), dilation_radius(side, points, poses, CAMERA))
    hull = inside_votes(points, grown, poses, CAMERA) >= VOTE
    assert bool(hull.any()) and not bool(hull[(points - CENTRE).norm(dim=1) > RADIUS + 3 * side].any())


def test_bounds_enclose_the_ball_closely() -> None:
    poses = cameras()
    low, high = object_bounds(ball_masks(poses), poses, CAMERA, VOTE)
    assert bool((low <= CENTRE - RADIUS).all()) and bool((high >= CENTRE + RADIUS).all())
    assert float((high - low).max()) < 3 * RADIUS


@pytest.mark.parametrize("kind", ["empty", "elsewhere"])
def test_poses_that_do_not_match_the_images_are_an_error(kind: str) -> None:
    poses = cameras()[::3]
    masks = np.zeros((len(poses), 64, 64), bool)
    if kind == "elsewhere":
        for number, mask in enumerate(masks):
            mask[2:8, 2:8] = number % 2 == 0
            mask[-8:-2, -8:-2] = number % 2 == 1
    with pytest.raises(InputError, match=r"poses and images do not match.*transforms\.json and --background"):
        object_bounds(masks, poses, CAMERA, VOTE)


def image_of(*boxes: tuple[slice, slice]) -> Tensor:
    """A white image (20, 30, 3) with grey boxes."""
    image = torch.full((20, 30, 3), 255, dtype=torch.uint8)
    for box in boxes:
        image[box] = 120
    return image


def test_silhouette_is_what_differs_with_holes_filled() -> None:
    image = image_of((slice(4, 16), slice(5, 20)))
    whole = silhouette(image, WHITE)
    assert whole.dtype == bool and int(whole.sum()) == 12 * 15
    image[7:12, 8:15] = 255  # a white face within
    np.testing.assert_array_equal(silhouette(image, WHITE), whole)
    image[7:12, 5:15] = 255  # a bay is no hole
    assert int(silhouette(image, WHITE).sum()) == 12 * 15 - 5 * 10


def test_silhouette_at_the_frame_leaves_the_background_open() -> None:
    bar = silhouette(image_of((slice(0, 20), slice(14, 16))), WHITE)  # parts the background in two
    assert int(bar.sum()) == 20 * 2
    corner = silhouette(image_of((slice(0, 6), slice(5, 6)), (slice(5, 6), slice(0, 6))), WHITE)
    assert int(corner.sum()) == 11  # what it cuts off lies at the frame, not within


def test_silhouette_forgives_noise_and_knows_its_background() -> None:
    image = image_of((slice(4, 16), slice(5, 20)))
    noisy = image.clone()
    noisy[0:3] -= 6
    np.testing.assert_array_equal(silhouette(noisy, WHITE), silhouette(image, WHITE))
    black = torch.where(image == 255, 0, image).to(torch.uint8)
    np.testing.assert_array_equal(silhouette(black, (0.0, 0.0, 0.0)), silhouette(image, WHITE))


def test_alpha_is_trusted() -> None:
    image, alpha = image_of((slice(4, 16), slice(5, 20))), torch.zeros(20, 30, dtype=torch.uint8)
    alpha[2:18, 3:25], alpha[8:10, 8:10] = 255, 0  # white rim is object, the hole is a hole
    np.testing.assert_array_equal(silhouette(image, WHITE, alpha), alpha.numpy() > 0)
    views = Views(image[None], alpha[None], torch.eye(4)[None], CAMERA, ("0",), WHITE)
    np.testing.assert_array_equal(silhouettes(views)[0], alpha.numpy() > 0)
    plain = Views(image[None], None, torch.eye(4)[None], CAMERA, ("0",), WHITE)
    np.testing.assert_array_equal(silhouettes(plain)[0], silhouette(image, WHITE))


def test_dilation_grows_by_whole_pixels() -> None:
    masks = np.zeros((2, 15, 15), bool)
    masks[0, 7, 7] = True
    assert [int(dilate(masks, radius)[0].sum()) for radius in (0, 1, 1.2, 3)] == [1, 9, 25, 49]
    assert not dilate(masks, 3)[1].any()


def test_lattice_spans_the_box() -> None:
    low, high = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([2.0, 2.0, 0.3])
    points, side, shape = lattice(low, high, 10)
    assert side == pytest.approx(0.2) and shape == (11, 6, 8) and points.shape == (11 * 6 * 8, 3)
    assert bool((points.amin(0) == low).all()) and bool((points.amax(0) >= high - 1e-6).all())
    grid = points.reshape(*shape, 3)
    torch.testing.assert_close(grid[3, 2, 5], low + side * torch.tensor([3.0, 2.0, 5.0]))
