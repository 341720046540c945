"""PatchCore (arXiv:2106.08265): the distance of an image's patches to a small memory of normal patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional

from baselines.feature_extraction import frozen_resnet, patch_features
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import Method
from scoring.paper import smooth_map
from utils.backbones import FeatureNetwork
from utils.geometry import farthest_points
from utils.run_context import RunContext
from utils.seeds import generator
from utils.views import Views


@dataclass(frozen=True)
class PatchCoreConfig:
    """PatchCore's hyperparameters; the defaults are those of PatchCore-25% in the paper."""

    size: int = 256  # image size, pixels
    crop: int = 224  # size of the central crop, pixels
    layers: tuple[int, ...] = (2, 3)  # layers of the backbone that make a patch's features
    dimensions: int = 1024  # features of a patch at most, by adaptive pooling (pretrain and target dimension)
    ratio: float = 0.25  # fraction of the normal patches that the memory keeps
    projected: int = 128  # dimensions of the random projection in which the memory is selected; 0: no projection
    neighbours: int = 9  # memory entries around the nearest one that weight the image's score
    sigma: float = 4.0  # smoothing of the map, pixels


class PatchCore(Method[PatchCoreConfig]):
    """A memory of normal patches, reduced to a greedy coreset."""

    name = "PatchCore"
    config_type = PatchCoreConfig
    fast_config = PatchCoreConfig(size=224, ratio=0.01)
    weights = ("wide_resnet50_2",)

    def fit(self, views: Views) -> None:
        """Fill the memory."""
        config, context = self.config, self.context
        images, found = resize_views(views, config.size), []
        for image in context.progress.track(images.split(1), "PatchCore: features"):
            found.append(self.patches(image)[0].half().cpu())  # half: 25 % of 210 views stays below 4 GB
        patches = torch.cat(found)  # (patches, dimensions) float16
        count = max(1, int(config.ratio * len(patches)))
        self.memory = patches[coreset(patches, count, config.projected, context)].float().to(context.device)

    @torch.no_grad()
    def patches(self, images: Tensor) -> tuple[Tensor, int]:
        """Return the patches (N · rows · rows, dimensions) of images (N, 3, size, size), and the number of rows."""
        edge = (self.config.size - self.config.crop) // 2
        inner = images[..., edge : edge + self.config.crop, edge : edge + self.config.crop]
        features = patch_features(self.backbone(normalise_images(inner.to(self.context.device))))
        rows = features.shape[2]
        flat = features.permute(0, 2, 3, 1).reshape(-1, 1, features.shape[1])
        return functional.adaptive_avg_pool1d(flat, min(self.config.dimensions, flat.shape[2]))[:, 0], rows

    @cached_property
    def backbone(self) -> FeatureNetwork:
        """Load the frozen backbone."""
        return frozen_resnet("wide_resnet50_2", self.config.layers, self.context)

    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the smoothed map of distances to the memory, and the largest distance, weighted by its neighbours."""
        config = self.config
        patches, rows = self.patches(resize_to_square(image, config.size))
        distances, nearest = torch.cdist(patches, self.memory).min(dim=1)
        score = weighted_score(patches, distances, nearest, self.memory, config.neighbours)
        grid = distances.reshape(1, 1, rows, rows)
        canvas = torch.zeros(config.size, config.size)
        edge = (config.size - config.crop) // 2
        inner = functional.interpolate(grid, size=(config.crop, config.crop), mode="bilinear", align_corners=False)
        canvas[edge : edge + config.crop, edge : edge + config.crop] = inner[0, 0].cpu()
        return resize_map(smooth_map(canvas, config.sigma), image), score

    def tensors(self) -> dict[str, Tensor]:
        """Return the memory."""
        return {"memory": self.memory}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the memory."""
        self.memory = tensors["memory"]


def weighted_score(patches: Tensor, distances: Tensor, nearest: Tensor, memory: Tensor, neighbours: int) -> float:
    """Return the image's score, eq. 6 and 7 of the paper.

    It is the largest distance of a patch m to its nearest entry m*, weighted by 1 − exp|m − m*| / Σ exp|m − m'| over
    the entries m' nearest to m*, m* included.

    Args:
        patches: (patches, dimensions).
        distances: (patches,) to the nearest entry of the memory.
        nearest: (patches,) that entry's index.
        memory: (entries, dimensions).
    """
    farthest = int(distances.argmax())
    distance = distances[farthest]
    to_entries = torch.cdist(memory[nearest[farthest]][None], memory)[0]
    close = to_entries.topk(min(neighbours, len(memory)), largest=False).indices
    to_close = torch.cdist(patches[farthest][None], memory[close])[0]
    weight = 1 - torch.exp(distance - torch.logsumexp(to_close, dim=0))
    return float(weight.clamp(min=0) * distance)


def coreset(patches: Tensor, count: int, projected: int, context: RunContext) -> Tensor:
    """Select patches greedily, each the farthest from those before (algorithm 1).

    Distances are computed after a random projection, which preserves them approximately (Johnson–Lindenstrauss).

    Args:
        patches: (patches, dimensions).
        count: number of patches to select.
        projected: dimensions of the projection; 0 omits it.
        context: seed, device and progress bars.
    Returns:
        Rows (count,) int64, in the order of selection.
    """
    rng = generator(context.seed, "coreset")
    points = patches
    if 0 < projected < patches.shape[1]:
        matrix = torch.randn(patches.shape[1], projected, generator=rng) / projected**0.5
        points = torch.cat([batch.float() @ matrix for batch in patches.split(16384)])
    points = points.float().to(context.device)
    norms = points.square().sum(1)
    first = int(torch.randint(len(points), (), generator=rng))
    rows = farthest_points(lambda row: norms + norms[row] - 2 * (points @ points[row]), first)  # by squared distance
    return torch.tensor(list(context.progress.track(islice(rows, count), "PatchCore: memory", count)))
