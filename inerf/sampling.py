"""The pixels that a step of iNeRF looks at (arXiv:2012.05877, III-B): any, interest points, or regions around them.

Pixels are numbered row by row: pixel (x, y) of a picture is ``y * width + x``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.config import InerfConfig
from utils.images import to_bytes


@dataclass(frozen=True)
class PixelSampler:
    """Batches of pixels, without repetition: from ``preferred``, and from ``others`` what those are too few for."""

    preferred: Tensor  # (preferred,) int64, each pixel once
    others: Tensor  # (others,) int64, each pixel once, none of ``preferred``
    batch_size: int  # pixels a batch; a picture that has fewer is taken whole

    def draw(self, random: torch.Generator) -> Tensor:
        """The next batch (pixels,) int64; ``random`` lies on the pixels' device."""
        chosen = _some(self.preferred, self.batch_size, random)
        if len(chosen) == self.batch_size:
            return chosen
        return torch.cat([chosen, _some(self.others, self.batch_size - len(chosen), random)])


def _some(pixels: Tensor, count: int, random: torch.Generator) -> Tensor:
    """``count`` of the ``pixels`` in random order; all of them where there are no more."""
    if len(pixels) <= count:
        return pixels
    return pixels[torch.randperm(len(pixels), generator=random, device=pixels.device)[:count]]


def make_sampler(query: Tensor, config: InerfConfig, name: str) -> PixelSampler:
    """The sampler that ``config.sampling_strategy`` asks for.

    ``random`` prefers no pixel to another. ``interest_points`` prefers the pixels of SIFT keypoints, which are found
    on the query, ``interest_regions`` also those that lie around them; too few are filled up with others. A query
    without a keypoint is sampled everywhere, with a warning that gives its name.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1].
        config: strategy, batch size, and how far regions reach.
        name: the query's name, for the warning.
    """
    height, width = query.shape[:2]
    if config.sampling_strategy == "random":
        preferred: np.ndarray = np.ones((height, width), bool)
    else:
        preferred = keypoint_mask(to_bytes(query))
        if not preferred.any():
            warnings.warn(f"Query {name} has no SIFT keypoint; its pixels are sampled at random.", stacklevel=2)
        if config.sampling_strategy == "interest_regions":
            preferred = grown(preferred, config.kernel_size, config.dil_iter)
    flat = torch.from_numpy(preferred.reshape(-1)).to(query.device)
    return PixelSampler(flat.nonzero().squeeze(-1), (~flat).nonzero().squeeze(-1), config.batch_size)


def keypoint_mask(picture: np.ndarray) -> np.ndarray:
    """Pixels (height, width) bool nearest to a SIFT keypoint of ``picture`` (height, width, 3) uint8 RGB."""
    height, width = picture.shape[:2]
    sift = cv2.SIFT.create(enable_precise_upscale=True)  # without, keypoints lie a quarter of a pixel off
    found = sift.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), None)
    points = np.array([keypoint.pt for keypoint in found]).reshape(-1, 2)  # pixel (0, 0) has its centre at (0, 0)
    columns, rows = points.round().astype(int).clip(0, [width - 1, height - 1]).T
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


def grown(mask: np.ndarray, kernel_size: int, times: int) -> np.ndarray:
    """A mask (height, width) bool grown ``times`` times by a square of ``kernel_size`` pixels a side.

    >>> int(grown(np.eye(1, 9, 4, dtype=bool), 3, 2).sum())
    5
    """
    square = np.ones((kernel_size, kernel_size), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square, iterations=times).astype(bool)
