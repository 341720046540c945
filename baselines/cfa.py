"""CFA (arXiv:2206.04325): features are moved onto small spheres around a memory of normal features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.features import ResNetLayers, frozen, patch_features
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, seeded, train
from scoring.paper import smooth_map
from utils.errors import InputError
from utils.views import Views
from utils.weights import fingerprint


@dataclass(frozen=True)
class CFAConfig:
    """CFA's settings, by default the paper's with WideResNet-50-2."""

    size: int = 224  # pixels of a side to which pictures are scaled
    layers: tuple[int, ...] = (1, 2, 3)  # layers of the network that make a patch's features
    network: str = "wide_resnet50_2"  # or "resnet18"
    gamma_d: int = 1  # by how much the descriptor has fewer channels than the features
    gamma_c: int = 1  # by how much the memory has fewer entries than a picture has patches, by k-means
    neighbours: int = 3  # nearest entries that attract a patch (K)
    negatives: int = 3  # next entries that repel it (J)
    radius: float = 1e-5  # of the spheres, squared in the losses
    margin: float = 0.1  # taken from the squared radius within which entries repel (alpha)
    epochs: int = 30  # times that each picture is seen
    batch_size: int = 4  # pictures in a step
    rate: float = 1e-3  # step size of AdamW
    weight_decay: float = 5e-4  # of AdamW
    sigma: float = 4.0  # pixels by which the map is smoothed

    def __post_init__(self) -> None:
        if self.network not in ("resnet18", "wide_resnet50_2"):
            raise InputError(f"CFA.network must be resnet18 or wide_resnet50_2, found {self.network!r}.")


class CFA(Method[CFAConfig]):
    """A descriptor on frozen features, drawn to the mean normal feature of some place in the picture."""

    Config = CFAConfig
    FAST = CFAConfig(size=112, epochs=4, gamma_d=4)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("wide_resnet50_2",)

    def fit(self, views: Views) -> None:
        """Average the normal features to a memory, then train the descriptor."""
        config, device = self.config, self.context.device
        pictures = normalised(squared_views(views, config.size))
        descriptor = self.new_descriptor()
        memory = self.memory_of(pictures, descriptor)  # (channels, entries)
        optimiser = torch.optim.AdamW(
            descriptor.parameters(), lr=config.rate, weight_decay=config.weight_decay, amsgrad=True
        )

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            with torch.no_grad():
                features = patch_features(self.network(pictures[rows].to(device)))
            loss = hypersphere_loss(squared_distances(descriptor(features), memory), config)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return {"loss": loss.detach()}

        schedule = Schedule.of_epochs(len(pictures), config.batch_size, config.epochs)
        train("CFA", schedule, take_step, {"descriptor": descriptor, "optimiser": optimiser}, self.context)
        self.descriptor, self.memory = descriptor, memory

    @cached_property
    def network(self) -> ResNetLayers:
        """The frozen network, made when it is first asked for."""
        return frozen(self.config.network, self.config.layers, self.context)

    def new_descriptor(self) -> Descriptor:
        """A descriptor that has learned nothing."""
        channels = sum(self.network.channels)
        with seeded(self.context.seed, "CFA"):
            return Descriptor(channels, channels // self.config.gamma_d).to(self.context.device)

    @torch.no_grad()
    def memory_of(self, pictures: Tensor, descriptor: Descriptor) -> Tensor:
        """The mean over pictures of each place's descriptor, thinned out by k-means: (channels, entries)."""
        total: Tensor | float = 0.0
        for some in self.context.progress.track(pictures.split(self.config.batch_size), "CFA: memory"):
            total = total + descriptor(patch_features(self.network(some.to(self.context.device)))).sum(0)
        assert isinstance(total, Tensor)
        memory = (total / len(pictures)).flatten(1)  # (channels, places)
        if self.config.gamma_c > 1:
            from sklearn.cluster import KMeans

            count = memory.shape[1] // self.config.gamma_c
            means = KMeans(count, n_init=1, random_state=self.context.seed).fit(memory.T.cpu().numpy())
            memory = torch.from_numpy(means.cluster_centers_).to(memory).T.contiguous()
        return memory

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The map of weighed distances to the nearest entries, smoothed, and its maximum."""
        config = self.config
        picture = normalised(squared(image.to(self.context.device), config.size))
        features = self.descriptor(patch_features(self.network(picture)))
        scores = patch_scores(squared_distances(features, self.memory), config.neighbours)
        small = scores.reshape(1, 1, *features.shape[2:])
        large = functional.interpolate(small, size=(config.size, config.size), mode="bilinear", align_corners=False)
        whole = smooth_map(large[0, 0].cpu(), config.sigma)
        return scaled_map(whole, image), float(whole.max())

    def tensors(self) -> dict[str, Tensor]:
        """Descriptor and memory."""
        return {**self.descriptor.state_dict(), "memory": self.memory}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over descriptor and memory."""
        self.memory = tensors["memory"]
        self.descriptor = self.new_descriptor()
        self.descriptor.load_state_dict({name: value for name, value in tensors.items() if name != "memory"})

    def fingerprints(self) -> dict[str, str]:
        """The weights of the chosen network."""
        return {self.config.network: fingerprint(self.config.network, self.context.weights)}


class Descriptor(nn.Module):
    """A 1×1 convolution that also sees where in the picture it is (CoordConv, arXiv:1807.03247)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels + 2, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, height, width) → (N, out_channels, height, width)."""
        count, _, height, width = features.shape
        rows = torch.linspace(-1, 1, height, device=features.device).view(1, 1, -1, 1).expand(count, 1, height, width)
        columns = torch.linspace(-1, 1, width, device=features.device).expand(count, 1, height, width)
        return self.layer(torch.cat([features, columns, rows], dim=1))


def squared_distances(features: Tensor, memory: Tensor) -> Tensor:
    """Of each place's features (N, channels, height, width) to each entry of the memory (channels, entries).

    Returns:
        (N, height · width, entries), 0 or more.
    """
    points = features.flatten(2).transpose(1, 2)  # (N, places, channels)
    distances = points.square().sum(2, keepdim=True) + memory.square().sum(0) - 2 * points @ memory
    return distances.clamp(min=0)


def hypersphere_loss(distances: Tensor, config: CFAConfig) -> Tensor:
    """Attraction to the K nearest entries and repulsion from the J next ones, times 1000 as in the paper's code.

    Attraction: distances beyond the radius, squared. Repulsion: what the J next entries are nearer than the radius
    less the margin; with the paper's radius it is always 0.
    """
    near = distances.topk(config.neighbours + config.negatives, largest=False).values
    radius = config.radius**2
    attraction = (near[..., : config.neighbours] - radius).clamp(min=0).mean()
    repulsion = (radius - config.margin - near[..., config.neighbours :]).clamp(min=0).mean()
    return 1000 * (attraction + repulsion)


def patch_scores(distances: Tensor, neighbours: int) -> Tensor:
    """The distance to the nearest entry, times how much nearer it is than the next ones (softmin): (N, places)."""
    near = distances.sqrt().topk(neighbours, largest=False).values
    return torch.softmax(-near, dim=-1)[..., 0] * near[..., 0]
