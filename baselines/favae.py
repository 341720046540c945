"""FAVAE (ECCV workshops 2022): a variational autoencoder whose decoder also learns a frozen network's features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.features import in_batches
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, Stateful, seeded, train
from scoring.paper import smooth_map
from utils.errors import InputError
from utils.views import Views
from utils.weights import Weights, fill

LATENT = 100
TEACHER_ENDS = (9, 16, 23)  # of VGG-16's layers: after the ReLU of conv2_2, conv3_3, conv4_3
TEACHER_CHANNELS = (128, 256, 512)


@dataclass(frozen=True)
class FAVAEConfig:
    """FAVAE's settings, by default the paper's."""

    size: int = 128  # pixels of a side to which pictures are scaled, a multiple of 16; the paper's is 128
    epochs: int = 100  # times that each picture is seen, at most
    patience: int = 20  # epochs without a better loss on held-back normal views after which training ends
    held_back: float = 0.1  # share of the normal views on which that loss is taken
    batch_size: int = 64  # pictures in a step
    rate: float = 5e-3  # step size of Adam
    weight_decay: float = 1e-5  # of Adam
    kl_weight: float = 1.0  # of the divergence from the normal distribution
    sigma: float = 4.0  # pixels by which the map is smoothed

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 32:
            raise InputError(f"FAVAE.size must be a multiple of 16 pixels, at least 32, found {self.size}.")


class FAVAE(Method[FAVAEConfig]):
    """What the autoencoder cannot restore, in colours or in features, is anomalous."""

    Config = FAVAEConfig
    FAST = FAVAEConfig(size=64, epochs=15, patience=5, batch_size=16)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("vgg16",)

    def fit(self, views: Views) -> None:
        """Train the autoencoder until it no longer gets better on normal views that it does not learn from."""
        config, device = self.config, self.context.device
        pictures = squared_views(views, config.size)
        targets = in_batches(self.teacher, normalised(pictures), device)
        apart = max(1, round(config.held_back * len(pictures)))
        rows_of = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(self.context.seed))
        learned, watched = rows_of[apart:], rows_of[:apart]
        network = self.new_network().train()
        optimiser = torch.optim.Adam(network.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        best = Best(network)
        schedule = Schedule.of_epochs(len(learned), config.batch_size, config.epochs)

        def loss_on(rows: Tensor) -> Tensor:
            picture = pictures[rows].to(device)
            return favae_loss(picture, [each[rows].to(device) for each in targets], network(picture), config.kl_weight)

        def take_step(chosen: Tensor) -> dict[str, Tensor]:
            loss = loss_on(learned[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            best.steps += 1
            if best.steps % schedule.steps_per_epoch == 0:
                with torch.no_grad():
                    network.eval()
                    best.look(float(loss_on(watched)) / len(watched), network)
                    network.train()
            return {"loss": loss.detach() / len(chosen)}

        parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "best": best}
        train("FAVAE", schedule, take_step, parts, self.context, lambda: best.waited >= config.patience)
        network.load_state_dict(best.state)
        self.network = network.eval()

    @cached_property
    def teacher(self) -> Teacher:
        """The frozen teacher, made when it is first asked for."""
        return Teacher(self.context.weights).to(self.context.device)

    def new_network(self) -> Autoencoder:
        """An autoencoder that has learned nothing."""
        with seeded(self.context.seed, "FAVAE"):
            return Autoencoder(self.config.size).to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The smoothed sum of squared differences of colours and features, and its maximum."""
        picture = squared(image.to(self.context.device), self.config.size)
        output = self.network(picture)
        small = anomaly_map(picture, self.teacher(normalised(picture)), output)
        whole = smooth_map(small[0, 0].cpu(), self.config.sigma)
        return scaled_map(whole, image), float(whole.max())

    def tensors(self) -> dict[str, Tensor]:
        """The autoencoder."""
        return dict(self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over an autoencoder."""
        self.network = self.new_network().eval()
        self.network.load_state_dict(tensors)


class Best:
    """The network at its best so far, and for how many epochs there was none better."""

    def __init__(self, network: nn.Module) -> None:
        self.steps, self.waited, self.loss = 0, 0, float("inf")
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def look(self, loss: float, network: nn.Module) -> None:
        """Note an epoch's loss on the held-back views."""
        self.waited += 1
        if loss < self.loss:
            self.loss, self.waited = loss, 0
            self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """For the training's checkpoint."""
        return {"steps": self.steps, "waited": self.waited, "loss": self.loss, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.steps, self.waited, self.loss = state_dict["steps"], state_dict["waited"], state_dict["loss"]
        self.state = state_dict["state"]


class Teacher(nn.Module):
    """VGG-16 (arXiv:1409.1556), frozen, up to conv4_3."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        import torchvision

        with torch.random.fork_rng(devices=[]):
            whole = torchvision.models.vgg16(weights=None)
        whole = nn.ModuleDict({"features": whole.features[: TEACHER_ENDS[-1]]})
        self.layers = fill(whole, "vgg16", weights)["features"]  # type: ignore[index]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, size, size), normalised → 128, 256 and 512 channels at a half, a quarter and an eighth of the size."""
        found = []
        for index, layer in enumerate(self.layers, start=1):
            pictures = layer(pictures)
            if index in TEACHER_ENDS:
                found.append(pictures.clone())
        return found


@dataclass(frozen=True)
class Restored:
    """What the autoencoder makes of pictures."""

    pictures: Tensor  # (N, 3, size, size) in [0, 1]
    features: list[Tensor]  # like the teacher's
    mean: Tensor  # (N, 100) of the latent distribution
    log_variance: Tensor  # (N, 100)


def down(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution of the encoder."""
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, padding=1), nn.BatchNorm2d(out), nn.LeakyReLU(0.2))


def up(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    """A transposed convolution of the decoder."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out, kernel, stride, padding=1), nn.BatchNorm2d(out), nn.LeakyReLU(0.2)
    )


def adapter(channels: int) -> nn.Sequential:
    """From the decoder's features to the teacher's."""
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))


class Autoencoder(nn.Module):
    """The variational autoencoder, with adapters on three layers of its decoder.

    Args:
        size: pixels of a side of its pictures; with 128 the innermost layers are 8 x 8 convolutions, as in the paper.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        inner = size // 16
        self.encoder = nn.Sequential(
            down(3, 128, 4, 2),
            down(128, 128, 4, 2),
            down(128, 256, 3, 1),
            down(256, 256, 4, 2),
            down(256, 512, 3, 1),
            down(512, 512, 4, 2),
            down(512, 512, 3, 1),
            down(512, 32, 3, 1),
            nn.Conv2d(32, 2 * LATENT, inner),
        )
        self.start = nn.Sequential(nn.ConvTranspose2d(LATENT, 32, inner), nn.BatchNorm2d(32), nn.LeakyReLU(0.2))
        self.first = nn.Sequential(up(32, 512, 3, 1), up(512, 512, 4, 2))  # an eighth of the size
        self.second = nn.Sequential(up(512, 256, 3, 1), up(256, 256, 4, 2))  # a quarter
        self.third = nn.Sequential(up(256, 128, 3, 1), up(128, 128, 4, 2))  # a half
        self.last = nn.Sequential(nn.ConvTranspose2d(128, 3, 4, 2, padding=1), nn.Sigmoid())
        self.adapters = nn.ModuleList(adapter(channels) for channels in TEACHER_CHANNELS)

    def forward(self, pictures: Tensor) -> Restored:
        """(N, 3, size, size) in [0, 1] → what is restored; the latent is drawn in training, its mean otherwise."""
        mean, log_variance = self.encoder(pictures)[:, :, 0, 0].chunk(2, dim=1)
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        eighth = self.first(self.start(latent[:, :, None, None]))
        quarter = self.second(eighth)
        half = self.third(quarter)
        features = [match(each) for match, each in zip(self.adapters, (half, quarter, eighth))]
        return Restored(self.last(half), features, mean, log_variance)


def favae_loss(pictures: Tensor, teacher: list[Tensor], output: Restored, kl_weight: float) -> Tensor:
    """Sums of squared differences of colours and features, and the divergence of the latent from N(0, 1)."""
    colours = (output.pictures - pictures).square().sum()
    features = torch.stack([(one - other).square().sum() for one, other in zip(output.features, teacher)]).sum()
    log_variance = output.log_variance
    divergence = 0.5 * (-1 - log_variance + log_variance.exp() + output.mean.square()).sum()
    return colours + features + kl_weight * divergence


def anomaly_map(pictures: Tensor, teacher: list[Tensor], output: Restored) -> Tensor:
    """Squared differences over channels, features scaled to the picture, all added: (N, 1, size, size)."""
    total = (output.pictures - pictures).square().sum(1, keepdim=True)
    for one, other in zip(output.features, teacher):
        small = (one - other).square().sum(1, keepdim=True)
        total = total + functional.interpolate(small, size=total.shape[2:], mode="bilinear", align_corners=False)
    return total
