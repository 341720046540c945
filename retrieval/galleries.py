"""The choice of a gallery: the one place that knows how many ways there are to find coarse poses."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from retrieval import gallery as thumbnails
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint, load_tensors
from utils.config import Config
from utils.errors import InputError
from utils.progress import Progress
from utils.rendering import RenderFn
from utils.views import Views


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
        views: posed normal images.
        render_fn: renders the object; only thumbnails are taken of renderings too.
        config: the settings.
        device: where networks compute.
    """
    return thumbnails.build_gallery(views, render_fn, config.retrieval)


def load(path: Path, config: Config, device: torch.device) -> Gallery:
    """The gallery that ``save`` wrote.

    Errors:
        InputError where the file is of something else, or was made with other weights than are found now.
    """
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        if header["kind"] == thumbnails.KIND:
            return thumbnails.Gallery.from_state_dict(tensors)
        raise InputError(f"{path} is no gallery but of kind {header['kind']!r}; train with --overwrite.")
