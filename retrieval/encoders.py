"""The paper's two networks that turn a picture into one vector, so that alike pictures lie close to each other.

ResNet-50: its last features, scaled to unit length. Vectors u, v of unit length have |u - v|^2 = 2 - 2 u.v, so nearest
is the same as most similar by cosine.

EfficientNet-B4: its four levels, each upsampled bilinearly to the picture's size, 272 channels in all; two pictures
differ by the mean over channels of squared differences, summed over pixels. Upsampling rows and columns is linear,
U d V'. With U = Q R and V = P S (Q, P have orthonormal columns) the upsampled difference has the length of R d S',
which is as small as the level itself. So R f S' of all levels, one after the other, is a vector whose squared distances
are exactly the paper's: 477 thousand numbers for a picture of 224 pixels, where upsampled maps have 13.6 million.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils import backbones
from utils.weights import Weights, efficientnet_b4_file, fingerprint

ENCODERS = ("resnet50", "efficientnet_b4")  # the methods
BATCH = 8  # pictures that go through a network at once
MARGIN = 256 / 224  # ResNet-50 sees the middle of a picture that is this much larger


@dataclass(frozen=True)
class Encoder:
    """A network, and how pictures become vectors by it."""

    kind: str  # the method's name
    size: int  # pixels of the shorter side to which pictures are scaled
    weights: str  # fingerprint of the network's weights
    network: nn.Module
    embed: Callable[[nn.Module, Tensor, int], Tensor]

    def describe(self, pictures: Tensor) -> Tensor:
        """Vectors (pictures, length) of pictures (pictures, height, width, 3), uint8 or float RGB in [0, 1]."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return self.embed(self.network, as_float(pictures.to(device)), self.size)


def make_encoder(kind: str, size: int, weights: Weights, device: torch.device) -> Encoder:
    """The encoder of one of the methods ``ENCODERS``."""
    if kind == "resnet50":
        network, file, embed = backbones.resnet50(weights, "resnet50_retrieval"), "resnet50_retrieval", unit_features
    else:
        network, file = backbones.efficientnet_b4(weights), efficientnet_b4_file(weights)
        embed = stacked_levels
    return Encoder(kind, size, fingerprint(file, weights), network.to(device), embed)


def unit_features(network: nn.Module, pictures: Tensor, size: int) -> Tensor:
    """ResNet-50's features (pictures, 2048), of unit length, of the pictures' middles of ``size`` x ``size`` pixels."""
    middle = central(scaled(pictures, round(size * MARGIN)), size)
    return functional.normalize(network(backbones.imagenet_normalised(middle)), dim=1)


def stacked_levels(network: nn.Module, pictures: Tensor, size: int) -> Tensor:
    """Vectors (pictures, length) whose squared distances are those of the upsampled levels of EfficientNet-B4.

    They are float16, which halves the gallery; it moves distances by less than a thousandth.
    """
    small = scaled(pictures, size)
    height, width = small.shape[1:3]
    levels = network(backbones.imagenet_normalised(small))
    channels = sum(level.shape[1] for level in levels)
    parts = []
    for level in levels:
        rows, columns = stretch(level.shape[2], height).to(level), stretch(level.shape[3], width).to(level)
        parts.append((rows @ level @ columns.T).flatten(1))
    return (torch.cat(parts, 1) / channels**0.5).half()


def stretch(length: int, target: int) -> Tensor:
    """R (length, length) with |R x| = |U x| for all x, where U upsamples ``length`` numbers to ``target`` linearly."""
    unit = torch.eye(length, dtype=torch.float64)[None]
    upsampling = functional.interpolate(unit, target, mode="linear", align_corners=False)[0].T  # (target, length)
    return torch.linalg.qr(upsampling).R.float()


def as_float(pictures: Tensor) -> Tensor:
    """Pictures, uint8 or float, as float32 in [0, 1]."""
    return pictures.float() / 255.0 if pictures.dtype == torch.uint8 else pictures.float()


def scaled(pictures: Tensor, shorter: int) -> Tensor:
    """Pictures (pictures, height, width, 3), float, with ``shorter`` pixels on the shorter side.

    Bilinear with antialiasing, as the paper's scaling by PIL is, but without its rounding to 8 bits.
    """
    height, width = pictures.shape[1:3]
    scale = shorter / min(height, width)
    return resized(pictures, max(shorter, int(height * scale)), max(shorter, int(width * scale)))


def resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """Float pictures (pictures, any, any, channels) as (pictures, height, width, channels), bilinear, antialiased."""
    if pictures.shape[1:3] == (height, width):
        return pictures
    small = functional.interpolate(pictures.permute(0, 3, 1, 2), (height, width), mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1)


def central(pictures: Tensor, size: int) -> Tensor:
    """The middle ``size`` x ``size`` pixels of pictures (pictures, height, width, 3)."""
    top, left = (round((side - size) / 2) for side in pictures.shape[1:3])
    return pictures[:, top : top + size, left : left + size]
