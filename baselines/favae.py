"""FAVAE (ECCV workshops 2022): a variational autoencoder whose decoder also learns a frozen network's features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.favae_network import Autoencoder, AutoencoderOutput
from baselines.feature_extraction import extract_features
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import NetworkMethod
from baselines.training_loop import BatchSchedule, Stateful, optimiser_step, run_training
from scoring.paper import smooth_map
from utils.backbones import FeatureNetwork, Lite0Levels
from utils.errors import InputError
from utils.views import Views
from utils.weights import LITE0, Weights, fill

TEACHER_ENDS = (9, 16, 23)  # of VGG-16's layers: after the ReLU of conv2_2, conv3_3, conv4_3
TEACHER_STRIDES = (2, 4, 8)  # of the features there


@dataclass(frozen=True)
class FAVAEConfig:
    """FAVAE's hyperparameters; the defaults are the paper's."""

    size: int = 128  # image size, pixels, a multiple of 16
    epochs: int = 100  # at most
    patience: int = 20  # epochs without a better validation loss after which training ends
    held_back: float = 0.1  # fraction of the normal views used for validation
    batch_size: int = 64
    rate: float = 5e-3  # learning rate of Adam
    weight_decay: float = 1e-5  # of Adam
    kl_weight: float = 1.0  # weight of the divergence from the normal distribution
    sigma: float = 4.0  # smoothing of the map, pixels

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 32:
            raise InputError(f"FAVAE.size must be a multiple of 16 pixels, at least 32, found {self.size}.")


class FAVAE(NetworkMethod[FAVAEConfig]):
    """An image is anomalous where the autoencoder does not reconstruct its colours or features."""

    name = "FAVAE"
    config_type = FAVAEConfig
    fast_config = FAVAEConfig(size=64, epochs=15, patience=5, batch_size=16)
    weights = ("vgg16",)

    def fit(self, views: Views) -> None:
        """Train the autoencoder, with early stopping on normal validation views."""
        config, device = self.config, self.context.device
        images = resize_views(views, config.size)
        targets = extract_features(self.teacher, normalise_images(images), device)
        count = max(1, round(config.held_back * len(images)))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.context.seed))
        training, validation = order[count:], order[:count]
        network = self.new_network().train()
        optimiser = torch.optim.Adam(network.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        best = BestState(network)
        schedule = BatchSchedule.of_epochs(len(training), config.batch_size, config.epochs)

        def loss_of(rows: Tensor) -> Tensor:
            batch = images[rows].to(device)
            return favae_loss(batch, [each[rows].to(device) for each in targets], network(batch), config.kl_weight)

        def take_step(chosen: Tensor) -> dict[str, Tensor]:
            loss = loss_of(training[chosen])
            optimiser_step(optimiser, loss)
            best.steps += 1
            if best.steps % schedule.steps_per_epoch == 0:
                with torch.no_grad():
                    network.eval()
                    best.update(float(loss_of(validation)) / count, network)
                    network.train()
            return {"loss": loss.detach() / len(chosen)}

        parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "best": best}
        patience = config.patience
        run_training(self.name, schedule, take_step, parts, self.context, lambda: best.waited >= patience)
        network.load_state_dict(best.state)
        self.network = network.eval()

    @cached_property
    def teacher(self) -> FeatureNetwork:
        """Load the frozen teacher."""
        return make_teacher(self.context.weights).to(self.context.device)

    def build_network(self) -> nn.Module:
        """Build the untrained autoencoder."""
        return Autoencoder(self.config.size, self.teacher.channels)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the smoothed reconstruction error of colours and features, and its maximum."""
        square = resize_to_square(image.to(self.context.device), self.config.size)
        error = reconstruction_error(square, self.teacher(normalise_images(square)), self.network(square))
        smooth = smooth_map(error[0, 0].cpu(), self.config.sigma)
        return resize_map(smooth, image), float(smooth.max())


class BestState:
    """The network's state at the lowest validation loss so far, and the epochs since."""

    def __init__(self, network: nn.Module) -> None:
        self.steps, self.waited, self.loss = 0, 0, float("inf")
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, loss: float, network: nn.Module) -> None:
        """Record an epoch's validation loss, and the network's state where it is the lowest."""
        self.waited += 1
        if loss < self.loss:
            self.loss, self.waited = loss, 0
            self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the training checkpoint's content."""
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.steps, self.waited, self.loss = state_dict["steps"], state_dict["waited"], state_dict["loss"]
        self.state = state_dict["state"]


def make_teacher(weights: Weights) -> FeatureNetwork:
    """Make the teacher, or what stands in for it with levels of the same strides."""
    return Lite0Levels(TEACHER_STRIDES, weights) if weights.stand_in("vgg16") == LITE0 else Teacher(weights)


class Teacher(FeatureNetwork):
    """VGG-16 (arXiv:1409.1556), frozen, up to conv4_3."""

    channels = (128, 256, 512)

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        import torchvision  # noqa: PLC0415  seconds, which listing the methods does not need

        with torch.random.fork_rng(devices=[]):
            self.layers = torchvision.models.vgg16(weights=None).features[: TEACHER_ENDS[-1]]
        fill(nn.ModuleDict({"features": self.layers}), "vgg16", weights)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features at 1/2, 1/4 and 1/8 of the size for normalised images (N, 3, size, size)."""
        features = []
        for index, layer in enumerate(self.layers, start=1):
            images = layer(images)
            if index in TEACHER_ENDS:
                features.append(images.clone())
        return features


def favae_loss(images: Tensor, teacher: list[Tensor], output: AutoencoderOutput, kl_weight: float) -> Tensor:
    """Return the squared errors of colours and features plus the latent's divergence from N(0, 1), all summed."""
    colours = (output.images - images).square().sum()
    features = torch.stack([(one - other).square().sum() for one, other in zip(output.features, teacher)]).sum()
    log_variance = output.log_variance
    divergence = 0.5 * (-1 - log_variance + log_variance.exp() + output.mean.square()).sum()
    return colours + features + kl_weight * divergence


def reconstruction_error(images: Tensor, teacher: list[Tensor], output: AutoencoderOutput) -> Tensor:
    """Return the squared errors summed over channels, features resized to the image: (N, 1, size, size)."""
    total = (output.images - images).square().sum(1, keepdim=True)
    for one, other in zip(output.features, teacher):
        error = (one - other).square().sum(1, keepdim=True)
        total = total + functional.interpolate(error, size=total.shape[2:], mode="bilinear", align_corners=False)
    return total
