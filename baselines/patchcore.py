"""PatchCore (arXiv:2106.08265): the distance of a picture's patches to a small memory of normal patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from baselines.features import ResNetLayers, frozen, patch_features
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from scoring.paper import smooth_map
from utils.geometry import farthest_points
from utils.progress import Progress
from utils.seeds import generator
from utils.views import Views


@dataclass(frozen=True)
class PatchCoreConfig:
    """PatchCore's settings, by default those of PatchCore-25% in the paper."""

    size: int = 256  # pixels of a side to which pictures are scaled
    crop: int = 224  # pixels of a side that are cut out of their middle
    layers: tuple[int, ...] = (2, 3)  # layers of the network that make a patch's features
    dimensions: int = 1024  # features of a patch, by averaging neighbouring ones (pretrain and target dimension)
    ratio: float = 0.25  # share of the normal patches that the memory keeps
    projected: int = 128  # dimensions to which patches are projected at random while the memory is chosen
    neighbours: int = 9  # memory entries around the nearest one that weigh the picture's score
    sigma: float = 4.0  # pixels by which the map is smoothed


class PatchCore(Method[PatchCoreConfig]):
    """A memory of normal patches, thinned out to those that lie farthest from each other."""

    Config = PatchCoreConfig
    FAST = PatchCoreConfig(size=224, ratio=0.01)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("wide_resnet50_2",)

    def fit(self, views: Views) -> None:
        """Fill the memory."""
        config, context = self.config, self.context
        pictures, found = squared_views(views, config.size), []
        for picture in context.progress.track(pictures.split(1), "PatchCore: features"):
            found.append(self.patches(picture)[0].half().cpu())  # half: 25 % of 210 views stays below 4 GB
        patches = torch.cat(found)  # (patches, dimensions) float16
        count = max(1, int(config.ratio * len(patches)))
        chosen = coreset(patches, count, config.projected, context.seed, context.device, context.progress)
        self.memory = patches[chosen].float().to(context.device)

    @torch.no_grad()
    def patches(self, pictures: Tensor) -> tuple[Tensor, int]:
        """Patches of pictures (N, 3, size, size): (N · rows · rows, dimensions), and how many rows there are."""
        edge = (self.config.size - self.config.crop) // 2
        inner = pictures[..., edge : edge + self.config.crop, edge : edge + self.config.crop]
        features = patch_features(self.network(normalised(inner.to(self.context.device))))
        rows = features.shape[2]
        flat = features.permute(0, 2, 3, 1).reshape(-1, 1, features.shape[1])
        return functional.adaptive_avg_pool1d(flat, self.config.dimensions)[:, 0], rows

    @cached_property
    def network(self) -> ResNetLayers:
        """The frozen network, made when it is first asked for."""
        return frozen("wide_resnet50_2", self.config.layers, self.context)

    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The map of distances to the memory, and the largest one, weighed by how lonely its nearest entry is."""
        config = self.config
        patches, rows = self.patches(squared(image, config.size))
        distances, nearest = nearest_entries(patches, self.memory)
        score = weighed_score(patches, distances, nearest, self.memory, config.neighbours)
        small = distances.reshape(1, 1, rows, rows)
        whole = torch.zeros(config.size, config.size)
        edge = (config.size - config.crop) // 2
        inner = functional.interpolate(small, size=(config.crop, config.crop), mode="bilinear", align_corners=False)
        whole[edge : edge + config.crop, edge : edge + config.crop] = inner[0, 0].cpu()
        return scaled_map(smooth_map(whole, config.sigma), image), score

    def tensors(self) -> dict[str, Tensor]:
        """The memory."""
        return {"memory": self.memory}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a memory."""
        self.memory = tensors["memory"]


def nearest_entries(patches: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest entry of the memory, and its index: (patches,) each."""
    return torch.cdist(patches, memory).min(dim=1)


def weighed_score(patches: Tensor, distances: Tensor, nearest: Tensor, memory: Tensor, neighbours: int) -> float:
    """The picture's score, eq. 6 and 7 of the paper.

    The patch farthest from the memory counts; its distance is lessened where its nearest entry m* is itself alone:
    1 − exp|m − m*| / Σ exp|m − m'| over the entries m' that are nearest to m*, m* among them.
    """
    farthest = int(distances.argmax())
    distance = distances[farthest]
    around = torch.cdist(memory[nearest[farthest]][None], memory)[0]
    close = around.topk(min(neighbours, len(memory)), largest=False).indices
    to_close = torch.cdist(patches[farthest][None], memory[close])[0]
    weight = 1 - torch.exp(distance - torch.logsumexp(to_close, dim=0))
    return float(weight.clamp(min=0) * distance)


def coreset(patches: Tensor, count: int, projected: int, seed: int, device: torch.device, progress: Progress) -> Tensor:
    """Rows that lie far from each other: greedily, each next one is the farthest from those before (algorithm 1).

    Distances are taken after a random projection, which keeps them about as they are (Johnson-Lindenstrauss). One
    array of distances is kept and lowered in place, so that memory stays at that of the projected patches.

    Args:
        patches: (patches, dimensions).
        count: how many rows to choose.
        projected: dimensions of the projection; 0 leaves it out.
    Returns:
        (count,) int64, in the order in which they were chosen.
    """
    random = generator(seed, "coreset")
    points = patches
    if 0 < projected < patches.shape[1]:
        matrix = torch.randn(patches.shape[1], projected, generator=random) / projected**0.5
        points = torch.cat([some.float() @ matrix for some in patches.split(16384)])
    points = points.float().to(device)
    norms = points.square().sum(1)
    first = int(torch.randint(len(points), (), generator=random))
    rows = farthest_points(lambda row: norms + norms[row] - 2 * (points @ points[row]), first)  # by squared distance
    return torch.tensor(list(progress.track(islice(rows, count), "PatchCore: memory", count)))
