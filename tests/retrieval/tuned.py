"""LoFTR with random weights, tuned so that it matches cells by what they show, as trained weights make it do."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from retrieval import loftr
from retrieval.loftr import LoftrMatcher
from tests.retrieval.rendered_views import grid, views_at
from utils.weights import Weights


def tuned_matcher(size: int, weights: Weights, device: torch.device) -> LoftrMatcher:
    """In place of ``make_matcher``: the last convolution whitens features, and the transformer says little."""
    matcher = loftr.make_matcher(size, weights, device)
    network: Any = matcher.network
    last = network.backbone.layer3_outconv.weight
    last.copy_(_whitening()[:, :, None, None])
    for layer in network.loftr_coarse.layers:
        layer.norm2.weight.fill_(0.1)
    return matcher


@cache
def _whitening() -> Tensor:
    """M^(-1/2) (channels, channels) of the second moments M of a random network's features."""
    network: Any = loftr.make_matcher(96, Weights(backbone="random"), torch.device("cpu")).network
    network.backbone.layer3_outconv.weight.copy_(torch.eye(256)[:, :, None, None])
    network.pos_encoding = torch.nn.Identity()
    grey = loftr.to_grey(views_at(grid()[24:48:3]).images, 96)
    cells = loftr.coarse_features(network, grey).double().movedim(1, -1).flatten(0, 2)  # (cells, channels)
    values, vectors = torch.linalg.eigh(cells.T @ cells / len(cells))
    values = values.clamp(min=1e-3 * float(values.mean()))
    return (vectors * values.rsqrt() @ vectors.T).float()
