"""Queries that were disturbed as a whole: the plain background tells by how much, and most of it can be taken back.

The silhouette, on which poses hang, is what differs from the background. A query that is brighter or darker than the
views, or noisy, would be object everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.exposure import change_brightness

RING = 3  # pixels at the picture's edge in which the background is looked for
NEAR = 0.25  # largest channel difference to the ring's median at which a pixel belongs to it
PLAIN = 0.75  # share of the ring that must be background, or nothing is known
LEAST_SHIFT, MOST_SHIFT = 0.02, 0.35  # changes of brightness that are taken back
NOISY = 0.015  # standard deviation of the noise from which a picture is smoothed
NOISIEST = 0.12  # above which it is no noise but what the object shows
BLOCK, EXACT = 8, 1.0 / 512  # pixels of a side, and largest difference, of background that nothing has disturbed
STRENGTH = 0.9  # of the smoothing, in standard deviations of the noise


def undo_disturbance(query: Tensor, background: tuple[float, float, float]) -> Tensor:
    """A query with the brightness and the calm of the views; itself where its background is theirs.

    Brightness is shifted as HSV's value until the background fits; noise is smoothed by non-local means (Buades, Coll
    and Morel, CVPR 2005; OpenCV's).

    Args:
        query: (height, width, 3) float32 RGB in [0, 1].
        background: RGB in [0, 1] of the views'.
    """
    noise = None if has_intact_block(query, background) else ring_noise(query)
    if noise is None or noise > NOISIEST:
        return query
    wanted, noisy = max(background), noise > NOISY
    if noisy:
        query = smoothed(query, noise)
    # what smoothing leaves of the noise is pushed out of range: the background's far end is laid on its value
    end = 0.5 if not noisy else 0.05 if wanted > 0.5 else 0.95
    shift = wanted - float(ring_of(query).amax(-1).quantile(end))
    least = 0.0 if noisy else LEAST_SHIFT
    return change_brightness(query, shift) if least < abs(shift) <= MOST_SHIFT else query


def has_intact_block(picture: Tensor, background: tuple[float, float, float]) -> bool:
    """Whether any ``BLOCK`` x ``BLOCK`` pixels of a picture show the background exactly, as no disturbed one does."""
    exact = (picture - torch.tensor(background, device=picture.device)).abs().amax(-1) < EXACT
    if min(exact.shape) < BLOCK:
        return False
    return bool(torch.nn.functional.avg_pool2d(exact[None].float(), BLOCK, stride=BLOCK // 2).max() > 1.0 - 1e-6)


def ring_of(picture: Tensor) -> Tensor:
    """The pixels (pixels, 3) at the edge of a picture (height, width, 3)."""
    sides = (picture[:RING], picture[-RING:], picture[RING:-RING, :RING], picture[RING:-RING, -RING:])
    return torch.cat([side.reshape(-1, 3) for side in sides])


def ring_noise(picture: Tensor) -> float | None:
    """Standard deviation of the noise on the background at a picture's edge; None where too little is background.

    At white or black half of the noise is cut off: then 70 % of the values lie within .524 standard deviations of the
    median. A light object that the frame cuts, on less than 25 % of the edge, has no say.
    """
    ring = ring_of(picture)
    off = (ring - ring.median(dim=0).values).abs()
    if float((off.amax(-1) < NEAR).float().mean()) < PLAIN:
        return None
    return float(off.flatten().quantile(0.7)) / 0.524


def smoothed(picture: Tensor, noise: float) -> Tensor:
    """A picture (height, width, 3) after non-local means for a noise of this standard deviation."""
    values = (255.0 * picture.cpu().numpy()).round().clip(0, 255).astype(np.uint8)
    strength = 255.0 * STRENGTH * noise
    calm = cv2.fastNlMeansDenoisingColored(np.ascontiguousarray(values[..., ::-1]), None, strength, strength, 5, 15)
    return torch.from_numpy(np.ascontiguousarray(calm[..., ::-1]).astype(np.float32) / 255.0).to(picture.device)
