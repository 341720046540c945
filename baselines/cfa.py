"""CFA (arXiv:2206.04325): a descriptor draws features onto small hyperspheres around a memory of normal features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.feature_extraction import ResNetName, frozen_resnet, patch_features
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import Method
from baselines.training_loop import BatchSchedule, optimiser_step, run_training, seeded_rng
from scoring.paper import smooth_map
from utils.backbones import FeatureNetwork
from utils.views import Views


@dataclass(frozen=True)
class CFAConfig:
    """CFA's hyperparameters; the defaults are the paper's with Wide ResNet-50-2."""

    size: int = 224  # image size, pixels
    layers: tuple[int, ...] = (1, 2, 3)  # layers of the backbone that make a patch's features
    network: ResNetName = "wide_resnet50_2"  # frozen backbone
    gamma_d: int = 1  # factor by which the descriptor reduces the channels
    gamma_c: int = 1  # factor by which k-means reduces the memory
    neighbours: int = 3  # nearest memory entries that attract a patch (K)
    negatives: int = 3  # next memory entries that repel it (J)
    radius: float = 1e-5  # of the hyperspheres, squared in the losses
    margin: float = 0.1  # subtracted from the squared radius within which entries repel (alpha)
    epochs: int = 30
    batch_size: int = 4
    rate: float = 1e-3  # learning rate of AdamW
    weight_decay: float = 5e-4  # of AdamW
    sigma: float = 4.0  # smoothing of the map, pixels


class CFA(Method[CFAConfig]):
    """A descriptor on frozen features, and a memory of the mean normal descriptor at each place of the image."""

    name = "CFA"
    config_type = CFAConfig
    fast_config = CFAConfig(size=112, epochs=4, gamma_d=4)

    @property
    def weights(self) -> tuple[str, ...]:
        """Return the name of the backbone's weights."""
        return (self.config.network,)

    def fit(self, views: Views) -> None:
        """Average the normal features to a memory, then train the descriptor."""
        config, device = self.config, self.context.device
        images = normalise_images(resize_views(views, config.size))
        descriptor = self.new_descriptor()
        memory = self.build_memory(images, descriptor)  # (channels, entries)
        optimiser = torch.optim.AdamW(
            descriptor.parameters(), lr=config.rate, weight_decay=config.weight_decay, amsgrad=True
        )

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            with torch.no_grad():
                features = patch_features(self.backbone(images[rows].to(device)))
            loss = hypersphere_loss(squared_distances(descriptor(features), memory), config)
            optimiser_step(optimiser, loss)
            return {"loss": loss.detach()}

        schedule = BatchSchedule.of_epochs(len(images), config.batch_size, config.epochs)
        run_training(self.name, schedule, take_step, {"descriptor": descriptor, "optimiser": optimiser}, self.context)
        self.descriptor, self.memory = descriptor, memory

    @cached_property
    def backbone(self) -> FeatureNetwork:
        """Load the frozen backbone."""
        return frozen_resnet(self.config.network, self.config.layers, self.context)

    def new_descriptor(self) -> Descriptor:
        """Build the untrained descriptor."""
        channels = sum(self.backbone.channels)
        with seeded_rng(self.context.seed, self.name):
            return Descriptor(channels, channels // self.config.gamma_d).to(self.context.device)

    @torch.no_grad()
    def build_memory(self, images: Tensor, descriptor: Descriptor) -> Tensor:
        """Average each place's descriptor over images and reduce the places by k-means: (channels, entries)."""
        total: Tensor | float = 0.0
        for batch in self.context.progress.track(images.split(self.config.batch_size), "CFA: memory"):
            total = total + descriptor(patch_features(self.backbone(batch.to(self.context.device)))).sum(0)
        assert isinstance(total, Tensor)
        memory = (total / len(images)).flatten(1)  # (channels, places)
        if self.config.gamma_c > 1:
            from sklearn.cluster import KMeans  # noqa: PLC0415  seconds, only for gamma_c above 1

            count = memory.shape[1] // self.config.gamma_c
            means = KMeans(count, n_init=1, random_state=self.context.seed).fit(memory.T.cpu().numpy())
            memory = torch.from_numpy(means.cluster_centers_).to(memory).T.contiguous()
        return memory

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the smoothed map of weighted distances to the nearest memory entries, and its maximum."""
        config = self.config
        square = normalise_images(resize_to_square(image.to(self.context.device), config.size))
        features = self.descriptor(patch_features(self.backbone(square)))
        scores = patch_scores(squared_distances(features, self.memory), config.neighbours)
        grid = scores.reshape(1, 1, *features.shape[2:])
        resized = functional.interpolate(grid, size=(config.size, config.size), mode="bilinear", align_corners=False)
        smooth = smooth_map(resized[0, 0].cpu(), config.sigma)
        return resize_map(smooth, image), float(smooth.max())

    def tensors(self) -> dict[str, Tensor]:
        """Return descriptor and memory."""
        return {**self.descriptor.state_dict(), "memory": self.memory}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore descriptor and memory."""
        self.memory = tensors["memory"]
        self.descriptor = self.new_descriptor()
        self.descriptor.load_state_dict({name: value for name, value in tensors.items() if name != "memory"})


class Descriptor(nn.Module):
    """A 1×1 convolution of features and their image coordinates (CoordConv, arXiv:1807.03247)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels + 2, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, channels, height, width) to (N, out_channels, height, width)."""
        count, _, height, width = features.shape
        rows = torch.linspace(-1, 1, height, device=features.device).view(1, 1, -1, 1).expand(count, 1, height, width)
        columns = torch.linspace(-1, 1, width, device=features.device).expand(count, 1, height, width)
        return self.layer(torch.cat([features, columns, rows], dim=1))


def squared_distances(features: Tensor, memory: Tensor) -> Tensor:
    """Return the squared distances of features (N, channels, height, width) to memory entries (channels, entries).

    Returns:
        (N, height · width, entries), 0 or more.
    """
    points = features.flatten(2).transpose(1, 2)  # (N, places, channels)
    distances = points.square().sum(2, keepdim=True) + memory.square().sum(0) - 2 * points @ memory
    return distances.clamp(min=0)


def hypersphere_loss(distances: Tensor, config: CFAConfig) -> Tensor:
    """Return the attraction to the K nearest entries plus the repulsion from the J next ones, times 1000.

    Attraction: squared distances beyond the squared radius. Repulsion: how far the J next entries are within the
    squared radius less the margin; with the paper's radius it is always 0. The factor is that of the paper's code.
    """
    near = distances.topk(config.neighbours + config.negatives, largest=False).values
    radius = config.radius**2
    attraction = (near[..., : config.neighbours] - radius).clamp(min=0).mean()
    repulsion = (radius - config.margin - near[..., config.neighbours :]).clamp(min=0).mean()
    return 1000 * (attraction + repulsion)


def patch_scores(distances: Tensor, neighbours: int) -> Tensor:
    """Return the distance to the nearest entry, weighted by its softmin among the nearest ones: (N, places)."""
    near = distances.sqrt().topk(neighbours, largest=False).values
    return torch.softmax(-near, dim=-1)[..., 0] * near[..., 0]
