"""The gallery of pretrained networks: the training views that are most similar to the query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from retrieval.viewpoints import select_diverse
from utils.camera import Intrinsics
from utils.checkpoint import save_tensors
from utils.progress import Progress
from utils.views import Views


@dataclass(frozen=True)
class ViewEncoder(ABC):
    """A network, and how it compares a query with views."""

    kind: str  # the method's name
    size: int  # pixels of a side to which images are resized
    weights: str  # fingerprint of the network's weights
    network: nn.Module

    feature_name: ClassVar[str]  # of the encoded views in the gallery's file
    batch_size: ClassVar[int]  # views that are encoded at once

    @abstractmethod
    def encode_views(self, images: Tensor) -> Tensor:
        """Encode images (images, height, width, 3) uint8 as features (images, ...) on the network's device."""

    @abstractmethod
    def similarities(self, query: Tensor, views: Tensor) -> Tensor:
        """Compare a query (height, width, 3) with encoded ``views``: (views,), larger is more similar."""


@dataclass(frozen=True)
class ViewGallery:
    """An object's encoded training views; as in the paper no views are added, and poses are not adapted."""

    encoder: ViewEncoder
    features: Tensor  # (views, ...), on the encoder's device
    camera_to_world: Tensor  # (views, 4, 4) float32, on the CPU

    @staticmethod
    def build(views: Views, encoder: ViewEncoder, progress: Progress) -> ViewGallery:
        """Encode at least one view."""
        parts = []
        with progress.bar("gallery", len(views)) as bar:
            for images in views.images.split(encoder.batch_size):
                parts.append(encoder.encode_views(images))
                bar.update(len(images))
        return ViewGallery(encoder, torch.cat(parts), views.camera_to_world.float())

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:  # noqa: ARG002  every gallery's
        """Return poses (at most top_k, 4, 4) of the views most similar to the query (height, width, 3), best first."""
        similarity = self.encoder.similarities(query, self.features).cpu()
        return self.camera_to_world[select_diverse(similarity, self.camera_to_world, top_k)].to(query.device)

    def save(self, path: Path) -> None:
        """Write features and poses to a ``.safetensors`` file whose header identifies the network's weights."""
        tensors = {self.encoder.feature_name: self.features, "camera_to_world": self.camera_to_world}
        header = {"kind": self.encoder.kind, "size": self.encoder.size, "weights": self.encoder.weights}
        save_tensors(path, tensors, header)
