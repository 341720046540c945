"""Retrieval by pretrained networks: nearest descriptor (ResNet-50, EfficientNet-B4), or most LoFTR matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from retrieval.descriptor_gallery import DescriptorGallery
from retrieval.encoders import make_encoder
from retrieval.galleries import Gallery, check_views
from retrieval.match_gallery import MatchGallery, make_matcher
from retrieval.settings import RetrievalConfig
from utils.rendering import RenderFn
from utils.run_context import RunContext
from utils.views import Views


@dataclass(frozen=True)
class NearestDescriptor:
    """The views whose descriptors lie nearest to the query's."""

    config: RetrievalConfig

    name: ClassVar[str]
    weights: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]] = ("retrieval",)

    def build(self, views: Views, render_fn: RenderFn, context: RunContext) -> Gallery:
        """Build the gallery of the views alone, as in the paper."""
        check_views(views)
        encoder = make_encoder(self.name, self.config.size, context.weights, context.device)
        return DescriptorGallery.build(views, encoder, context.progress)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Gallery:
        """Load the gallery that ``save`` wrote as ``tensors`` and ``header``."""
        encoder = make_encoder(self.name, header["size"], context.weights, context.device)
        context.weights.check(encoder.weights, header["weights"], "The gallery")
        return DescriptorGallery(encoder, tensors["descriptors"].to(context.device), tensors["camera_to_world"])


class ResNet50Retrieval(NearestDescriptor):
    """The paper's ResNet-50, trained to tell viewpoints apart; similarity is the cosine."""

    name = "resnet50"
    weights = ("resnet50_retrieval",)


class EfficientNetRetrieval(NearestDescriptor):
    """Distance of EfficientNet-B4's feature maps."""

    name = "efficientnet_b4"
    weights = ("efficientnet_b4",)


@dataclass(frozen=True)
class LoftrRetrieval:
    """The views with the most LoFTR matches."""

    config: RetrievalConfig

    name: ClassVar[str] = "loftr"
    weights: ClassVar[tuple[str, ...]] = ("loftr_indoor",)
    settings: ClassVar[tuple[str, ...]] = ("retrieval",)

    def build(self, views: Views, render_fn: RenderFn, context: RunContext) -> Gallery:
        """Build the gallery of the views alone, as in the paper."""
        check_views(views)
        matcher = make_matcher(self.config.loftr_size, context.weights, context.device)
        return MatchGallery.build(views, matcher, context.progress)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Gallery:
        """Load the gallery that ``save`` wrote as ``tensors`` and ``header``."""
        matcher = make_matcher(header["size"], context.weights, context.device)
        context.weights.check(matcher.weights, header["weights"], "The gallery")
        return MatchGallery(matcher, tensors["maps"].to(context.device), tensors["camera_to_world"])
