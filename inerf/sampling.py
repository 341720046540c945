"""Pixel sampling of iNeRF (arXiv:2012.05877, III-B): at random, at interest points, or in regions around them.

Pixels are numbered row by row: pixel (x, y) of an image is ``y * width + x``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from inerf.settings import InerfConfig
from utils.images import to_bytes


@dataclass(frozen=True)
class PixelSampler:
    """Draws batches without repetition: from ``preferred``, and from ``others`` where those are too few."""

    preferred: Tensor  # (preferred,) int64, each pixel once
    others: Tensor  # (others,) int64, each pixel once, none of ``preferred``
    batch_size: int  # pixels per batch; an image that has fewer is taken whole

    def draw(self, random: torch.Generator) -> Tensor:
        """Return the next batch (pixels,) int64; ``random`` is on the pixels' device."""
        chosen = _random_subset(self.preferred, self.batch_size, random)
        if len(chosen) == self.batch_size:
            return chosen
        return torch.cat([chosen, _random_subset(self.others, self.batch_size - len(chosen), random)])


def _random_subset(pixels: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Return ``count`` of the ``pixels`` in random order, or all of them where there are no more."""
    if len(pixels) <= count:
        return pixels
    return pixels[torch.randperm(len(pixels), generator=random, device=pixels.device)[:count]]


def make_sampler(query: Tensor, config: InerfConfig, name: str) -> PixelSampler:
    """Make the sampler of ``config.sampling_strategy``.

    ``random`` treats all pixels alike. ``interest_points`` prefers the pixels of the query's SIFT keypoints,
    ``interest_regions`` also those around them; batches that they do not fill are completed with other pixels. A query
    without keypoints is sampled everywhere, with a warning that names it.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1].
        config: strategy, batch size and extent of the regions.
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
            preferred = dilate_mask(preferred, config.kernel_size, config.dil_iter)
    flat = torch.from_numpy(preferred.reshape(-1)).to(query.device)
    return PixelSampler(flat.nonzero().squeeze(-1), (~flat).nonzero().squeeze(-1), config.batch_size)


def keypoint_mask(image: np.ndarray) -> np.ndarray:
    """Return the pixels (height, width) bool nearest to SIFT keypoints of ``image`` (height, width, 3) uint8 RGB."""
    height, width = image.shape[:2]
    sift = cv2.SIFT.create(enable_precise_upscale=True)  # without it, keypoints are off by a quarter of a pixel
    keypoints = sift.detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    points = np.array([keypoint.pt for keypoint in keypoints]).reshape(-1, 2)  # pixel (0, 0) has its centre at (0, 0)
    columns, rows = points.round().astype(int).clip(0, [width - 1, height - 1]).T
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


def dilate_mask(mask: np.ndarray, kernel_size: int, iterations: int) -> np.ndarray:
    """Dilate a mask (height, width) bool ``iterations`` times by a square of ``kernel_size`` pixels a side.

    >>> int(dilate_mask(np.eye(1, 9, 4, dtype=bool), 3, 2).sum())
    5
    """
    square = np.ones((kernel_size, kernel_size), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square, iterations=iterations).astype(bool)
