"""Retrieval by colour thumbnails: no weights, milliseconds a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from retrieval.galleries import Gallery
from retrieval.settings import RetrievalConfig
from retrieval.thumbnail_gallery import ThumbnailGallery
from utils.rendering import RenderFn
from utils.run_context import RunContext
from utils.views import Views


@dataclass(frozen=True)
class Thumbnails:
    """Descriptors of the views, and of renderings from viewpoints between them."""

    config: RetrievalConfig

    name: ClassVar[str] = "thumbnails"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("retrieval",)

    def build(self, views: Views, render_fn: RenderFn, context: RunContext) -> Gallery:
        """Build the gallery of the views and of virtual viewpoints rendered by ``render_fn``."""
        return ThumbnailGallery.build(views, render_fn, self.config)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Gallery:
        """Load the gallery that ``save`` wrote as ``tensors`` and ``header``."""
        return ThumbnailGallery.from_state_dict(tensors)
