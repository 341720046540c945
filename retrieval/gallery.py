"""The gallery of thumbnails: every viewpoint that a query may have been taken from, with its descriptor."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from retrieval.descriptors import describe
from retrieval.viewpoints import about_axis, as_seen, diverse, sight, turns, virtual_poses
from utils.camera import Intrinsics
from utils.checkpoint import save_tensors
from utils.config import RetrievalConfig
from utils.errors import InputError
from utils.geometry import WEAK_PRIOR, common_point
from utils.rendering import RenderFn
from utils.views import Views

KIND = "thumbnails"
PICTURE_SIDE = 64  # pixels of the longer side at which pictures are described


@dataclass(frozen=True)
class Gallery:
    """Descriptors of posed views of one object; everything lies on the CPU."""

    descriptors: Tensor  # (entries, length) float32, unit length
    camera_to_world: Tensor  # (entries, 4, 4) float32
    rays: Tensor  # (entries, 3) unit direction, camera axes, to the middle of what the entry shows
    sizes: Tensor  # (entries,) radius of what the entry shows, as the tangent of its angle
    centre: Tensor  # (3,) the point that the views look at
    background: Tensor  # (3,) RGB
    rolls: Tensor  # (turns,) radians, by which a query is turned before it is looked up

    def __len__(self) -> int:
        return len(self.descriptors)

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:
        """Coarse poses of a query, best first; see ``retrieve`` below."""
        return retrieve(self, query, intrinsics, top_k)

    def save(self, path: Path) -> None:
        """Write the gallery to a ``.safetensors`` file."""
        save_tensors(path, self.state_dict(), {"kind": KIND})

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def from_state_dict(state: dict[str, Tensor]) -> Gallery:
        """The gallery that ``state_dict`` came from.

        Raises:
            ValueError: where a name is missing or unknown, or lengths do not fit.
        """
        names = {field.name for field in fields(Gallery)}
        if set(state) != names:
            raise ValueError(f"a gallery has the tensors {sorted(names)}, found {sorted(state)}; build it again.")
        gallery = Gallery(**state)
        if not len(gallery.descriptors) == len(gallery.camera_to_world) == len(gallery.rays) == len(gallery.sizes):
            raise ValueError("the gallery's tensors differ in length; build it again.")
        return gallery


def build_gallery(views: Views, render_fn: RenderFn | None, config: RetrievalConfig) -> Gallery:
    """Gallery of the training views and, where ``render_fn`` is given, of viewpoints spread between them.

    Args:
        views: posed normal images.
        render_fn: renders the object; None takes the views alone.
        config: number of virtual viewpoints, size of the pictures.
    Raises:
        ValueError: without views, or where no view shows anything.
    """
    if len(views) == 0:
        raise ValueError("a gallery needs at least one view, found none.")
    poses = views.camera_to_world.float()
    centre = common_point(poses, WEAK_PRIOR)
    background = torch.tensor(views.background)
    camera = small_camera(views.intrinsics, PICTURE_SIDE)
    pictures = [shrunk(views.images[index : index + 16], camera) for index in range(0, len(views), 16)]
    if render_fn is not None:
        virtual = virtual_poses(poses, centre, config.virtual_views)
        pictures += [render_fn(pose, camera).colour[None].cpu().float() for pose in virtual]
        poses = torch.cat([poses, virtual])
    described = [describe(picture, background) for picture in pictures]
    descriptors = torch.cat([descriptor for descriptor, _ in described])
    middle = torch.cat([frame.middle for _, frame in described])
    radius = torch.cat([frame.radius for _, frame in described])
    keep = radius > 0
    if not bool(keep.any()):
        raise InputError("No view shows anything that differs from the background; check the images and --background.")
    rays, sizes = sight(middle, radius, camera)
    rolls = turns(views.camera_to_world.float(), centre)
    return Gallery(descriptors[keep, 0], poses[keep], rays[keep], sizes[keep], centre, background, rolls)


def retrieve(gallery: Gallery, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:
    """Coarse poses of a query, best first, each seen from somewhere else.

    Each is an entry's camera, turned so that the object appears where the query shows it, and moved along the line of
    sight so that it appears as large.

    Args:
        gallery: of the object.
        query: (height, width, 3) float32 RGB in [0, 1].
        intrinsics: the query's camera.
        top_k: coarse poses at most.
    Returns:
        (at most top_k, 4, 4) camera_to_world, float32, on the query's device; at least one.
    """
    if tuple(query.shape) != (intrinsics.height, intrinsics.width, 3):
        raise ValueError(f"query must be {(intrinsics.height, intrinsics.width, 3)}, found {tuple(query.shape)}.")
    camera = small_camera(intrinsics, PICTURE_SIDE)
    descriptors, frame = describe(shrunk(query.detach().cpu()[None], camera), gallery.background, gallery.rolls)
    score, which = (gallery.descriptors @ descriptors[0].T).max(1)  # (entries,): over the rolls
    spin = about_axis(gallery.rolls[which])
    poses = gallery.camera_to_world.clone()
    poses[:, :3, :3] = poses[:, :3, :3] @ spin
    rays = (gallery.rays[:, None] @ spin)[:, 0]
    order = diverse(score, poses, top_k)
    poses, rays, sizes = poses[order], rays[order], gallery.sizes[order]
    if float(frame.radius) > 0:
        ray, size = sight(frame.middle, frame.radius, camera)
        poses = as_seen(poses, rays, sizes, gallery.centre, ray[0], float(size))
    return poses.to(query.device)


def small_camera(intrinsics: Intrinsics, side: int) -> Intrinsics:
    """The camera with its picture resampled to ``side`` pixels on the longer side."""
    scale = side / max(intrinsics.width, intrinsics.height)
    return intrinsics.resized(max(1, round(intrinsics.width * scale)), max(1, round(intrinsics.height * scale)))


def shrunk(images: Tensor, camera: Intrinsics) -> Tensor:
    """``images`` (pictures, height, width, 3), uint8 or float, averaged down to the camera, float32 in [0, 1]."""
    values = images.float() / 255.0 if images.dtype == torch.uint8 else images.float()
    small = functional.interpolate(values.permute(0, 3, 1, 2), (camera.height, camera.width), mode="area")
    return small.permute(0, 2, 3, 1)
