"""Renderings corrected by the residuals of views, on an exact world of spheres that a "field" shows wrongly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nerf import residual_torch
from nerf.residual_building import build_residual_views, calibrate_expectation
from nerf.residual_views import FLOOR, ResidualViews, decode, encode
from nerf.voxel.field import load_voxel_field
from nerf.voxel.train import train_voxel_field
from tests.inerf.scene import camera, render
from tests.nerf.scene import CAMERA, CONFIG, WHITE, ball_views, random_field
from utils.camera import Intrinsics, look_at, pixel_centres, project_points, world_rays
from utils.exposure import rendered_pairs
from utils.rendering import RESIDUAL_SIGMA, RenderFn, Rendering
from utils.run_context import RunContext
from utils.smoothing import smooth
from utils.views import Views

POSES = [camera(azimuth, elevation).float() for azimuth, elevation in ((33, 30), (111, -10), (200, 0), (280, -35))]
WRONG = torch.tensor([0.2, -0.1, 0.15])


def surface(rendering: Rendering, pose: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Return the points (height, width, 3) that the pixels show."""
    origins, directions = world_rays(pixel_centres(intrinsics), intrinsics, pose.float())
    return origins + directions * rendering.depth[..., None]


def render_wrongly(pose: Tensor, intrinsics: Intrinsics) -> Rendering:
    """Render the spheres, of another colour where z is above 0.1."""
    right = render(pose, intrinsics)
    place = (right.opacity > 0.5) & (surface(right, pose, intrinsics)[..., 2] > 0.1)
    return replace(right, colour=(right.colour - place[..., None] * WRONG).clamp(0, 1))


def error(rendering: Rendering, truth: Rendering, place: Tensor) -> float:
    """Return the root mean square difference of colours at ``place`` (height, width)."""
    return float((rendering.colour - truth.colour)[place].square().mean().sqrt())


@pytest.fixture(scope="module")
def views() -> Views:
    return ball_views()


@pytest.fixture(scope="module")
def stored(views: Views) -> ResidualViews:
    return build_residual_views(render_wrongly, views, nearest=6)


def test_codes_keep_the_range_and_small_residuals() -> None:
    residual = torch.cat([torch.linspace(-1, 1, 2001), torch.linspace(-0.02, 0.02, 41)])
    off = (decode(encode(residual)) - residual).abs()
    assert bool((off <= residual.abs().sqrt() / 127 + 2e-5).all())
    assert decode(torch.tensor([128], dtype=torch.uint8)).item() == 0 and decode(encode(torch.ones(1))).item() == 1


@pytest.mark.parametrize("width", [48, 77])
@pytest.mark.parametrize("pose", POSES)
def test_compiled_loops_equal_their_twin(stored: ResidualViews, pose: Tensor, width: int) -> None:
    intrinsics = Intrinsics.from_angle(width, width + 8, 0.6)
    rendering = render_wrongly(pose, intrinsics)
    images, (chosen, _) = (rendering.opacity, rendering.depth), stored.choose(pose)
    lens = torch.tensor([intrinsics.focal_x, intrinsics.focal_y, intrinsics.centre_x, intrinsics.centre_y])
    blended = stored.blend(*images, pose, lens, chosen)
    twin = residual_torch.blend_residuals(*images, pose, lens, stored.arrays, chosen, stored.tolerance)
    assert float(blended[..., :3].abs().max()) > 0.1 and float((blended[..., 4] > 0).float().mean()) > 0.1
    assert float(((blended[..., :4] - twin[..., :4]).abs() > 1e-3).float().mean()) < 1e-3  # rounding at tolerances
    assert (
        float(((blended[..., 4] / twin[..., 4].clamp(min=1e-6) - 1).abs() > 1e-2)[twin[..., 4] > 0].float().mean())
        < 1e-2
    )
    single = stored.look_up(*images, pose, lens, chosen)
    twins = residual_torch.look_up_views(*images, pose, lens, stored.arrays, chosen, stored.tolerance)
    assert single.shape == (*rendering.opacity.shape, 4 * len(chosen)) and float(single[..., 3::4].mean()) > 0.05
    assert float(((single - twins).abs() > 1e-3).float().mean()) < 1e-3
    cells = (stored.counts, stored.lattice[:3], float(stored.lattice[3]))
    seen, expected = (
        stored.count_by_cells(*images, pose, lens),
        residual_torch.look_up_counts(*images, pose, lens, cells),
    )
    assert seen.dtype == torch.uint8 and float((seen != expected).float().mean()) < 2e-3


@pytest.mark.parametrize("pose", POSES)
def test_few_views_are_counted_one_by_one(pose: Tensor) -> None:
    """By the true surface: the views in whose image it projects to where they show that distance."""
    views = ball_views()
    few = views.subset(list(range(0, len(views), 4)))
    stored, rendering = build_residual_views(render_wrongly, few, nearest=6), render_wrongly(pose, CAMERA)
    points, truth = surface(rendering, pose, CAMERA), torch.zeros(48, 48)
    for camera_to_world in few.camera_to_world:
        pixels, _ = project_points(points.reshape(-1, 3), CAMERA, camera_to_world)
        column, row = pixels.floor().long().clamp(0, 47).unbind(-1)
        shown = render(camera_to_world, CAMERA)
        distance = (points.reshape(-1, 3) - camera_to_world[:3, 3]).norm(dim=1)
        near = (shown.depth[row, column] - distance).abs() < 0.5 * stored.tolerance
        truth += (near & (shown.opacity[row, column] > 0.5)).view(48, 48)
    solid, seen = rendering.opacity == 1, stored.correct(rendering, pose, CAMERA).views_seen
    assert seen is not None and int(seen[rendering.opacity == 0].max()) == 0
    assert 0 < float(truth[solid].mean()) < len(few) - 1
    assert float((seen[solid] - truth[solid]).abs().mean()) < 0.45 * float(truth[solid].mean())
    assert float(((seen == 0) == (truth == 0))[solid].float().mean()) > 0.85


def test_compiled_counts_equal_their_twin(stored: ResidualViews) -> None:
    side, low = float(stored.lattice[3]), stored.lattice[:3]
    counts = torch.zeros(stored.counts.shape, dtype=torch.int32)
    residual_torch.count_views(stored.arrays, low, side, counts)
    spread = torch.nn.functional.max_pool3d(counts[None].float(), 3, stride=1, padding=1)[0].to(torch.uint8)
    assert int(spread.max()) > 5 and float((spread != stored.counts).float().mean()) < 2e-2  # rounding at cells' faces


@pytest.mark.parametrize("intrinsics", [CAMERA, CAMERA.resized(96, 96), Intrinsics(60, 40, 70.0, 75.0, 28.0, 22.0)])
def test_a_wrong_colour_is_corrected_for_any_camera(stored: ResidualViews, intrinsics: Intrinsics) -> None:
    for pose in POSES:
        truth, wrong = render(pose, intrinsics), render_wrongly(pose, intrinsics)
        place = (wrong.colour - truth.colour).abs().amax(-1) > 0.05
        corrected = stored.correct(wrong, pose, intrinsics)
        assert int(place.sum()) > 30
        assert error(corrected, truth, place) < 0.35 * error(wrong, truth, place)
        rest = (truth.opacity == 1) & ~torch.nn.functional.max_pool2d(place[None].float(), 5, 1, 2)[0].bool()
        assert error(corrected, truth, rest) < 0.03
        assert torch.equal(corrected.depth, wrong.depth) and torch.equal(corrected.opacity, wrong.opacity)


def wall(distance: float, colour: float) -> RenderFn:
    """Return the renderer of a grey plane, ``distance`` in front of every camera, in the left three quarters."""

    def render(camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        shape = (intrinsics.height, intrinsics.width)
        opacity = (torch.arange(shape[1]) < 0.75 * shape[1]).float().expand(shape).contiguous()
        return Rendering(torch.full((*shape, 3), colour), opacity, distance * opacity)

    return render


def wall_views(count: int = 4) -> Views:
    """Return views from beside one another, a tenth brighter than ``wall`` renders them."""
    eyes = [torch.tensor([0.1 * number, 0.02 * number**2, 3.0]) for number in range(count)]
    poses = torch.stack([look_at(eye, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0])) for eye in eyes])
    images = torch.full((count, 48, 48, 3), round(0.6 * 255), dtype=torch.uint8)
    return Views(images, None, poses, CAMERA, tuple("0123"[:count]), WHITE)


def test_hidden_surfaces_take_no_residual_and_no_view_sees_them() -> None:
    views = wall_views()
    stored, pose = build_residual_views(wall(3.0, 0.5), views, nearest=3), views.camera_to_world[1]
    near = stored.correct(wall(3.0, 0.5)(pose, CAMERA), pose, CAMERA)
    behind = stored.correct(wall(3.0 + 2.0 * stored.tolerance, 0.5)(pose, CAMERA), pose, CAMERA)
    middle, right = (slice(10, 38), slice(10, 28)), (slice(None), slice(40, 48))
    torch.testing.assert_close(near.colour[middle], torch.full((28, 18, 3), 0.6), atol=4e-3, rtol=0)
    assert int(near.views_seen[middle].min()) == len(views)
    assert bool((behind.colour == 0.5).all()) and int(behind.views_seen.max()) == 0
    assert float(behind.expected_residual[middle].min()) >= stored.expectation.unseen
    for each in (near, behind):  # no surface at all
        assert int(each.views_seen[right].max()) == 0 and bool((each.colour[right] == 0.5).all())
        assert float(each.expected_residual[right].max()) == pytest.approx(FLOOR)


def test_no_view_predicts_itself(views: Views, stored: ResidualViews) -> None:
    images = views.images.clone()
    images[5] = torch.where((images[5] == 255).all(-1, keepdim=True), images[5], images[5].bitwise_xor(128))
    planted = build_residual_views(render_wrongly, replace(views, images=images), nearest=6)
    pose = views.camera_to_world[5]
    assert 5 not in stored.choose(pose, apart=5)[0] and stored.choose(pose)[0][0] == 5
    solid = stored.depths[5] > 0
    before, after = (decode(each.codes[5, ..., 3])[solid] for each in (stored, planted))
    assert float(before.median()) < 0.05 and float(after.median()) > 0.4
    unlike = [index for index in range(len(views)) if 5 not in stored.choose(views.camera_to_world[index], index)[0]]
    unlike.remove(5)
    assert len(unlike) > 5 and torch.equal(stored.codes[unlike], planted.codes[unlike])


def test_views_left_out_are_the_nearest_and_make_a_reference_remote(stored: ResidualViews) -> None:
    (near, angle), (far, wider) = (stored.choose(POSES[0], without=count) for count in (0, 3))
    assert torch.equal(near[3:], far[:3]) and len(far) == len(near) == 6 and wider > angle
    assert len(stored.choose(POSES[0], without=99)[0]) == 1
    one, other = (stored.correct(render_wrongly(POSES[0], CAMERA), POSES[0], CAMERA, count) for count in (0, 3))
    assert other.growth / one.growth == pytest.approx((wider / max(angle, 0.05)) ** 0.5, rel=1e-3)
    assert one.expected_residual is not None and other.expected_residual is not None
    solid = one.opacity == 1
    assert float(other.expected_residual[solid].mean()) > float(one.expected_residual[solid].mean())


def test_views_that_differ_disagree() -> None:
    views = wall_views()
    images = views.images.clone()
    images[::2, :20] = round(0.8 * 255)  # of every other view
    middle = (slice(24, 38), slice(10, 28))
    for seen, upper in ((views.images, 0.0), (images, 0.1)):
        stored = build_residual_views(wall(3.0, 0.5), replace(views, images=seen), nearest=4)
        found = stored.correct(wall(3.0, 0.5)(views.camera_to_world[1], CAMERA), views.camera_to_world[1], CAMERA)
        assert found.disagreement is not None and found.disagreement.shape == (48, 48)
        grown = found.growth
        assert float(found.disagreement[5:12, 10:28].mean()) / grown == pytest.approx(upper, abs=0.01)
        assert float(found.disagreement[30:38, 10:28].max()) < 0.01
        assert float(found.disagreement[middle].mean()) < 0.02


def test_the_same_views_give_the_same_residuals(views: Views, stored: ResidualViews) -> None:
    again = build_residual_views(render_wrongly, views, nearest=6)
    assert again.header() == stored.header()
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in stored.tensors().items())


def test_a_view_without_the_object_corrects_nothing(views: Views) -> None:
    away = views.camera_to_world.clone()
    away[3, :3, :3] = away[3, :3, :3] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    images = views.images.clone()
    images[3] = 255
    stored = build_residual_views(render_wrongly, replace(views, camera_to_world=away, images=images), nearest=6)
    assert int(stored.depths[3].max()) == 0 and int(stored.depths[4].max()) > 0
    truth, wrong = render(POSES[0], CAMERA), render_wrongly(POSES[0], CAMERA)
    solid = truth.opacity == 1
    assert error(stored.correct(wrong, POSES[0], CAMERA), truth, solid) < 0.5 * error(wrong, truth, solid)


def test_field_and_residuals_come_back_bit_for_bit(stored: ResidualViews, tmp_path: Path) -> None:
    field = replace(random_field(), residual_views=stored)
    field.save(tmp_path / "field.safetensors")
    again = load_voxel_field(tmp_path / "field.safetensors")
    one, other = (each.render_reference(POSES[0], CAMERA) for each in (field, again))
    assert one.growth == other.growth
    assert all(torch.equal(each, vars(other)[name]) for name, each in vars(one).items() if isinstance(each, Tensor))
    known = field.render_reference(POSES[0], CAMERA, field.render(POSES[0], CAMERA))
    assert torch.equal(known.colour, one.colour) and not torch.equal(one.colour, field.render(POSES[0], CAMERA).colour)
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "field.safetensors").read_bytes()


def test_a_trained_field_is_corrected_and_knows_how_well(views: Views) -> None:
    field = train_voxel_field(views, replace(CONFIG, residual_views=6), RunContext(torch.device("cpu")), None)
    held_out = [camera(azimuth, elevation).float() for azimuth in (10, 100, 190, 280) for elevation in (-32, 5, 33)]
    images = torch.stack([(255 * render(pose, CAMERA).colour).round().byte() for pose in held_out])
    names = tuple(str(number) for number in range(len(held_out)))
    field = field.calibrate(rendered_pairs(field, Views(images, None, torch.stack(held_out), CAMERA, names, WHITE)))
    plain, corrected, expected, smoothed = [], [], [], []
    for pose in POSES:  # others than those of the calibration
        truth, reference = render(pose, CAMERA), field.render_reference(pose, CAMERA)
        solid = reference.opacity >= 0.1
        plain.append(error(field.render(pose, CAMERA), truth, solid))
        corrected.append(error(reference, truth, solid))
        expected.append(float(reference.expected_residual[solid].square().mean().sqrt()))
        difference = smooth(reference.colour - truth.colour, RESIDUAL_SIGMA)
        smoothed.append(float(difference[solid].square().mean().sqrt()))
        assert float(reference.views_seen[solid].float().mean()) > 4
    assert sum(corrected) < 0.95 * sum(plain)  # with few views of few pixels
    assert 0.67 < sum(expected) / sum(smoothed) < 1.5


def test_calibration_finds_factor_and_floor(stored: ResidualViews) -> None:
    """Residuals of 1.5 times what views say, over a floor, are expected so afterwards."""
    pairs: list[tuple[Rendering, Tensor]] = []
    for pose in POSES:
        rendering = stored.correct(render_wrongly(pose, CAMERA), pose, CAMERA)
        grown, said = rendering.growth, torch.linspace(0, 0.06, 48).expand(48, 48)
        rendering = replace(rendering, expected_residual=grown * (said**2 + FLOOR**2).sqrt())
        residual = grown * ((1.5 * said) ** 2 + 0.02**2).sqrt() * (1 if len(pairs) % 2 else -1)
        pairs.append((rendering, rendering.colour + residual[..., None]))
    known = calibrate_expectation(stored, pairs).expectation
    assert known.factor == pytest.approx(1.5, rel=0.08) and known.floor == pytest.approx(0.02, rel=0.15)
    assert known.unseen == stored.expectation.unseen
    assert calibrate_expectation(stored, []) is stored


def test_without_residual_views_the_reference_is_the_rendering() -> None:
    field = random_field()
    assert field.calibrate([]) is field
    one, other = field.render(POSES[0], CAMERA), field.render_reference(POSES[0], CAMERA)
    assert torch.equal(one.colour, other.colour) and other.views_seen is None and other.expected_residual is None
