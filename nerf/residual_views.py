"""Residuals of the training views, which correct a field's rendering and say how far it may still be off.

A field of one colour a point shows no gloss, and blurs what its voxels cannot hold; its views show both. What a view
has over the field's rendering at the view's own pose, its residual, is carried to the pose of a query: the surface
point of each rendered pixel is looked up in the views nearest in direction, those from which another surface hides it
are left out, and the mean residual of the others, weighted by how nearly they look along the query's ray, is added.
This is unstructured lumigraph rendering (Buehler et al., SIGGRAPH 2001) of residuals instead of colours.

Each view predicted from the others in the same way leaves an error: what to expect at a query, where the views are as
far away. Where they are nearer or farther, it is the less or more; and where they differ from one another, as in
gloss, none of them says how a query looks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nerf import residual_kernels, residual_torch
from nerf.residual_kernels import MIN_OPACITY
from nerf.residual_torch import ViewArrays
from utils.camera import Intrinsics
from utils.rendering import RESIDUAL_SIGMA, Rendering
from utils.smoothing import smooth

APART = 2  # pixels, across and down, of which one is looked up in single views
FEW = 28  # views, up to which it is looked up in each whether it shows a place
SHOWN = 0.5  # of the tolerance: how far a view's surface may then lie off
DISAGREEING = 5  # nearest views that are compared with one another
GROWTH = 0.5  # power of the angle to the nearest view with which residuals grow
MIN_ANGLE = 0.05  # radians; views that are nearer predict no better, for noise and pose errors remain
LARGEST, MIDDLE = 127, 128  # steps from no residual to the largest one, and the code of none
MIN_SMOOTHED = 0.3  # share of a smoothed pixel that must show the surface
FLOOR = 0.002  # smallest expected residual: photos are rounded to 8 bits


def encode(residual: Tensor) -> Tensor:
    """Compress residuals in [-1, 1] to uint8, in steps that grow with the residual.

    >>> [round(value, 4) for value in decode(encode(torch.tensor([-1.0, 0.0, 0.01]))).tolist()]
    [-1.0, 0.0, 0.0105]
    """
    return (residual.sign() * residual.abs().sqrt() * LARGEST + MIDDLE).round().to(torch.uint8)


def decode(codes: Tensor) -> Tensor:
    """Return the residuals (...) float32 of ``codes`` (...) uint8."""
    root = (codes.float() - MIDDLE) / LARGEST
    return root * root.abs()


@dataclass(frozen=True)
class Expectation:
    """What smoothed residual to expect where the views' own do not say it; root mean squares over RGB, in [0, 1]."""

    unseen: float = 0.0  # of a surface that none of the nearest views shows
    rim: float = 0.0  # beside the object's silhouette
    factor: float = 1.0  # by which a query exceeds training views that are predicted from the others
    floor: float = FLOOR  # of the object where views predict one another to the last bit


@dataclass(frozen=True)
class ResidualViews:
    """The residuals of all training views, each cropped to the window that holds the object there."""

    codes: Tensor  # (views, height, width, 4) uint8: residual RGB, and its smoothed error when predicted from the other
    #   views; `MIDDLE` where there is no surface
    depths: Tensor  # (views, height, width) uint8: steps along the ray to the surface; 0 where there is none
    ranges: Tensor  # (views, 2) float32: distance at step 0, and a step's length
    corners: Tensor  # (views, 2) int32: left and top of each window
    camera_to_world: Tensor  # (views, 4, 4) float32
    counts: Tensor  # (nx, ny, nz) uint8: how many views show a surface in a cell or beside it, 255 at most
    lattice: Tensor  # (4,) float32: where the cells begin, and their side
    centre: Tensor  # (3,) float32: what the views look at
    intrinsics: Intrinsics
    nearest: int  # views that correct a pixel
    spacing: float  # radians from a view to the nearest other one, the median of all
    tolerance: float  # scene units by which a view's surface may lie off a point that it is taken to show
    expectation: Expectation = Expectation()

    def correct(
        self, rendering: Rendering, camera_to_world: Tensor, intrinsics: Intrinsics, without: int = 0
    ) -> Rendering:
        """Add the views' residuals to a rendering, and say what residual is left to expect.

        Args:
            rendering: at ``camera_to_world`` (4, 4) by a camera with ``intrinsics``, which need not be the views'.
            without: nearest views that are not looked at.
        Returns:
            The corrected rendering with all that a rendering may have, on the device of these residuals.
        """
        pose, lens = self._camera(camera_to_world, intrinsics)
        chosen, angle = self.choose(pose, without=without)
        growth = (max(angle, MIN_ANGLE) / self.spacing) ** GROWTH
        blended = self.blend(rendering.opacity, rendering.depth, pose, lens, chosen)
        return replace(
            rendering,
            colour=(rendering.colour + blended[..., :3]).clamp_(0, 1),
            expected_residual=self._expected(rendering.opacity, blended) * growth,
            disagreement=self.disagreement(rendering, pose, lens, chosen) * growth,
            views_seen=self._count(rendering.opacity, rendering.depth, pose, lens),
            uncorrected=rendering.colour,
            growth=growth,
        )

    def choose(self, pose: Tensor, apart: int | None = None, without: int = 0) -> tuple[Tensor, float]:
        """Choose the views that are nearest in direction to ``pose`` (4, 4).

        Args:
            apart: a view that is never chosen.
            without: nearest views that are not chosen either.
        Returns:
            The views (nearest,), nearest first, and the angle in radians to the first.
        """
        directions = normalize(self.camera_to_world[:, :3, 3] - self.centre, dim=1)
        closeness = directions @ normalize(pose[:3, 3] - self.centre, dim=0)
        if apart is not None:
            closeness[apart] = -torch.inf
        left = len(closeness) - (apart is not None)
        without = min(without, left - 1)
        chosen = closeness.argsort(descending=True, stable=True)[without : min(without + self.nearest, left)]
        return chosen, float(closeness[chosen[0]].clamp(max=1).acos())

    def disagreement(self, rendering: Rendering, pose: Tensor, lens: Tensor, chosen: Tensor) -> Tensor:
        """Return by how much the first of the ``chosen`` views differ from their mean, smoothed: (height, width)."""
        every = (slice(None, None, APART),) * 2
        part = thinned(lens, APART)
        single = self.look_up(rendering.opacity[every], rendering.depth[every], pose, part, chosen[:DISAGREEING])
        shape = (*single.shape[:2], -1, 4)
        seen = single.view(shape)[..., 3:]
        smoothed = smooth(single, RESIDUAL_SIGMA / APART).view(shape)
        values = smoothed[..., :3] / smoothed[..., 3:].clamp(min=MIN_SMOOTHED)
        shows = seen.sum(2).clamp(min=1)
        mean = (values * seen).sum(2, keepdim=True) / shows[:, :, None]
        square = ((values - mean).square().mean(-1, keepdim=True) * seen).sum(2) / shows
        return enlarged(square[..., 0].sqrt(), rendering.opacity.shape)

    def look_up(
        self, opacity: Tensor, depth: Tensor, pose: Tensor, lens: Tensor, chosen: Tensor, near: float | None = None
    ) -> Tensor:
        """Return (height, width, 4 views): residual RGB of each ``chosen`` view and 1, or 0 where it shows none.

        Its surface may lie ``near`` scene units off, by default the tolerance.
        """
        near = self.tolerance if near is None else near
        if self.codes.device.type != "cpu":
            return residual_torch.look_up_views(opacity, depth, pose, lens, self.arrays, chosen, near)
        single = np.empty((*opacity.shape, 4 * len(chosen)), np.float32)
        images = (opacity.contiguous().numpy(), depth.contiguous().numpy())
        residual_kernels.look_up_views(
            *images, pose.numpy(), lens.numpy(), self._numpy_arrays, chosen.numpy(), np.float32(near), single
        )
        return torch.from_numpy(single)

    def blend(self, opacity: Tensor, depth: Tensor, pose: Tensor, lens: Tensor, chosen: Tensor) -> Tensor:
        """Return (height, width, 5): mean residual RGB and squared error of the ``chosen`` views, and their weight."""
        if self.codes.device.type != "cpu":
            return residual_torch.blend_residuals(opacity, depth, pose, lens, self.arrays, chosen, self.tolerance)
        blended = np.empty((*opacity.shape, 5), np.float32)
        images = (opacity.contiguous().numpy(), depth.contiguous().numpy())
        tolerance = np.float32(self.tolerance)
        residual_kernels.blend_residuals(
            *images, pose.numpy(), lens.numpy(), self._numpy_arrays, chosen.numpy(), tolerance, blended
        )
        return torch.from_numpy(blended)

    def to_device(self, device: torch.device | str) -> ResidualViews:
        """Return the same residuals on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in TENSORS}
        return ResidualViews(**moved, **{name: getattr(self, name) for name in SETTINGS})

    def tensors(self) -> dict[str, Tensor]:
        """Return what a file keeps as tensors; ``header`` has the rest. Codes are kept where there is a surface."""
        return {**{name: getattr(self, name) for name in TENSORS}, "codes": self.codes[self.depths > 0]}

    def header(self) -> dict[str, Any]:
        """Return what a file keeps as JSON."""
        single = {"nearest": self.nearest, "spacing": self.spacing, "tolerance": self.tolerance}
        return {"intrinsics": asdict(self.intrinsics), "expectation": asdict(self.expectation), **single}

    @staticmethod
    def restore(tensors: dict[str, Tensor], header: dict[str, Any]) -> ResidualViews:
        """Return what ``tensors`` and ``header`` say."""
        codes = torch.full((*tensors["depths"].shape, 4), MIDDLE, dtype=torch.uint8, device=tensors["codes"].device)
        codes[tensors["depths"] > 0] = tensors["codes"]
        return ResidualViews(
            **{**{name: tensors[name] for name in TENSORS}, "codes": codes},
            intrinsics=Intrinsics(**header["intrinsics"]),
            nearest=header["nearest"],
            spacing=header["spacing"],
            tolerance=header["tolerance"],
            expectation=Expectation(**header["expectation"]),
        )

    @cached_property
    def arrays(self) -> ViewArrays:
        device = self.codes.device
        lens = torch.from_numpy(self.intrinsics.as_array()).to(device)
        decoded = decode(torch.arange(256, device=device))
        return ViewArrays(self.codes, self.depths, self.ranges, self.corners, self.camera_to_world, lens, decoded)

    @cached_property
    def _numpy_arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(tensor.numpy() for tensor in self.arrays)

    def _camera(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> tuple[Tensor, Tensor]:
        device = self.codes.device
        lens = torch.from_numpy(intrinsics.as_array()).to(device)
        return camera_to_world.detach().to(device).float().contiguous(), lens

    def _count(self, opacity: Tensor, depth: Tensor, pose: Tensor, lens: Tensor) -> Tensor:
        """Return how many views show the surface of each pixel: (height, width) uint8.

        Few views are asked one by one, which is exact; many by the cells that they fill, which is quick.
        """
        return (self.count_one_by_one if len(self.codes) <= FEW else self.count_by_cells)(opacity, depth, pose, lens)

    def count_one_by_one(self, opacity: Tensor, depth: Tensor, pose: Tensor, lens: Tensor) -> Tensor:
        """Do what ``_count`` does by looking for the surface in each view."""
        every = (slice(None, None, APART),) * 2
        chosen = torch.arange(len(self.codes), device=self.codes.device)
        part = (opacity[every], depth[every], pose, thinned(lens, APART), chosen)
        shown = self.look_up(*part, near=SHOWN * self.tolerance)[..., 3::4].sum(-1)
        return enlarged(shown, opacity.shape).to(torch.uint8) * (opacity >= float(MIN_OPACITY))

    def count_by_cells(self, opacity: Tensor, depth: Tensor, pose: Tensor, lens: Tensor) -> Tensor:
        """Do what ``_count`` does by looking up the cell in which the surface lies."""
        low, side = self.lattice[:3], float(self.lattice[3])
        if self.codes.device.type != "cpu":
            return residual_torch.look_up_counts(opacity, depth, pose, lens, (self.counts, low, side))
        seen = np.empty(opacity.shape, np.uint8)
        images = (opacity.contiguous().numpy(), depth.contiguous().numpy())
        cells = (self.counts.numpy(), low.numpy(), np.float32(side))
        residual_kernels.look_up_counts(*images, pose.numpy(), lens.numpy(), cells, seen)
        return torch.from_numpy(seen)

    def _expected(self, opacity: Tensor, blended: Tensor) -> Tensor:
        """Return the expected residual (height, width) of what ``blend`` found."""
        known, solid = self.expectation, opacity >= float(MIN_OPACITY)
        square = torch.where(blended[..., 4] > 0, blended[..., 3], known.unseen**2)
        beside = grow(solid) * known.rim**2 + FLOOR**2
        return torch.where(solid, known.factor**2 * square + known.floor**2, beside).sqrt_()


TENSORS = tuple(each.name for each in fields(ResidualViews) if each.type == "Tensor")
SETTINGS = tuple(each.name for each in fields(ResidualViews) if each.type != "Tensor")


def thinned(lens: Tensor, step: int) -> Tensor:
    """Return the lens (4,) that sees every ``step``-th pixel, across and down, of what ``lens`` (4,) sees."""
    return torch.cat([lens[:2] / step, (lens[2:] - 0.5) / step + 0.5])


def enlarged(image: Tensor, shape: torch.Size) -> Tensor:
    """Return ``image``, which has one pixel for ``APART`` of ``shape`` (height, width), at that size."""
    large = image.repeat_interleave(APART, 0).repeat_interleave(APART, 1)
    return large[: shape[0], : shape[1]].contiguous()


def grow(mask: Tensor) -> Tensor:
    """Return ``mask`` (height, width) bool with the pixels beside it, also those across a corner."""
    rows = mask.clone()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.clone()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown
