"""The choice of a gallery: the one place that knows how many ways there are to find coarse poses."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from retrieval import match_gallery, thumbnail_gallery
from retrieval.descriptor_gallery import DescriptorGallery
from retrieval.encoders import ENCODERS, make_encoder
from retrieval.match_gallery import MatchGallery, make_matcher
from retrieval.thumbnail_gallery import ThumbnailGallery
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint, load_tensors
from utils.config import Config
from utils.errors import InputError
from utils.progress import Progress
from utils.rendering import RenderFn
from utils.views import Views
from utils.weights import weights_of


class Gallery(Protocol):
    """Posed views of one object, by which the coarse poses of a query are found."""

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:
        """Coarse poses of a query, best first, each seen from somewhere else.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1].
            intrinsics: the query's camera.
            top_k: coarse poses at most.
        Returns:
            (at most top_k, 4, 4) camera_to_world, float32, on the query's device; at least one.
        """

    def save(self, path: Path) -> None:
        """Write the gallery to a ``.safetensors`` file whose header says its ``kind``."""


def build(views: Views, render_fn: RenderFn, config: Config, device: torch.device, progress: Progress) -> Gallery:
    """The gallery that ``config.retrieval.method`` names.

    Args:
        views: posed normal images, at least one.
        render_fn: renders the object; only thumbnails are taken of renderings too.
        config: the settings.
        device: where networks compute.
    Errors:
        InputError where the method's weights cannot be had.
    """
    if config.retrieval.method == thumbnail_gallery.KIND:
        return ThumbnailGallery.build(views, render_fn, config.retrieval)
    if len(views) == 0:
        raise ValueError("a gallery needs at least one view, found none.")
    weights = weights_of(config)
    if config.retrieval.method == match_gallery.KIND:
        return MatchGallery.build(views, make_matcher(config.retrieval.loftr_size, weights, device), progress)
    encoder = make_encoder(config.retrieval.method, config.retrieval.size, weights, device)
    return DescriptorGallery.build(views, encoder, progress)


def load(path: Path, config: Config, device: torch.device) -> Gallery:
    """The gallery that ``save`` wrote.

    Errors:
        InputError where the file is of something else, or came about by other weights than are found now.
    """
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        kind = header["kind"]
        if kind == thumbnail_gallery.KIND:
            return ThumbnailGallery.from_state_dict(tensors)
        if kind == match_gallery.KIND:
            matcher = make_matcher(header["size"], weights_of(config), device)
            _check_weights(path, header["weights"], matcher.weights)
            return MatchGallery(matcher, tensors["maps"].to(device), tensors["camera_to_world"])
        if kind not in ENCODERS:
            raise InputError(f"{path} is not a gallery, but of kind {kind!r}; delete it, or train with --overwrite.")
        encoder = make_encoder(kind, header["size"], weights_of(config), device)
        _check_weights(path, header["weights"], encoder.weights)
        return DescriptorGallery(encoder, tensors["descriptors"].to(device), tensors["camera_to_world"])


def _check_weights(path: Path, then: str, now: str) -> None:
    """What was made by one network is not compared with what another one makes."""
    if then != now:
        raise InputError(
            f"{path} was made with the weights {then}, found the weights {now}; put the first ones back, or train with "
            f"--overwrite."
        )
