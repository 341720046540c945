"""The gallery of encoders: the views whose vectors are nearest to the query's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from retrieval.encoders import ENCODING_BATCH, Encoder
from retrieval.viewpoints import select_diverse
from utils.camera import Intrinsics
from utils.checkpoint import save_tensors
from utils.progress import Progress
from utils.views import Views


@dataclass(frozen=True)
class DescriptorGallery:
    """Vectors of an object's training views; as in the paper no views are added, and poses are not adapted."""

    encoder: Encoder
    descriptors: Tensor  # (views, length), on the encoder's device
    camera_to_world: Tensor  # (views, 4, 4) float32, on the CPU

    @staticmethod
    def build(views: Views, encoder: Encoder, progress: Progress) -> DescriptorGallery:
        """Encode at least one view."""
        parts = []
        with progress.bar("gallery", len(views)) as bar:
            for images in views.images.split(ENCODING_BATCH):
                parts.append(encoder.describe(images))
                bar.update(len(images))
        return DescriptorGallery(encoder, torch.cat(parts), views.camera_to_world.float())

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:  # noqa: ARG002  every gallery's
        """Return poses (at most top_k, 4, 4) of the views nearest to the query (height, width, 3), nearest first."""
        nearness = -descriptor_distances(self.encoder.describe(query[None])[0], self.descriptors).cpu()
        return self.camera_to_world[select_diverse(nearness, self.camera_to_world, top_k)].to(query.device)

    def save(self, path: Path) -> None:
        """Write vectors and poses to a ``.safetensors`` file whose header identifies the network's weights."""
        header = {"kind": self.encoder.kind, "size": self.encoder.size, "weights": self.encoder.weights}
        save_tensors(path, {"descriptors": self.descriptors, "camera_to_world": self.camera_to_world}, header)


def descriptor_distances(vector: Tensor, vectors: Tensor) -> Tensor:
    """Compute the squared distances (vectors,) float32 of ``vector`` (length,) to ``vectors`` (vectors, length)."""
    parts = [(part.float() - vector.float()).square().sum(1) for part in vectors.split(ENCODING_BATCH)]
    return torch.cat(parts)
