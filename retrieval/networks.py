"""Retrieval by pretrained networks: nearest descriptor (ResNet-50, EfficientNet-B4), or most LoFTR matches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from retrieval.encoders import DescriptorEncoder, stacked_levels, unit_features
from retrieval.galleries import Gallery, check_views
from retrieval.loftr import make_matcher
from retrieval.settings import RetrievalConfig
from retrieval.view_gallery import ViewEncoder, ViewGallery
from utils.backbones import efficientnet_b4, resnet50
from utils.rendering import RenderFn
from utils.run_context import RunContext
from utils.views import Views
from utils.weights import fingerprint


@dataclass(frozen=True)
class NetworkRetrieval(ABC):
    """Retrieval of the views that a network finds most similar to the query."""

    config: RetrievalConfig

    name: ClassVar[str]
    weights: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]] = ("retrieval",)

    @property
    def size(self) -> int:
        """Pixels of a side to which images are resized."""
        return self.config.size

    @abstractmethod
    def make_encoder(self, size: int, context: RunContext) -> ViewEncoder:
        """Load the network; an InputError says where its weights are missing."""

    def build(self, views: Views, render_fn: RenderFn, context: RunContext) -> Gallery:  # noqa: ARG002  every method's
        """Build the gallery of the views alone, as in the paper."""
        check_views(views)
        return ViewGallery.build(views, self.make_encoder(self.size, context), context.progress)

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Gallery:
        """Load the gallery that ``save`` wrote as ``tensors`` and ``header``."""
        encoder = self.make_encoder(header["size"], context)
        context.weights.check(encoder.weights, header["weights"], "The gallery")
        return ViewGallery(encoder, tensors[encoder.feature_name].to(context.device), tensors["camera_to_world"])


class ResNet50Retrieval(NetworkRetrieval):
    """The paper's ResNet-50, trained to distinguish viewpoints, compared by cosine similarity."""

    name = "resnet50"
    weights = ("resnet50_retrieval",)

    def make_encoder(self, size: int, context: RunContext) -> ViewEncoder:
        network, found = resnet50(context.weights, self.weights[0]), fingerprint(self.weights[0], context.weights)
        return DescriptorEncoder(self.name, size, found, network.to(context.device), unit_features)


class EfficientNetRetrieval(NetworkRetrieval):
    """Distance of EfficientNet-B4's feature maps."""

    name = "efficientnet_b4"
    weights = ("efficientnet_b4",)

    def make_encoder(self, size: int, context: RunContext) -> ViewEncoder:
        network, found = efficientnet_b4(context.weights), fingerprint(self.weights[0], context.weights)
        return DescriptorEncoder(self.name, size, found, network.to(context.device), stacked_levels)


class LoftrRetrieval(NetworkRetrieval):
    """The views with the most LoFTR matches."""

    name = "loftr"
    weights = ("loftr_indoor",)

    @property
    def size(self) -> int:
        """Pixels of the longer side to which images are resized."""
        return self.config.loftr_size

    def make_encoder(self, size: int, context: RunContext) -> ViewEncoder:
        return make_matcher(size, context.weights, context.device)
