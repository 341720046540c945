"""CutPaste's augmentations (arXiv:2104.04015): a patch or a thin scar of an image is pasted elsewhere into it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

AREA = (0.02, 0.15)  # of a patch, relative to the image's
ASPECTS = ((0.3, 1.0), (1.0, 3.3))  # width by height; both ranges are equally likely
SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)  # pixels, of an image of 256
SCAR_ANGLE = 45.0  # largest rotation, degrees
JITTER = 0.1  # largest relative change of brightness, contrast and saturation, and largest shift of the hue


def random_uniform(low: float, high: float, rng: torch.Generator) -> float:
    """Draw a number from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=rng))


def random_int(largest: int, rng: torch.Generator) -> int:
    """Draw an integer from 0 to ``largest``, both included."""
    return int(torch.randint(largest + 1, (), generator=rng)) if largest > 0 else 0


def random_patch_size(height: int, width: int, rng: torch.Generator) -> tuple[int, int]:
    """Draw the height and width of a patch of an image (height, width), pixels."""
    area = random_uniform(*AREA, rng) * height * width
    aspect = random_uniform(*ASPECTS[random_int(1, rng)], rng)
    rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
    return min(height, max(1, rows)), min(width, max(1, columns))


def jitter_colours(patch: Tensor, rng: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue of a patch (3, height, width) in [0, 1] a little."""
    from torchvision.transforms import functional  # noqa: PLC0415  seconds, which listing the methods does not need

    brightness, contrast, saturation = (random_uniform(1 - JITTER, 1 + JITTER, rng) for _ in range(3))
    patch = functional.adjust_brightness(patch, brightness)
    patch = functional.adjust_contrast(patch, contrast)
    patch = functional.adjust_saturation(patch, saturation)
    return functional.adjust_hue(patch, random_uniform(-JITTER, JITTER, rng))


def cut_paste(image: Tensor, rng: torch.Generator) -> Tensor:
    """Paste a jittered rectangle of an image (3, height, width) in [0, 1] at another place of it."""
    height, width = image.shape[1:]
    rows, columns = random_patch_size(height, width, rng)
    from_row, from_column = random_int(height - rows, rng), random_int(width - columns, rng)
    to_row, to_column = random_int(height - rows, rng), random_int(width - columns, rng)
    result = image.clone()
    patch = image[:, from_row : from_row + rows, from_column : from_column + columns]
    result[:, to_row : to_row + rows, to_column : to_column + columns] = jitter_colours(patch, rng)
    return result


def cut_paste_scar(image: Tensor, rng: torch.Generator) -> Tensor:
    """Paste a thin piece of an image (3, height, width) in [0, 1], jittered and rotated, somewhere into it."""
    from torchvision.transforms import InterpolationMode, functional  # noqa: PLC0415  seconds, as above

    height, width = image.shape[1:]
    columns = min(width, max(1, round(random_uniform(*SCAR_WIDTH, rng))))
    rows = min(height, max(1, round(random_uniform(*SCAR_LENGTH, rng))))
    row, column = random_int(height - rows, rng), random_int(width - columns, rng)
    patch = jitter_colours(image[:, row : row + rows, column : column + columns], rng)
    layers = torch.cat([patch, torch.ones_like(patch[:1])])  # with its alpha
    angle = random_uniform(-SCAR_ANGLE, SCAR_ANGLE, rng)
    rotated = functional.rotate(layers, angle, InterpolationMode.BILINEAR, expand=True, fill=[0.0])
    rotated = rotated[:, :height, :width]
    rows, columns = rotated.shape[1:]
    row, column = random_int(height - rows, rng), random_int(width - columns, rng)
    result = image.clone()
    place = result[:, row : row + rows, column : column + columns]
    # the rotation has multiplied the colours by alpha already
    result[:, row : row + rows, column : column + columns] = rotated[:3] + (1 - rotated[3:]) * place
    return result.clamp(0, 1)


def erase_patch(image: Tensor, rng: torch.Generator) -> Tensor:
    """Fill a rectangle of CutPaste's sizes with the mean colour of an image (3, height, width)."""
    height, width = image.shape[1:]
    rows, columns = random_patch_size(height, width, rng)
    row, column = random_int(height - rows, rng), random_int(width - columns, rng)
    result = image.clone()
    result[:, row : row + rows, column : column + columns] = image.mean((1, 2), keepdim=True)
    return result
