"""The gallery of LoFTR (arXiv:2104.00680), as in the paper: the views with the most matches to the query.

A match is a pair of cells of the two images' coarse maps that are mutual nearest neighbours with a confidence above
0.2, two or more cells from the border. LoFTR's fine stage only refines positions, so it is skipped.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.encoders import as_float, resize_images
from retrieval.viewpoints import select_diverse
from utils.camera import Intrinsics
from utils.checkpoint import save_tensors
from utils.progress import Progress
from utils.views import Views
from utils.weights import Weights, fill, fingerprint

KIND = "loftr"
FILE = "loftr_indoor"
STRIDE = 8  # pixels between the cells of a coarse map
MATCHING_BATCH = 4  # pairs that are matched, or views that are encoded, at once
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue (Rec. 601)


@dataclass(frozen=True)
class Matcher:
    """LoFTR in two halves: one runs once per image, the other once per pair."""

    network: nn.Module  # kornia's LoFTR
    size: int  # pixels of the longer side to which images are scaled
    weights: str  # fingerprint of the network's weights

    def features(self, images: Tensor) -> Tensor:
        """Compute coarse maps (images, channels, rows, columns) of images (images, height, width, 3).

        Args:
            images: RGB, uint8 or float in [0, 1].
        """
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return coarse_features(self.network, to_grey(images.to(device), self.size))

    def counts(self, query: Tensor, views: Tensor) -> Tensor:
        """Count the matches (views,) of a query's map (1, channels, rows, columns) with each of ``views``."""
        with torch.no_grad():
            return torch.cat([match_counts(self.network, query, part) for part in views.split(MATCHING_BATCH)])


def make_matcher(size: int, weights: Weights, device: torch.device) -> Matcher:
    """Make the matcher with the paper's weights, which were trained with the corrected position encoding."""
    network = fill(make_network(), FILE, weights, _without_prefix)
    return Matcher(network.to(device), size, fingerprint(FILE, weights))


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


@dataclass(frozen=True)
class MatchGallery:
    """Coarse maps of an object's training views; as in the paper no views are added, and poses are not adapted.

    The maps are stored, in half precision, because LoFTR takes a second or two per view on a CPU; rounding changes
    counts by about one match.
    """

    matcher: Matcher
    maps: Tensor  # (views, channels, rows, columns) float16, on the matcher's device
    camera_to_world: Tensor  # (views, 4, 4) float32, on the CPU

    @staticmethod
    def build(views: Views, matcher: Matcher, progress: Progress) -> MatchGallery:
        """Encode at least one view."""
        parts = []
        with progress.bar("gallery", len(views)) as bar:
            for images in views.images.split(MATCHING_BATCH):
                parts.append(matcher.features(images).half())
                bar.update(len(images))
        return MatchGallery(matcher, torch.cat(parts), views.camera_to_world.float())

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:  # noqa: ARG002  every gallery's
        """Return poses (at most top_k, 4, 4) of the views that match the query (height, width, 3) best, best first."""
        counts = self.matcher.counts(self.matcher.features(query[None]), self.maps).cpu()
        return self.camera_to_world[select_diverse(counts, self.camera_to_world, top_k)].to(query.device)

    def save(self, path: Path) -> None:
        """Write maps and poses to a ``.safetensors`` file whose header identifies the network's weights."""
        header = {"kind": KIND, "size": self.matcher.size, "weights": self.matcher.weights}
        save_tensors(path, {"maps": self.maps, "camera_to_world": self.camera_to_world}, header)
