"""Photometric normal equations: how the difference between query and reference changes with the pose.

The reference is rendered once; its pixels become 3-D points, which a rigid motion carries from the reference's camera
to the query's, where the query is sampled. The twist acts about ``centre``, the centroid of the visible surface, where
rotation and translation are least correlated. The image gradient is the mean of the query's and the reference's
("efficient second-order minimisation", Benhimane and Malis, IROS 2004); the weights are those of Geman and McClure.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inerf.image_filters import smooth_channels
from inerf.kernels import accumulate
from inerf.pyramid import PyramidLevel
from utils.camera import Intrinsics
from utils.images import is_foreground
from utils.rendering import Rendering
from utils.smoothing import largest

MIN_SURFACE_PIXELS = 16  # that a rendering must show to be aligned
REACH = 2  # pixels around the foreground that are sampled too
_UPPER = np.triu_indices(6)


@dataclass(frozen=True)
class ReferenceSamples:
    """The sampled pixels of a reference, as points in its camera's frame."""

    points: Tensor  # (samples, 3) float32, camera axes, relative to `centre`
    colours: Tensor  # (samples, 9) float32: RGB, its gradient along x, its gradient along y (per pixel)
    centre: np.ndarray  # (3,) float64, camera axes
    radius: float  # root-mean-square distance of the visible surface from `centre`, scene units
    pixels: int  # number of pixels that query or reference show
    silhouette_iou: float  # intersection over union of the foregrounds of query and reference, in [0, 1]


@dataclass(frozen=True)
class NormalEquations:
    """Normal equations of one Gauss-Newton step, in float64."""

    hessian: np.ndarray  # (6, 6)
    gradient: np.ndarray  # (6,)
    cost: float  # sum over the samples of e^2 / (e^2 + scale^2), each in [0, 1)
    count: int  # samples that project into the query


def spread_depth(depth: Tensor, opacity: Tensor, reach: int) -> Tensor:
    """Extend depth (height, width) by the nearest surface within ``reach`` pixels; 0 where there is none.

    Pixels just outside a silhouette, which carry half of its evidence, thus move with the surface that ends there.
    """
    nearness = torch.where(opacity > 0.5, 1.0 / depth.clamp(min=1e-6), 0.0)
    nearness = largest(nearness, reach)
    return torch.where(nearness > 0, 1.0 / nearness, 0.0)


def sample_reference(rendering: Rendering, level: PyramidLevel, reach: int = REACH) -> ReferenceSamples | None:
    """Sample a rendering that was made with the camera of ``level``.

    Pixels farther than ``reach`` from the foreground of both images are left out. Those that only the query shows are
    given the median depth, so that they contribute too.

    Returns:
        The samples, or None where the rendering shows too little surface to align.
    """
    sample = _sample_numpy if rendering.colour.device.type == "cpu" else sample_torch
    return sample(rendering, level, reach)


def sample_torch(rendering: Rendering, level: PyramidLevel, reach: int) -> ReferenceSamples | None:
    """Do as ``sample_reference``, on any device."""
    solid = rendering.opacity > 0.5
    either = level.foreground | solid
    active = largest(either.float(), reach) > 0
    depth = spread_depth(rendering.depth, rendering.opacity, reach)[active]
    on_surface = depth > 0
    if int(on_surface.sum()) < MIN_SURFACE_PIXELS:
        return None
    depth = torch.where(on_surface, depth, depth[on_surface].median())
    points = level.directions[active] * depth[:, None]
    surface = points[on_surface]
    centre = surface.mean(0)
    radius = float((surface - centre).square().sum(-1).mean().sqrt())
    colours = smooth_channels(rendering.colour)[active]
    iou = silhouette_iou(rendering.colour, level)
    return ReferenceSamples(
        points - centre, colours, centre.double().cpu().numpy(), max(radius, 1e-6), int(either.sum()), iou
    )


def _sample_numpy(rendering: Rendering, level: PyramidLevel, reach: int) -> ReferenceSamples | None:
    """Do as ``sample_torch`` on the CPU, at the active pixels alone wherever possible."""
    solid = rendering.opacity.numpy() > 0.5
    either, square = level.foreground.numpy() | solid, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    active = np.flatnonzero(cv2.dilate(either.view(np.uint8), square))
    nearness = np.where(solid, 1.0 / np.maximum(rendering.depth.numpy(), 1e-6), np.float32(0.0))
    near = cv2.dilate(nearness, square).ravel()[active]
    on_surface = near > 0
    if int(on_surface.sum()) < MIN_SURFACE_PIXELS:
        return None
    near[~on_surface] = np.median(near[on_surface])
    points = level.directions.numpy().reshape(-1, 3).take(active, axis=0)
    points /= near[:, None]
    share = on_surface.astype(np.float32) / np.float32(on_surface.sum())
    centre = share @ points
    points -= centre
    radius = float(np.sqrt(share @ np.einsum("ij,ij->i", points, points)))
    colours = smooth_channels(rendering.colour).numpy().reshape(-1, 9).take(active, axis=0)
    iou = silhouette_iou(rendering.colour, level)
    return ReferenceSamples(
        torch.from_numpy(points),
        torch.from_numpy(colours),
        centre.astype(float),
        max(radius, 1e-6),
        int(either.sum()),
        iou,
    )


def silhouette_iou(colour: Tensor, level: PyramidLevel) -> float:
    """Return the intersection over union of the foregrounds of a rendered colour (height, width, 3) and the query."""
    shown = is_foreground(colour, level.background)
    return float((shown & level.foreground).sum() / (shown | level.foreground).sum().clamp(min=1))


def normal_equations(
    query: Tensor, samples: ReferenceSamples, intrinsics: Intrinsics, motion: np.ndarray, scale: float
) -> NormalEquations:
    """Compute the normal equations of the robust difference between the moved samples and the query.

    Args:
        query: (height, width, 9) float32, RGB and its gradients along x and y.
        samples: of the reference.
        intrinsics: camera of the query.
        motion: (4, 4) float64, from the reference's camera to the query's, about ``samples.centre``.
        scale: difference (RGB norm) at which the robust cost of a sample is one half (Geman-McClure).
    Returns:
        Equations for a twist that multiplies ``motion`` from the left.
    """
    sums = (sums_numba if query.device.type == "cpu" else sums_torch)(query, samples, intrinsics, motion, scale)
    hessian = np.zeros((6, 6))
    hessian[_UPPER] = hessian.T[_UPPER] = sums[:21]
    return NormalEquations(hessian, sums[21:27], float(sums[27]), int(sums[28]))


def sums_numba(
    query: Tensor, samples: ReferenceSamples, intrinsics: Intrinsics, motion: np.ndarray, scale: float
) -> np.ndarray:
    """Compute the same sums as ``sums_torch`` with the compiled kernel."""
    moved = np.concatenate([motion[:3], samples.centre[:, None]], axis=1).astype(np.float32)
    arrays = (query.numpy(), samples.points.numpy(), samples.colours.numpy(), intrinsics.as_array(), moved)
    return accumulate(*arrays, np.float32(scale**2))[:29]


def sums_torch(
    query: Tensor, samples: ReferenceSamples, intrinsics: Intrinsics, motion: np.ndarray, scale: float
) -> np.ndarray:
    """Compute the sums (29,) float64 of ``normal_equations``: Hessian's upper triangle, gradient, cost, count."""
    device, height, width = query.device, query.shape[0], query.shape[1]
    transform, centre = (torch.from_numpy(array).to(device) for array in (motion, samples.centre))
    moved = samples.points.double() @ transform[:3, :3].T + transform[:3, 3]  # (samples, 3) about the centre
    depth = -(moved[:, 2] + centre[2])
    ahead = (moved[:, :2] + centre[:2]) / depth[:, None]
    x = intrinsics.focal_x * ahead[:, 0] + intrinsics.centre_x - 0.5
    y = intrinsics.centre_y - intrinsics.focal_y * ahead[:, 1] - 0.5
    inside = (depth > 1e-6) & (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)[None, None]
    sampled = functional.grid_sample(query.double().permute(2, 0, 1)[None], grid, align_corners=True)[0, :, 0].T
    colours = samples.colours.double()
    residual = sampled[:, :3] - colours[:, :3]  # (samples, 3)
    image_gradient = 0.5 * (sampled[:, 3:] + colours[:, 3:]).reshape(-1, 2, 3)  # (samples, xy, channels)
    squared = residual.square().sum(-1)
    ratio = inside / (squared + scale**2)
    weight = (scale**2 * ratio) ** 2
    zero = torch.zeros_like(depth)
    a, b = intrinsics.focal_x / depth, -intrinsics.focal_y / depth
    on_x = torch.stack([a, zero, a * ahead[:, 0]], -1)
    on_y = torch.stack([zero, b, b * ahead[:, 1]], -1)
    projection = torch.stack([on_x, on_y], 1)  # (samples, xy, 3)
    rotating = torch.linalg.cross(moved[:, None].expand_as(projection), projection)
    pixel_motion = torch.cat([projection, rotating], -1)  # (samples, xy, twist)
    jacobian = torch.einsum("spc,spt->sct", image_gradient, pixel_motion)  # (samples, channels, twist)
    jacobian = torch.where(inside[:, None, None], jacobian, 0.0)
    hessian = torch.einsum("s,sci,scj->ij", weight, jacobian, jacobian)
    gradient = torch.einsum("s,sci,sc->i", weight, jacobian, residual)
    rows, columns = torch.triu_indices(6, 6, device=device)
    tail = torch.stack([(squared * ratio).sum(), inside.sum().double()])
    return torch.cat([hessian[rows, columns], gradient, tail]).cpu().numpy()
