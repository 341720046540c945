"""The paper's comparison (arXiv:2310.07716): squared differences of colours and EfficientNet-B4 features, summed.

As in the paper's code, both images are resized to ``score_size``, and the score is the maximum of the smoothed map at
that size. Images stay float throughout, while the paper's are rounded to 8 bits in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoring.scorers import Comparison
from scoring.settings import ScoreConfig
from utils.backbones import efficientnet_b4, imagenet_normalised
from utils.rendering import Rendering
from utils.run_context import RunContext
from utils.weights import fingerprint

TRUNCATE = 4.0  # standard deviations at which the Gaussian is cut off, as in scipy


@dataclass(frozen=True)
class PaperComparison:
    """The paper's comparison, ready to run."""

    network: nn.Module  # images (N, 3, height, width) to a list of feature levels
    weights: str  # fingerprint of the network's weights
    config: ScoreConfig

    @staticmethod
    def of(config: ScoreConfig, context: RunContext) -> PaperComparison:
        """Make the comparison; an InputError says where the network's weights are missing."""
        network = efficientnet_b4(context.weights).to(context.device)
        return PaperComparison(network, fingerprint("efficientnet_b4", context.weights), config)

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the fingerprint of the weights; the weights themselves stay in their own file."""
        return {}, {"kind": PaperScore.name, "weights": self.weights}

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Return the anomaly map, resized to the query's size, and the score: the map's maximum before resizing."""
        images = imagenet_normalised(resize_like_paper(torch.stack([query, reference.colour]), self.config.size))
        levels = [[image, *self.network(image)] for image in images.split(1)]  # separately: equal images give 0
        small = smooth_map(difference_map(*levels), self.config.sigma)
        large = functional.interpolate(small[None, None], size=query.shape[:2], mode="bilinear", align_corners=False)
        return large[0, 0], float(small.max())


@dataclass(frozen=True)
class PaperScore:
    """Scoring by the paper's comparison."""

    config: ScoreConfig

    name: ClassVar[str] = "paper"
    weights: ClassVar[tuple[str, ...]] = ("efficientnet_b4",)
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:
        """Load the network; an InputError says where its weights are missing."""
        return PaperComparison.of(self.config, context)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:  # noqa: ARG002
        """Load the network, which must be the one that the object was calibrated with."""
        comparison = PaperComparison.of(self.config, context)
        context.weights.check(comparison.weights, header["weights"], "The calibration")
        return comparison


def resize_like_paper(images: Tensor, size: int) -> Tensor:
    """Resize images (N, height, width, 3) to a shorter side of ``size`` pixels, keeping the aspect ratio.

    Bilinear with antialiasing, and the longer side truncated to whole pixels, as torchvision resizes 8-bit images.
    """
    height, width = images.shape[1:3]
    shorter = min(height, width)
    target = (int(size * height / shorter), int(size * width / shorter))
    if target == (height, width):
        return images
    channels_first = images.permute(0, 3, 1, 2)
    result = functional.interpolate(channels_first, size=target, mode="bilinear", align_corners=False, antialias=True)
    return result.permute(0, 2, 3, 1)


def difference_map(query: list[Tensor], reference: list[Tensor]) -> Tensor:
    """Sum the squared differences of colours and of each level of features over channels and levels.

    Args:
        query: the normalised image (1, 3, height, width) and its features (1, channels, height / stride,
            width / stride).
        reference: likewise.
    Returns:
        (height, width), 0 or more, at the image's size.
    """
    size = query[0].shape[2:]
    differences = [(one - other).square().sum(1, keepdim=True) for one, other in zip(query, reference)]
    large = [functional.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in differences]
    return torch.stack(large).sum(0)[0, 0]


def smooth_map(anomaly_map: Tensor, sigma: float) -> Tensor:
    """Smooth ``anomaly_map`` (height, width) by a Gaussian of ``sigma`` pixels, mirrored at the borders."""
    rows, columns = (smoothing_matrix(length, sigma).to(anomaly_map) for length in anomaly_map.shape)
    return rows @ anomaly_map @ columns.T


def smoothing_matrix(length: int, sigma: float) -> Tensor:
    """Return the matrix (length, length), float64, that smooths a signal as scipy's gaussian_filter does by default.

    Each row sums to 1; the signal is mirrored at its ends (d c b a | a b c d | d c b a).
    """
    reach = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offsets.double() / sigma).square())
    sources = (torch.arange(length)[:, None] + offsets) % (2 * length)  # (length, offsets)
    sources = torch.where(sources < length, sources, 2 * length - 1 - sources)
    weights = (kernel / kernel.sum()).expand(length, -1)
    return torch.zeros(length, length, dtype=torch.float64).scatter_add_(1, sources, weights)
