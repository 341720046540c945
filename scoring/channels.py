"""The channels in which the comparator sees a query and its reference."""

from __future__ import annotations

import torch
from torch import Tensor

from scoring.residuals import Crop, beyond_range, gaussian_blur, neighbourhood_range, object_crop, shading
from utils.rendering import Rendering

CHANNEL_COUNT = 15
RESIDUAL_GAIN = 8.0


def comparison_channels(query: Tensor, reference: Tensor, opacity: Tensor) -> Tensor:
    """Compute the comparator's input (CHANNEL_COUNT, height, width).

    Args:
        query, reference: (3, height, width) RGB in [0, 1].
        opacity: (height, width) of the reference.
    """
    light = shading(query - reference, opacity)
    query = query - light
    difference = query - reference
    low, high = neighbourhood_range(reference, 1)
    query_low, query_high = neighbourhood_range(query, 1)
    beyond_near = beyond_range(query, low, high)
    beyond_far = beyond_range(query, *neighbourhood_range(reference, 2))
    missing = beyond_range(reference, query_low, query_high)
    grain = channel_norm(query - gaussian_blur(query, 1.0))
    norms = torch.stack(
        [
            channel_norm(beyond_near),
            channel_norm(beyond_far),
            channel_norm(missing),
            channel_norm(gaussian_blur(beyond_near, 2.0)),
            channel_norm(high - low) / 2,
            channel_norm(query_high - query_low) / 2,
            grain,
            channel_norm(light),
        ]
    )
    return torch.cat([RESIDUAL_GAIN * difference, RESIDUAL_GAIN * norms, reference, opacity[None]])


def cropped_channels(query: Tensor, reference: Rendering) -> tuple[Crop, Tensor]:
    """Return the crop around the object and ``comparison_channels`` within it.

    Args:
        query: (height, width, 3) RGB in [0, 1].
        reference: of the same size.
    """
    crop = object_crop(query, reference)
    pair = [crop.of(image).permute(2, 0, 1) for image in (query, reference.colour)]
    return crop, comparison_channels(pair[0], pair[1], crop.of(reference.opacity))


def channel_norm(image: Tensor) -> Tensor:
    """Compute the Euclidean norm over the channels of ``image`` (channels, h, w); torch's own is 50 times slower."""
    return image.square().sum(0).sqrt()
