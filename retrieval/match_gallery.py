"""The gallery by matches: the view with which LoFTR finds the most matches (arXiv:2104.00680), as the paper retrieves.

A match is a pair of cells of the two pictures' coarse maps that prefer each other, with a confidence above 0.2, two or
more cells from the border. LoFTR's fine stage only moves matches, so that it is left out of the count.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.encoders import as_float, resized
from retrieval.viewpoints import diverse
from utils.camera import Intrinsics
from utils.checkpoint import save_tensors
from utils.progress import Progress
from utils.views import Views
from utils.weights import Weights, fill, fingerprint

KIND = "loftr"
FILE = "loftr_indoor"
STRIDE = 8  # pixels between the cells of a coarse map
BATCH = 4  # pairs that are matched, or views that are described, at once
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue (Rec. 601)


@dataclass(frozen=True)
class Matcher:
    """LoFTR in two halves: what is done once a picture, and what is done once a pair."""

    network: nn.Module  # kornia's LoFTR
    size: int  # pixels of the longer side to which pictures are scaled
    weights: str  # fingerprint of the network's weights

    def features(self, pictures: Tensor) -> Tensor:
        """Coarse maps (pictures, channels, rows, columns) of (pictures, height, width, 3), uint8 or float in [0, 1]."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return coarse_features(self.network, grey(pictures.to(device), self.size))

    def counts(self, query: Tensor, views: Tensor) -> Tensor:
        """Matches (views,) of a query's map (1, channels, rows, columns) with each of ``views`` (views, ...)."""
        with torch.no_grad():
            return torch.cat([match_counts(self.network, query, part) for part in views.split(BATCH)])


def make_matcher(size: int, weights: Weights, device: torch.device) -> Matcher:
    """The matcher with the paper's weights, which were trained with the repaired encoding of positions."""
    network = fill(make_network(), FILE, weights, _without_prefix)
    return Matcher(network.to(device), size, fingerprint(FILE, weights))


def make_network() -> nn.Module:
    """LoFTR before it has weights."""
    from kornia.feature import LoFTR
    from kornia.feature.loftr.loftr import default_cfg

    config: dict[str, Any] = copy.deepcopy(default_cfg)
    config["coarse"]["temp_bug_fix"] = True
    with torch.random.fork_rng(devices=[]):  # its initial values are drawn, and not kept
        return LoFTR(pretrained=None, config=config).eval()


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("matcher."): value for name, value in tensors.items()}


def grey(pictures: Tensor, size: int) -> Tensor:
    """Grey pictures (pictures, 1, height, width) with sides that are multiples of 8, the longer one about ``size``."""
    scale = size / max(pictures.shape[1:3])
    height, width = (max(1, round(side * scale / STRIDE)) * STRIDE for side in pictures.shape[1:3])
    shades = as_float(pictures) @ torch.tensor(_GREY, device=pictures.device)  # (pictures, height, width)
    return resized(shades[..., None], height, width).permute(0, 3, 1, 2)


def coarse_features(network: Any, pictures: Tensor) -> Tensor:
    """Coarse maps (pictures, channels, rows, columns), with positions, of pictures (pictures, 1, height, width).

    Only the first half of the network's feature pyramid: the fine maps, half of its work, have no say in the count.
    """
    pyramid = network.backbone
    stem = pyramid.relu(pyramid.bn1(pyramid.conv1(pictures)))
    deep = pyramid.layer3(pyramid.layer2(pyramid.layer1(stem)))
    return network.pos_encoding(pyramid.layer3_outconv(deep))


def match_counts(network: Any, query: Tensor, views: Tensor) -> Tensor:
    """Matches (views,) of the coarse map ``query`` (1, channels, rows, columns) with each of ``views`` (views, ...)."""
    first, second = query.float().expand(len(views), -1, -1, -1), views.float()
    ahead = network.loftr_coarse(*(maps.flatten(2).transpose(1, 2).contiguous() for maps in (first, second)))
    found: dict[str, Any] = {
        "hw0_c": first.shape[2:],
        "hw1_c": second.shape[2:],
        "hw0_i": [side * STRIDE for side in first.shape[2:]],  # asked for by older versions of kornia
        "stride_c": STRIDE,  # asked for by newer ones
    }
    network.coarse_matching(*ahead, found)
    return torch.bincount(found["m_bids"], minlength=len(views))


@dataclass(frozen=True)
class MatchGallery:
    """Coarse maps of an object's training views. As in the paper there are no other views, and poses stay as they are.

    The maps are kept, in half precision, because they take LoFTR a second or two a view on a CPU; their rounding moves
    counts by a match or so.
    """

    matcher: Matcher
    maps: Tensor  # (views, channels, rows, columns) float16, on the matcher's device
    camera_to_world: Tensor  # (views, 4, 4) float32, on the CPU

    @staticmethod
    def build(views: Views, matcher: Matcher, progress: Progress) -> MatchGallery:
        """The gallery of at least one view."""
        parts = []
        with progress.bar("gallery", len(views)) as bar:
            for images in views.images.split(BATCH):
                parts.append(matcher.features(images).half())
                bar.update(len(images))
        return MatchGallery(matcher, torch.cat(parts), views.camera_to_world.float())

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:
        """Poses (at most top_k, 4, 4) of the views that match the query (height, width, 3) best, best first."""
        counts = self.matcher.counts(self.matcher.features(query[None]), self.maps).cpu()
        return self.camera_to_world[diverse(counts, self.camera_to_world, top_k)].to(query.device)

    def save(self, path: Path) -> None:
        """Write the maps and poses to a ``.safetensors`` file, and by which weights they came about."""
        header = {"kind": KIND, "size": self.matcher.size, "weights": self.matcher.weights}
        save_tensors(path, {"maps": self.maps, "camera_to_world": self.camera_to_world}, header)
