"""Weight-free descriptors of what a picture shows, freed from where and how large it shows it.

The object's pixels (those that differ from the background) give a middle and a radius; the square around them is
sampled into a small thumbnail of colour, silhouette and edges. In-plane turns are turns of the sampling grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

THUMBNAIL = 20  # pixels of a side
LENGTH = 6 * THUMBNAIL**2  # numbers of a descriptor
_REACH = 2.0  # half side of the sampled square, in radii of the object
_DIFFERS = 0.02  # difference to the background that counts as half shown


@dataclass(frozen=True)
class Frame:
    """Where pictures show the object: the pixels' middle and root-mean-square distance from it, in pixels."""

    middle: Tensor  # (pictures, 2) x, y
    radius: Tensor  # (pictures,); 0 where a picture shows nothing


def shown(images: Tensor, background: Tensor) -> Tensor:
    """How surely each pixel (pictures, height, width) of ``images`` (pictures, height, width, 3) is not background."""
    difference = (images - background).abs().amax(-1)
    return (difference / _DIFFERS - 0.5).clamp(0.0, 1.0)


def frames(mask: Tensor) -> Frame:
    """Middle and radius of masks (pictures, height, width) in [0, 1]."""
    height, width = mask.shape[1:]
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    area = mask.sum((1, 2))
    safe = area.clamp(min=1e-6)
    over_x, over_y = mask.sum(1), mask.sum(2)  # (pictures, width), (pictures, height)
    middle_x, middle_y = over_x @ x / safe, over_y @ y / safe
    spread_x = (over_x * (x - middle_x[:, None]).square()).sum(1)
    spread_y = (over_y * (y - middle_y[:, None]).square()).sum(1)
    radius = ((spread_x + spread_y) / safe).clamp(min=0).sqrt()
    return Frame(torch.stack([middle_x, middle_y], -1), torch.where(area > 0.5, radius, 0.0))


def describe(images: Tensor, background: Tensor, rolls: Tensor | None = None) -> tuple[Tensor, Frame]:
    """Descriptors of pictures, each turned by each of ``rolls``, and where the pictures show the object.

    Args:
        images: (pictures, height, width, 3) float32 RGB in [0, 1].
        background: (3,) RGB.
        rolls: (rolls,) angles in radians by which the sampling grid turns, clockwise as seen; None does not turn it.
    Returns:
        Descriptors (pictures, rolls, LENGTH) float32, of unit length (0 where nothing is shown), and the Frame.
    """
    if rolls is None:
        rolls = torch.zeros(1)
    mask = shown(images, background)
    frame = frames(mask)
    pictures, height, width = mask.shape
    channels = torch.cat([images - background, mask[..., None]], -1).permute(0, 3, 1, 2)
    axis = (torch.arange(THUMBNAIL) + 0.5) / THUMBNAIL * 2 - 1
    grid_y, grid_x = torch.meshgrid(axis, axis, indexing="ij")
    cosine, sine = rolls.cos()[:, None, None], rolls.sin()[:, None, None]
    grid = torch.stack([cosine * grid_x - sine * grid_y, sine * grid_x + cosine * grid_y], -1)  # (rolls, side, side, 2)
    half = (_REACH * frame.radius).clamp(min=1.0)
    pixels = (
        frame.middle[:, None, None, None] + half[:, None, None, None, None] * grid
    )  # (pictures, rolls, side, side, 2)
    pixels = pixels * torch.tensor([2.0 / width, 2.0 / height]) - 1
    small = functional.grid_sample(channels, pixels.flatten(1, 2), align_corners=False)  # zeros outside the picture
    small = small.reshape(pictures, 4, len(rolls), THUMBNAIL, THUMBNAIL).transpose(1, 2).flatten(0, 1)
    descriptors = _normalised(small).reshape(pictures, len(rolls), LENGTH)
    return descriptors * (frame.radius > 0)[:, None, None], frame


def _normalised(small: Tensor) -> Tensor:
    """Colour, silhouette and edges of thumbnails (pictures, 4, side, side), each with the same say."""
    colour, mask = small[:, :3], small[:, 3:]
    grey = colour.mean(1, keepdim=True)
    inside = (grey * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1e-6)
    relief = (grey - inside) * mask
    edges = torch.cat([_slope(relief, 3), _slope(relief, 2)], 1)
    groups = [(colour, 1.0), (mask - mask.mean((2, 3), keepdim=True), 1.0), (edges, 0.7)]
    parts = [weight * functional.normalize(group.flatten(1), dim=1) for group, weight in groups]
    return functional.normalize(torch.cat(parts, 1), dim=1)


def _slope(image: Tensor, dim: int) -> Tensor:
    return image.roll(-1, dim) - image.roll(1, dim)
