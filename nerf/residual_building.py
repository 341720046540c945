"""Residual views, made from a trained field and the views that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool3d, normalize

from nerf import residual_kernels, residual_torch
from nerf.residual_kernels import MIN_OPACITY
from nerf.residual_torch import surface_points
from nerf.residual_views import (
    FLOOR,
    MIDDLE,
    MIN_ANGLE,
    MIN_SMOOTHED,
    Expectation,
    ResidualViews,
    decode,
    encode,
    grow,
    thinned,
)
from utils.geometry import common_point
from utils.rendering import RESIDUAL_SIGMA, RenderFn, Rendering
from utils.smoothing import smooth
from utils.views import Views

TOLERANCE = 12.0  # pixels, at the object's distance, by which a view's surface may lie off a point that it shows
CELL = 4.0  # pixels, likewise: side of the cells in which the views that show a surface are counted
EVERY = 2  # pixels, across and down, of which one is predicted from the other views
MAX_CELLS = 256  # along an axis
BOUNDING = 16  # views, at least, that bound the cells
MAX_STEP = 255  # of depths, which are uint8
BINS, MIN_BIN = 10, 100  # bins by which expected residuals are calibrated, and pixels that each must have
FACTORS = (-0.6, 0.6)  # decimal logarithms between which the factor is sought
FLOORS = (-2.7, -1.0)  # and the floor


@dataclass(frozen=True)
class Shot:
    """A view's residual in the smallest window that holds the object."""

    corner: tuple[int, int]  # left, top
    residual: Tensor  # (height, width, 3)
    depth: Tensor  # (height, width); 0 where there is no surface
    rim: Tensor  # (pixels,) squared residuals beside the silhouette


def build_residual_views(render: RenderFn, views: Views, nearest: int) -> ResidualViews:
    """Compute the residuals of ``views``, exposed alike, over ``render``, and how well views predict one another.

    Args:
        nearest: views that correct a pixel of a query, 1 or more.
    """
    shots = []
    for index in range(len(views)):
        shots.append(take_shot(render, views, index))
    stored = pack_shots(shots, views, nearest)
    counts, lattice = count_cells(stored)
    stored = replace(stored, counts=counts, lattice=lattice)
    return expect_errors(stored, torch.cat([shot.rim for shot in shots]))


def take_shot(render: RenderFn, views: Views, index: int) -> Shot:
    """Render at the pose of a view, and compare."""
    rendering = render(views.camera_to_world[index], views.intrinsics)
    residual = views.image(index).to(rendering.colour.device) - rendering.colour
    solid = rendering.opacity >= float(MIN_OPACITY)
    beside = grow(solid) & ~solid
    (top, bottom), (left, right) = (extent(solid.any(axis)) for axis in (1, 0))
    part = (slice(top, bottom), slice(left, right))
    depth = torch.where(solid, rendering.depth, 0.0)[part]
    return Shot((left, top), residual[part], depth, residual[beside].square().mean(-1))


def extent(used: Tensor) -> tuple[int, int]:
    """Return the first index of ``used`` (count,) bool that is True, and the one after the last; 0 and 0 for none."""
    places = used.nonzero()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


def pack_shots(shots: Sequence[Shot], views: Views, nearest: int) -> ResidualViews:
    """Compress all shots into windows of one size."""
    device = shots[0].depth.device
    height, width = (max(2, *(shot.depth.shape[axis] for shot in shots)) for axis in (0, 1))
    codes = torch.full((len(shots), height, width, 4), MIDDLE, dtype=torch.uint8, device=device)
    depths = torch.zeros(codes.shape[:3], dtype=torch.uint8, device=device)
    ranges = torch.ones(len(shots), 2, device=device)
    for index, shot in enumerate(shots):
        part = (index, slice(shot.depth.shape[0]), slice(shot.depth.shape[1]))
        solid = shot.depth > 0
        codes[(*part, slice(3))] = encode(shot.residual * solid[..., None])
        if bool(solid.any()):
            near, far = shot.depth[solid].min(), shot.depth[solid].max()
            step = (far - near).clamp(min=1e-6 * far) / (MAX_STEP - 1)
            ranges[index] = torch.stack([near - step, step])
            steps = ((shot.depth - near) / step).round().clamp(0, MAX_STEP - 1) + 1
            depths[part] = torch.where(solid, steps, 0.0).to(torch.uint8)
    centre = common_point(views.camera_to_world)
    distance = float((views.camera_to_world[:, :3, 3] - centre).norm(dim=1).median())
    pixel = distance / max(views.intrinsics.focal_x, views.intrinsics.focal_y)
    return ResidualViews(
        codes=codes,
        depths=depths,
        ranges=ranges,
        corners=torch.tensor([shot.corner for shot in shots], dtype=torch.int32, device=device),
        camera_to_world=views.camera_to_world.to(device).float().contiguous(),
        counts=torch.zeros(1, 1, 1, dtype=torch.uint8, device=device),
        lattice=torch.tensor([0.0, 0.0, 0.0, CELL * pixel], device=device),
        centre=centre.to(device),
        intrinsics=views.intrinsics,
        nearest=nearest,
        spacing=view_spacing(views.camera_to_world[:, :3, 3] - centre),
        tolerance=TOLERANCE * pixel,
    )


def view_spacing(offsets: Tensor) -> float:
    """Return the median angle in radians from a view at ``offsets`` (views, 3) from the centre to the nearest other."""
    directions = normalize(offsets, dim=1)
    closeness = (directions @ directions.T).fill_diagonal_(-1.0)
    return max(float(closeness.amax(1).clamp(max=1).acos().median()), MIN_ANGLE)


def count_cells(stored: ResidualViews) -> tuple[Tensor, Tensor]:
    """Count the views that show a surface in or beside each cell: return ``counts`` and ``lattice``."""
    some = range(0, len(stored.codes), max(1, len(stored.codes) // BOUNDING))
    points = torch.cat([shown_points(stored, index)[::7] for index in some])
    side, device = float(stored.lattice[3]), stored.codes.device
    if len(points) == 0:
        return stored.counts, stored.lattice
    side = max(side, float((points.amax(0) - points.amin(0)).max()) / (MAX_CELLS - 4))
    low = points.amin(0) - 2 * side
    shape = tuple(int(cells) + 4 for cells in (points.amax(0) - points.amin(0)) / side)
    counts = torch.zeros(shape, dtype=torch.int32, device=device)
    if device.type == "cpu":
        arrays = tuple(tensor.numpy() for tensor in stored.arrays)
        residual_kernels.count_views(arrays, low.numpy(), np.float32(side), counts.numpy())
    else:
        residual_torch.count_views(stored.arrays, low, side, counts)
    largest = max_pool3d(counts[None].float(), 3, stride=1, padding=1)[0]
    return largest.clamp(max=255).to(torch.uint8), torch.cat([low, low.new_tensor([side])])


def depth_of(stored: ResidualViews, index: int) -> Tensor:
    """Return the distance (height, width) along the rays to the surface that a view shows."""
    return stored.ranges[index, 0] + stored.depths[index] * stored.ranges[index, 1]


def window_lens(stored: ResidualViews, index: int) -> Tensor:
    """Return the focal lengths and the principal point (4,) of a view's window."""
    return stored.arrays.lens - torch.cat([stored.corners.new_zeros(2), stored.corners[index]])


def shown_points(stored: ResidualViews, index: int) -> Tensor:
    """Return the surface points (points, 3) that a view shows."""
    pose, lens = stored.camera_to_world[index], window_lens(stored, index)
    return surface_points(depth_of(stored, index), pose, lens)[0][stored.depths[index] > 0]


def expect_errors(stored: ResidualViews, rim: Tensor) -> ResidualViews:
    """Predict each view from the others; keep the errors with the views.

    Args:
        rim: (pixels,) squared residuals beside silhouettes.
    """
    codes, unseen, plain = stored.codes.clone(), [], []
    for index in range(len(codes)):
        error, missed, square = predict_view(stored, index)
        codes[index, ..., 3] = error
        unseen.append(missed)
        plain.append(square)
    known = Expectation(unseen=max(root_mean(torch.cat(each)) for each in (unseen, plain)), rim=root_mean(rim))
    return replace(stored, codes=codes, expectation=known)


def predict_view(stored: ResidualViews, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Predict a view from the others.

    Returns:
        The code (height, width) uint8 of the smoothed error; its square (pixels,) where no other view shows the
        surface; and the squared residual (pixels,).
    """
    depth, every = stored.depths[index], (slice(None, None, EVERY),) * 2
    solid, pose = (depth[every] > 0).float(), stored.camera_to_world[index]
    lens = thinned(window_lens(stored, index), EVERY)
    chosen, _ = stored.choose(pose, apart=index)
    blended = stored.blend(solid, depth_of(stored, index)[every], pose, lens, chosen)
    residual = decode(stored.codes[index][every][..., :3])
    share = box_mean(solid[None])[0]
    smoothed = box_mean(((residual - blended[..., :3]) * solid[..., None]).permute(2, 0, 1))
    square = (smoothed / share.clamp(min=MIN_SMOOTHED)).square().mean(0) * solid
    missed = square[(solid > 0) & (blended[..., 4] == 0)]
    error = encode((box_mean(square[None])[0] / share.clamp(min=1e-6)).sqrt().clamp(max=1))
    error = error.repeat_interleave(EVERY, 0).repeat_interleave(EVERY, 1)[: depth.shape[0], : depth.shape[1]]
    return torch.where(depth > 0, error, MIDDLE), missed, residual.square().mean(-1)[solid > 0]


def extend_residual_views(stored: ResidualViews, render: RenderFn, views: Views) -> ResidualViews:
    """Add ``views``, exposed as the field is, to the stored ones, whose residuals over ``render`` stay as they are.

    What residual to expect is kept too; ``calibrate_expectation`` fits it to held-out views.
    """
    added = pack_shots([take_shot(render, views, index) for index in range(len(views))], views, stored.nearest)
    height, width = (max(stored.depths.shape[axis], added.depths.shape[axis]) for axis in (1, 2))
    together: dict[str, Any] = {}
    for name, empty in (("codes", MIDDLE), ("depths", 0)):
        both = [getattr(one, name) for one in (stored, added)]
        room = torch.full((sum(map(len, both)), height, width, *both[0].shape[3:]), empty, dtype=torch.uint8)
        room = room.to(both[0].device)
        room[: len(both[0]), : both[0].shape[1], : both[0].shape[2]] = both[0]
        room[len(both[0]) :, : both[1].shape[1], : both[1].shape[2]] = both[1]
        together[name] = room
    for name in ("ranges", "corners", "camera_to_world"):
        together[name] = torch.cat([getattr(stored, name), getattr(added, name)])
    grown = replace(stored, **together)
    counts, lattice = count_cells(replace(grown, lattice=torch.cat([grown.lattice[:3] * 0, stored.lattice[3:]])))
    codes = grown.codes.clone()
    for index in range(len(stored.codes), len(codes)):
        codes[index, ..., 3] = predict_view(grown, index)[0]
    return replace(grown, codes=codes, counts=counts, lattice=lattice)


def box_mean(images: Tensor) -> Tensor:
    """Return the mean of 3 x 3 pixels of ``images`` (images, height, width), those outside counted as 0."""
    return avg_pool2d(images[None], 3, stride=1, padding=1)[0]


def root_mean(squares: Tensor) -> float:
    """Return the root of the mean of ``squares`` (pixels,); 0 for none."""
    return float(squares.double().mean().sqrt()) if len(squares) else 0.0


def calibrate_expectation(stored: ResidualViews, pairs: Sequence[tuple[Rendering, Tensor]]) -> ResidualViews:
    """Set factor and floor of the expected residuals to what views show that the field was not trained on.

    Residuals are smoothed, and pixels sorted into bins by what training views say; factor and floor are those with
    which the bins' root mean squares fit best, by least squares of their logarithms.

    Args:
        pairs: renderings as ``correct`` returned them for held-out views, and those views (height, width, 3).
    Returns:
        The residual views with the new expectation; unchanged where too few pixels show the object.
    """
    known, said, found = stored.expectation, [], []
    for rendering, image in pairs:
        assert rendering.expected_residual is not None
        solid = rendering.opacity >= float(MIN_OPACITY)
        square = (rendering.expected_residual[solid] / rendering.growth).square() - known.floor**2
        said.append(square.clamp(min=0) / known.factor**2)
        found.append((smooth(rendering.colour - image, RESIDUAL_SIGMA) / rendering.growth).square().mean(-1)[solid])
    expected, measured = (torch.cat([torch.zeros(0), *(each.cpu() for each in some)]) for some in (said, found))
    if len(expected) < BINS * MIN_BIN:
        return stored
    bins = expected.argsort(stable=True).tensor_split(BINS)
    low, high = (torch.stack([values[each].mean() for each in bins]) for values in (expected, measured))
    factors, floors = (torch.logspace(*ends, 81).square() for ends in (FACTORS, FLOORS))
    fitted = factors[:, None, None] * low + floors[None, :, None]  # (factors, floors, bins)
    best = ((fitted / high.clamp(min=FLOOR**2)).log().square().sum(-1)).argmin()
    factor, floor = (float(grid[at].sqrt()) for grid, at in zip((factors, floors), divmod(int(best), len(floors))))
    return replace(stored, expectation=replace(known, factor=factor, floor=floor))
