"""Counts the matches of LoFTR (arXiv:2104.00680) between a query and views, as the paper retrieves.

A match is a pair of cells of the two images' coarse maps that are mutual nearest neighbours with a confidence above
0.2, two or more cells from the border. LoFTR's fine stage only refines positions, so it is skipped.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from retrieval.encoders import as_float, resize_images
from retrieval.view_gallery import ViewEncoder
from utils.weights import Weights, fill, fingerprint

WEIGHT_NAME = "loftr_indoor"
STRIDE = 8  # pixels between the cells of a coarse map
MATCHING_BATCH = 4  # pairs that are matched, or views that are encoded, at once
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue (Rec. 601)


@dataclass(frozen=True)
class LoftrMatcher(ViewEncoder):
    """LoFTR in two halves: one runs once per image, the other once per pair; images are resized by their longer side.

    Views are encoded as coarse maps, since LoFTR takes a second or two per view on a CPU. They are stored in half
    precision, which changes counts by about one match.
    """

    feature_name: ClassVar[str] = "maps"
    batch_size: ClassVar[int] = MATCHING_BATCH

    def encode_views(self, images: Tensor) -> Tensor:
        """Compute coarse maps (images, channels, rows, columns) float16 of images (images, height, width, 3)."""
        return self.coarse_maps(images).half()

    def similarities(self, query: Tensor, views: Tensor) -> Tensor:
        """Count the matches (views,) of a query (height, width, 3) with coarse maps of ``views``."""
        return self.count_matches(self.coarse_maps(query[None]), views)

    def coarse_maps(self, images: Tensor) -> Tensor:
        """Compute coarse maps (images, channels, rows, columns) of images, uint8 or float RGB in [0, 1]."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return coarse_features(self.network, to_grey(images.to(device), self.size))

    def count_matches(self, query: Tensor, views: Tensor) -> Tensor:
        """Count the matches (views,) of a query's map (1, channels, rows, columns) with each of ``views``."""
        with torch.no_grad():
            return torch.cat([match_counts(self.network, query, part) for part in views.split(MATCHING_BATCH)])


def make_matcher(size: int, weights: Weights, device: torch.device) -> LoftrMatcher:
    """Make the matcher with the paper's weights, which were trained with the corrected position encoding."""
    network = fill(make_network(), WEIGHT_NAME, weights, _without_prefix)
    return LoftrMatcher("loftr", size, fingerprint(WEIGHT_NAME, weights), network.to(device))


def make_network() -> nn.Module:
    """Make LoFTR without weights."""
    from kornia.feature import LoFTR  # noqa: PLC0415  slow, and needed by this method only
    from kornia.feature.loftr.loftr import default_cfg  # noqa: PLC0415  likewise

    config: dict[str, Any] = copy.deepcopy(default_cfg)
    config["coarse"]["temp_bug_fix"] = True
    with torch.random.fork_rng(devices=[]):  # its initial weights are random and will be replaced
        return LoFTR(pretrained=None, config=config).eval()


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("matcher."): value for name, value in tensors.items()}


def to_grey(images: Tensor, size: int) -> Tensor:
    """Convert to grey (images, 1, height, width), sides multiples of 8 and the longer one about ``size``."""
    scale = size / max(images.shape[1:3])
    height, width = (max(1, round(side * scale / STRIDE)) * STRIDE for side in images.shape[1:3])
    grey = as_float(images) @ torch.tensor(_LUMA, device=images.device)  # (images, height, width)
    return resize_images(grey[..., None], height, width).permute(0, 3, 1, 2)


def coarse_features(network: Any, images: Tensor) -> Tensor:
    """Compute coarse maps (images, channels, rows, columns), with positions, of grey images (images, 1, h, w).

    The half of the feature pyramid that computes fine maps is skipped, since the count does not depend on them.
    """
    pyramid = network.backbone
    stem = pyramid.relu(pyramid.bn1(pyramid.conv1(images)))
    deep = pyramid.layer3(pyramid.layer2(pyramid.layer1(stem)))
    return network.pos_encoding(pyramid.layer3_outconv(deep))


def match_counts(network: Any, query: Tensor, views: Tensor) -> Tensor:
    """Count the matches (views,) of the coarse map ``query`` (1, channels, rows, columns) with each of ``views``."""
    first, second = query.float().expand(len(views), -1, -1, -1), views.float()
    transformed = network.loftr_coarse(*(maps.flatten(2).transpose(1, 2).contiguous() for maps in (first, second)))
    result: dict[str, Any] = {
        "hw0_c": first.shape[2:],
        "hw1_c": second.shape[2:],
        "hw0_i": [side * STRIDE for side in first.shape[2:]],  # read by older versions of kornia
        "stride_c": STRIDE,  # read by newer ones
    }
    network.coarse_matching(*transformed, result)
    return torch.bincount(result["m_bids"], minlength=len(views))
