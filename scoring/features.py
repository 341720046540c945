"""The channels in which the comparator sees a query beside its reference."""

from __future__ import annotations

import torch
from torch import Tensor

from scoring.residuals import Crop, beyond_range, gaussian_blur, neighbourhood_range, object_crop, shading
from utils.rendering import Rendering

CHANNELS = 15
GAIN = 8.0  # residuals are small: this brings them to the order of one


def features(query: Tensor, reference: Tensor, opacity: Tensor) -> Tensor:
    """What the comparator looks at: (CHANNELS, height, width).

    Args:
        query, reference: (3, height, width) RGB in [0, 1].
        opacity: (height, width) of the reference.
    """
    light = shading(query - reference, opacity)
    query = query - light
    difference = query - reference
    low, high = neighbourhood_range(reference, 1)
    query_low, query_high = neighbourhood_range(query, 1)
    near = beyond_range(query, low, high)
    far = beyond_range(query, *neighbourhood_range(reference, 2))
    lost = beyond_range(reference, query_low, query_high)
    grain = length(query - gaussian_blur(query, 1.0))
    fine = torch.stack(
        [
            length(near),
            length(far),
            length(lost),
            length(gaussian_blur(near, 2.0)),
            length(high - low) / 2,
            length(query_high - query_low) / 2,
            grain,
            length(light),
        ]
    )
    return torch.cat([GAIN * difference, GAIN * fine, reference, opacity[None]])


def cropped_features(query: Tensor, reference: Rendering) -> tuple[Crop, Tensor]:
    """The part of the picture that shows the object, and ``features`` there.

    Args:
        query: (height, width, 3) RGB in [0, 1].
        reference: of the same size.
    """
    crop = object_crop(query, reference)
    pair = [crop.of(picture).permute(2, 0, 1) for picture in (query, reference.colour)]
    return crop, features(pair[0], pair[1], crop.of(reference.opacity))


def length(image: Tensor) -> Tensor:
    """Euclidean length over the channels of ``image`` (channels, height, width); torch's norm is 50 times slower."""
    return image.square().sum(0).sqrt()
