"""The paper's two networks that encode an image as one vector, so that similar images are close to each other.

ResNet-50: its last features, scaled to unit length. Unit vectors u, v have |u - v|^2 = 2 - 2 u.v, so the nearest one
is the most similar one by cosine.

EfficientNet-B4: its four levels, each upsampled bilinearly to the image's size, 272 channels in all; two images differ
by the mean over channels of squared differences, summed over pixels. Upsampling rows and columns is linear, U d V'.
With U = Q R and V = P S (Q, P have orthonormal columns) the upsampled difference has the length of R d S', which is as
small as the level itself. So R f S' of all levels, concatenated, is a vector whose squared distances are exactly the
paper's: 477 thousand numbers for an image of 224 pixels, where upsampled maps have 13.6 million.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.view_gallery import ViewEncoder
from utils.backbones import imagenet_normalised

ENCODING_BATCH = 8  # images per forward pass
CROP_SCALE = 256 / 224  # ResNet-50 sees the centre of an image that is this much larger


@dataclass(frozen=True)
class DescriptorEncoder(ViewEncoder):
    """A network that encodes an image as one vector; images are resized by their shorter side."""

    embed: Callable[[nn.Module, Tensor, int], Tensor]

    feature_name: ClassVar[str] = "descriptors"
    batch_size: ClassVar[int] = ENCODING_BATCH

    def encode_views(self, images: Tensor) -> Tensor:
        """Encode images (images, height, width, 3), uint8 or float RGB in [0, 1], as vectors (images, length)."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return self.embed(self.network, as_float(images.to(device)), self.size)

    def similarities(self, query: Tensor, views: Tensor) -> Tensor:
        """Compute the negative squared distances (views,) of a query (height, width, 3) to vectors of ``views``."""
        return -descriptor_distances(self.encode_views(query[None])[0], views)


def descriptor_distances(vector: Tensor, vectors: Tensor) -> Tensor:
    """Compute the squared distances (vectors,) float32 of ``vector`` (length,) to ``vectors`` (vectors, length)."""
    parts = [(part.float() - vector.float()).square().sum(1) for part in vectors.split(ENCODING_BATCH)]
    return torch.cat(parts)


def unit_features(network: nn.Module, images: Tensor, size: int) -> Tensor:
    """Compute ResNet-50's features (images, 2048), of unit length, of the central ``size`` x ``size`` pixels."""
    centre = centre_crop(resize_shorter_side(images, round(size * CROP_SCALE)), size)
    return functional.normalize(network(imagenet_normalised(centre)), dim=1)


def stacked_levels(network: nn.Module, images: Tensor, size: int) -> Tensor:
    """Compute vectors (images, length) whose squared distances are those of EfficientNet-B4's upsampled levels.

    They are float16, which halves the gallery and changes distances by less than a thousandth.
    """
    small = resize_shorter_side(images, size)
    height, width = small.shape[1:3]
    levels = network(imagenet_normalised(small))
    channels = sum(level.shape[1] for level in levels)
    parts = []
    for level in levels:
        rows, columns = (upsampling_factor(*one).to(level) for one in zip(level.shape[2:], (height, width)))
        parts.append((rows @ level @ columns.T).flatten(1))
    return (torch.cat(parts, 1) / channels**0.5).half()


def upsampling_factor(length: int, target: int) -> Tensor:
    """Return R (length, length) with |R x| = |U x| for all x, where U upsamples ``length`` values to ``target``."""
    unit = torch.eye(length, dtype=torch.float64)[None]
    upsampling = functional.interpolate(unit, target, mode="linear", align_corners=False)[0].T  # (target, length)
    return torch.linalg.qr(upsampling).R.float()


def as_float(images: Tensor) -> Tensor:
    """Convert images, uint8 or float, to float32 in [0, 1]."""
    return images.float() / 255.0 if images.dtype == torch.uint8 else images.float()


def resize_shorter_side(images: Tensor, shorter: int) -> Tensor:
    """Resize float images (images, height, width, 3) so that the shorter side has ``shorter`` pixels.

    Bilinear with antialiasing, as the paper resizes with PIL, but without its rounding to 8 bits.
    """
    height, width = images.shape[1:3]
    scale = shorter / min(height, width)
    return resize_images(images, max(shorter, int(height * scale)), max(shorter, int(width * scale)))


def resize_images(images: Tensor, height: int, width: int) -> Tensor:
    """Resize float images (images, any, any, channels) to ``height`` x ``width``, bilinear with antialiasing."""
    if images.shape[1:3] == (height, width):
        return images
    small = functional.interpolate(images.permute(0, 3, 1, 2), (height, width), mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1)


def centre_crop(images: Tensor, size: int) -> Tensor:
    """Return the central ``size`` x ``size`` pixels of images (images, height, width, 3)."""
    top, left = (round((side - size) / 2) for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]
