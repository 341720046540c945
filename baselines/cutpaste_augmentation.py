"""CutPaste's augmentations (arXiv:2104.04015): a patch or a thin scar of a picture, pasted elsewhere into it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

AREA = (0.02, 0.15)  # of a patch, as a share of the picture
ASPECTS = ((0.3, 1.0), (1.0, 3.3))  # width by height, one of the two ranges with equal odds
SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)  # pixels, of a picture of 256
SCAR_ANGLE = 45.0  # degrees to either side
JITTER = 0.1  # largest relative change of brightness, contrast and saturation, and half of the hue's range


def uniform(low: float, high: float, random: torch.Generator) -> float:
    """A number drawn between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=random))


def below(limit: int, random: torch.Generator) -> int:
    """A whole number drawn from 0 to ``limit``, both ends in."""
    return int(torch.randint(limit + 1, (), generator=random)) if limit > 0 else 0


def jittered(patch: Tensor, random: torch.Generator) -> Tensor:
    """A patch (3, height, width) in [0, 1] with brightness, contrast, saturation and hue a little changed."""
    from torchvision.transforms import functional as colours

    brightness, contrast, saturation = (uniform(1 - JITTER, 1 + JITTER, random) for _ in range(3))
    patch = colours.adjust_brightness(patch, brightness)
    patch = colours.adjust_contrast(patch, contrast)
    patch = colours.adjust_saturation(patch, saturation)
    return colours.adjust_hue(patch, uniform(-JITTER, JITTER, random))


def cut_paste(picture: Tensor, random: torch.Generator) -> Tensor:
    """The picture (3, height, width) in [0, 1] with a rectangle of it, jittered, pasted at another place."""
    height, width = picture.shape[1:]
    area = uniform(*AREA, random) * height * width
    aspect = uniform(*ASPECTS[below(1, random)], random)
    tall = min(height, max(1, round(math.sqrt(area / aspect))))
    wide = min(width, max(1, round(math.sqrt(area * aspect))))
    from_row, from_column = below(height - tall, random), below(width - wide, random)
    to_row, to_column = below(height - tall, random), below(width - wide, random)
    result = picture.clone()
    patch = picture[:, from_row : from_row + tall, from_column : from_column + wide]
    result[:, to_row : to_row + tall, to_column : to_column + wide] = jittered(patch, random)
    return result


def scar(picture: Tensor, random: torch.Generator) -> Tensor:
    """The picture (3, height, width) in [0, 1] with a thin piece of it, jittered and turned, pasted somewhere."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as turning

    height, width = picture.shape[1:]
    wide = min(width, max(1, round(uniform(*SCAR_WIDTH, random))))
    tall = min(height, max(1, round(uniform(*SCAR_LENGTH, random))))
    row, column = below(height - tall, random), below(width - wide, random)
    patch = jittered(picture[:, row : row + tall, column : column + wide], random)
    whole = torch.cat([patch, torch.ones_like(patch[:1])])  # with its alpha
    turned = turning.rotate(
        whole, uniform(-SCAR_ANGLE, SCAR_ANGLE, random), InterpolationMode.BILINEAR, expand=True, fill=[0.0]
    )
    turned = turned[:, :height, :width]
    tall, wide = turned.shape[1:]
    row, column = below(height - tall, random), below(width - wide, random)
    result = picture.clone()
    place = result[:, row : row + tall, column : column + wide]
    alpha = turned[3:]
    # the turned colours were mixed with the black outside by their alpha already
    result[:, row : row + tall, column : column + wide] = turned[:3] + (1 - alpha) * place
    return result.clamp(0, 1)


def cut_out(picture: Tensor, random: torch.Generator) -> Tensor:
    """The picture (3, height, width) with a rectangle of CutPaste's sizes filled with its mean colour."""
    height, width = picture.shape[1:]
    area, aspect = uniform(*AREA, random) * height * width, uniform(*ASPECTS[below(1, random)], random)
    tall = min(height, max(1, round(math.sqrt(area / aspect))))
    wide = min(width, max(1, round(math.sqrt(area * aspect))))
    row, column = below(height - tall, random), below(width - wide, random)
    result = picture.clone()
    result[:, row : row + tall, column : column + wide] = picture.mean((1, 2), keepdim=True)
    return result


def at_size(pictures: Tensor, size: int) -> Tensor:
    """Pictures (N, 3, height, width) scaled to squares of ``size`` pixels."""
    return functional.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
