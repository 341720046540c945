"""The gallery of thumbnails: descriptors of the views and of renderings from viewpoints between them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from retrieval.encoders import as_float
from retrieval.galleries import Gallery, check_views
from retrieval.settings import RetrievalConfig
from retrieval.thumbnail_descriptors import describe_thumbnails
from retrieval.viewpoints import (
    angular_radius,
    candidate_rolls,
    reframe_poses,
    roll_rotations,
    select_diverse,
    virtual_poses,
)
from utils.camera import Intrinsics, camera_directions
from utils.checkpoint import save_tensors
from utils.errors import InputError
from utils.geometry import WEAK_PRIOR, common_point
from utils.rendering import RenderFn
from utils.run_context import RunContext
from utils.views import Views

IMAGE_SIDE = 64  # pixels of the longer side at which images are described
_BATCH = 16  # views that are described at once


@dataclass(frozen=True)
class ThumbnailGallery:
    """Descriptors of posed views of one object, on the CPU."""

    descriptors: Tensor  # (entries, length) float32, unit length
    camera_to_world: Tensor  # (entries, 4, 4) float32
    rays: Tensor  # (entries, 3) unit direction, camera axes, to the centroid of the entry's foreground
    sizes: Tensor  # (entries,) radius of the entry's foreground, as the tangent of its angle
    centre: Tensor  # (3,) the point that the views look at
    background: Tensor  # (3,) RGB
    rolls: Tensor  # (rolls,) radians by which a query is rotated for the comparison

    def __len__(self) -> int:
        return len(self.descriptors)

    @staticmethod
    def build(views: Views, render_fn: RenderFn | None, config: RetrievalConfig) -> ThumbnailGallery:
        """Describe the training views and, if ``render_fn`` is given, renderings from viewpoints between them.

        Args:
            views: posed good images.
            render_fn: renders the object; None takes the views alone.
            config: number of virtual viewpoints.
        Raises:
            ValueError: without views.
            InputError: where no view shows anything.
        """
        check_views(views)
        poses = views.camera_to_world.float()
        centre = common_point(poses, WEAK_PRIOR)
        rolls = candidate_rolls(poses, centre)
        background = torch.tensor(views.background)
        camera = small_camera(views.intrinsics)
        batches = [shrink_images(images, camera) for images in views.images.split(_BATCH)]
        if render_fn is not None:
            virtual = virtual_poses(poses, centre, config.virtual_views)
            batches += [render_fn(pose, camera).colour[None].cpu().float() for pose in virtual]
            poses = torch.cat([poses, virtual])
        described = [describe_thumbnails(images, background) for images in batches]
        descriptors = torch.cat([descriptor for descriptor, _ in described])
        centroid = torch.cat([extent.centroid for _, extent in described])
        radius = torch.cat([extent.radius for _, extent in described])
        keep = radius > 0
        if not bool(keep.any()):
            raise InputError(
                "No view shows anything that differs from the background; check the images and --background."
            )
        rays, sizes = camera_directions(centroid, camera), angular_radius(radius, camera)
        return ThumbnailGallery(descriptors[keep, 0], poses[keep], rays[keep], sizes[keep], centre, background, rolls)

    def extended(self, views: Views) -> ThumbnailGallery:
        """Return the gallery with more posed views; what it has stays as it is."""
        camera, described = small_camera(views.intrinsics), []
        for images in views.images.split(_BATCH):
            described.append(describe_thumbnails(shrink_images(images, camera), self.background))
        radius = torch.cat([extent.radius for _, extent in described])
        keep = radius > 0
        added = {
            "descriptors": torch.cat([descriptor for descriptor, _ in described])[keep, 0],
            "camera_to_world": views.camera_to_world.float()[keep],
            "rays": camera_directions(torch.cat([extent.centroid for _, extent in described]), camera)[keep],
            "sizes": angular_radius(radius, camera)[keep],
        }
        return replace(self, **{name: torch.cat([getattr(self, name), more]) for name, more in added.items()})

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:
        """Find coarse poses of a query, best first, each from a different viewpoint.

        Each is an entry's camera, rotated so that the object appears where the query shows it, and moved along the
        line of sight so that it appears as large.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1].
            intrinsics: the query's camera.
            top_k: coarse poses at most.
        Returns:
            (at most top_k, 4, 4) camera_to_world, float32, on the query's device; at least one.
        Raises:
            ValueError: where query and intrinsics do not fit together.
        """
        if tuple(query.shape) != (intrinsics.height, intrinsics.width, 3):
            raise ValueError(f"query must be {(intrinsics.height, intrinsics.width, 3)}, found {tuple(query.shape)}.")
        camera = small_camera(intrinsics)
        image = shrink_images(query.detach().cpu()[None], camera)
        descriptors, extent = describe_thumbnails(image, self.background, self.rolls)
        score, best_roll = (self.descriptors @ descriptors[0].T).max(1)  # (entries,): over the rolls
        roll = roll_rotations(self.rolls[best_roll])
        poses = self.camera_to_world.clone()
        poses[:, :3, :3] = poses[:, :3, :3] @ roll
        rays = (self.rays[:, None] @ roll)[:, 0]
        order = select_diverse(score, poses, top_k)
        poses, rays, sizes = poses[order], rays[order], self.sizes[order]
        if float(extent.radius) > 0:
            ray, size = camera_directions(extent.centroid, camera)[0], float(angular_radius(extent.radius, camera))
            poses = reframe_poses(poses, rays, sizes, self.centre, ray, size)
        return poses.to(query.device)

    def save(self, path: Path) -> None:
        """Write the gallery to a ``.safetensors`` file."""
        save_tensors(path, self.state_dict(), {"kind": Thumbnails.name})

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def from_state_dict(state: dict[str, Tensor]) -> ThumbnailGallery:
        """Restore a gallery from its ``state_dict``.

        Raises:
            ValueError: where a name is missing or unknown, or lengths do not fit.
        """
        names = {field.name for field in fields(ThumbnailGallery)}
        if set(state) != names:
            raise ValueError(f"a gallery has the tensors {sorted(names)}, found {sorted(state)}; build it again.")
        gallery = ThumbnailGallery(**state)
        if not len(gallery.descriptors) == len(gallery.camera_to_world) == len(gallery.rays) == len(gallery.sizes):
            raise ValueError("the gallery's tensors differ in length; build it again.")
        return gallery


@dataclass(frozen=True)
class Thumbnails:
    """Retrieval by thumbnails of colour, silhouette and edges, without weights."""

    config: RetrievalConfig

    name: ClassVar[str] = "thumbnails"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("retrieval",)

    def build(self, views: Views, render_fn: RenderFn, context: RunContext) -> Gallery:  # noqa: ARG002  every method's
        """Build the gallery of the views and of virtual viewpoints rendered by ``render_fn``."""
        return ThumbnailGallery.build(views, render_fn, self.config)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Gallery:  # noqa: ARG002
        """Load the gallery that ``save`` wrote as ``tensors`` and ``header``."""
        return ThumbnailGallery.from_state_dict(tensors)


def small_camera(intrinsics: Intrinsics) -> Intrinsics:
    """Return the camera with its image resampled to ``IMAGE_SIDE`` pixels on the longer side."""
    scale = IMAGE_SIDE / max(intrinsics.width, intrinsics.height)
    return intrinsics.resized(max(1, round(intrinsics.width * scale)), max(1, round(intrinsics.height * scale)))


def shrink_images(images: Tensor, camera: Intrinsics) -> Tensor:
    """Average ``images`` (images, height, width, 3), uint8 or float, to the camera's size; float32 in [0, 1]."""
    small = functional.interpolate(as_float(images).permute(0, 3, 1, 2), (camera.height, camera.width), mode="area")
    return small.permute(0, 2, 3, 1)
