"""Weight-free image descriptors, invariant to the object's position and size in the image.

The foreground (pixels that differ from the background) gives a centroid and a radius; the square around them is
sampled into a small thumbnail of colour, silhouette and edges. A roll of the camera is a rotation of the sampling grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

THUMBNAIL_SIDE = 20  # pixels
DESCRIPTOR_LENGTH = 6 * THUMBNAIL_SIDE**2
_REACH = 2.0  # half side of the sampled square, in radii of the object
_SOFT_THRESHOLD = 0.02  # difference to the background at which a pixel is half foreground
_EDGE_WEIGHT = 0.7  # of the edges, relative to colour and silhouette


@dataclass(frozen=True)
class ObjectExtent:
    """Where images show the object: centroid of the foreground and root-mean-square distance from it, in pixels."""

    centroid: Tensor  # (images, 2) x, y
    radius: Tensor  # (images,); 0 where an image shows nothing


def soft_foreground(images: Tensor, background: Tensor) -> Tensor:
    """Return the soft foreground mask (images, height, width) in [0, 1] of ``images`` (images, height, width, 3)."""
    difference = (images - background).abs().amax(-1)
    return (difference / _SOFT_THRESHOLD - 0.5).clamp(0.0, 1.0)


def object_extents(mask: Tensor) -> ObjectExtent:
    """Compute centroid and radius of masks (images, height, width) in [0, 1]."""
    height, width = mask.shape[1:]
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    area = mask.sum((1, 2))
    safe = area.clamp(min=1e-6)
    over_x, over_y = mask.sum(1), mask.sum(2)  # (images, width), (images, height)
    centroid_x, centroid_y = over_x @ x / safe, over_y @ y / safe
    variance_x = (over_x * (x - centroid_x[:, None]).square()).sum(1)
    variance_y = (over_y * (y - centroid_y[:, None]).square()).sum(1)
    radius = ((variance_x + variance_y) / safe).clamp(min=0).sqrt()
    return ObjectExtent(torch.stack([centroid_x, centroid_y], -1), torch.where(area > 0.5, radius, 0.0))


def describe_thumbnails(images: Tensor, background: Tensor, rolls: Tensor | None = None) -> tuple[Tensor, ObjectExtent]:
    """Describe images, each rotated by each of ``rolls``.

    Args:
        images: (images, height, width, 3) float32 RGB in [0, 1].
        background: (3,) RGB.
        rolls: (rolls,) angles in radians by which the sampling grid is rotated, clockwise as seen; None: not at all.
    Returns:
        Descriptors (images, rolls, DESCRIPTOR_LENGTH) float32, of unit length (0 where nothing is shown), and where
        the images show the object.
    """
    if rolls is None:
        rolls = torch.zeros(1)
    mask = soft_foreground(images, background)
    extent = object_extents(mask)
    count, height, width = mask.shape
    channels = torch.cat([images - background, mask[..., None]], -1).permute(0, 3, 1, 2)
    half = (_REACH * extent.radius).clamp(min=1.0)[:, None, None, None, None]
    pixels = extent.centroid[:, None, None, None] + half * _sampling_grid(rolls)  # (images, rolls, side, side, 2)
    pixels = pixels * torch.tensor([2.0 / width, 2.0 / height]) - 1
    small = functional.grid_sample(channels, pixels.flatten(1, 2), align_corners=False)  # zeros outside the image
    small = small.reshape(count, 4, len(rolls), THUMBNAIL_SIDE, THUMBNAIL_SIDE).transpose(1, 2).flatten(0, 1)
    descriptors = _normalised(small).reshape(count, len(rolls), DESCRIPTOR_LENGTH)
    return descriptors * (extent.radius > 0)[:, None, None], extent


def _sampling_grid(rolls: Tensor) -> Tensor:
    """Return the grid (rolls, side, side, 2) over the square [-1, 1], rotated by each of ``rolls`` (rolls,)."""
    axis = (torch.arange(THUMBNAIL_SIDE) + 0.5) / THUMBNAIL_SIDE * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cosine, sine = rolls.cos()[:, None, None], rolls.sin()[:, None, None]
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


def _normalised(thumbnails: Tensor) -> Tensor:
    """Normalise colour, silhouette and edges of thumbnails (images, 4, side, side) and join them: (images, length)."""
    colour, mask = thumbnails[:, :3], thumbnails[:, 3:]
    grey = colour.mean(1, keepdim=True)
    mean = (grey * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1e-6)
    relief = (grey - mean) * mask
    edges = torch.cat([relief.roll(-1, dim) - relief.roll(1, dim) for dim in (3, 2)], 1)
    groups = [(colour, 1.0), (mask - mask.mean((2, 3), keepdim=True), 1.0), (edges, _EDGE_WEIGHT)]
    parts = [weight * functional.normalize(group.flatten(1), dim=1) for group, weight in groups]
    return functional.normalize(torch.cat(parts, 1), dim=1)
