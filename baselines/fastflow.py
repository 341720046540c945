"""FastFlow (arXiv:2111.07677): a two-dimensional normalising flow maps normal features to Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.feature_extraction import ResNetName, extract_features, frozen_resnet
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import NetworkMethod
from baselines.training_loop import BatchSchedule, optimiser_step, run_training
from utils.backbones import FeatureNetwork
from utils.views import Views


@dataclass(frozen=True)
class FastFlowConfig:
    """FastFlow's hyperparameters; the defaults are the paper's with ResNet-18."""

    size: int = 256  # image size, pixels
    network: ResNetName = "resnet18"  # frozen backbone
    layers: tuple[int, ...] = (1, 2, 3)  # layers of the backbone, with a flow for each
    flow_steps: int = 8  # coupling blocks of a flow
    only_3x3: bool = True  # all couplings convolve 3x3 pixels; false: every other one 1x1
    hidden_ratio: float = 1.0  # hidden channels of a coupling, relative to its input's
    epochs: int = 500
    batch_size: int = 32
    rate: float = 1e-3  # learning rate of Adam
    weight_decay: float = 1e-5  # of Adam


class FastFlow(NetworkMethod[FastFlowConfig]):
    """A flow for each layer of a frozen backbone, anomalib's; places with unlikely features are anomalous."""

    name = "FastFlow"
    config_type = FastFlowConfig
    fast_config = FastFlowConfig(size=128, flow_steps=4, epochs=12, batch_size=8)

    @property
    def weights(self) -> tuple[str, ...]:
        """Return the name of the backbone's weights."""
        return (self.config.network,)

    def fit(self, views: Views) -> None:
        """Train the flows on features that are extracted once."""
        config, device = self.config, self.context.device
        features = extract_features(self.backbone, normalise_images(resize_views(views, config.size)), device)
        flows = self.new_network().train()
        optimiser = torch.optim.Adam(flows.parameters(), lr=config.rate, weight_decay=config.weight_decay)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            loss = likelihood_loss(*flows([layer[rows].to(device) for layer in features]))
            optimiser_step(optimiser, loss)
            return {"loss": loss.detach()}

        schedule = BatchSchedule.of_epochs(len(views), config.batch_size, config.epochs)
        run_training(self.name, schedule, take_step, {"flows": flows, "optimiser": optimiser}, self.context)
        self.network = flows.eval()

    @cached_property
    def backbone(self) -> FeatureNetwork:
        """Load the frozen backbone."""
        return frozen_resnet(self.config.network, self.config.layers, self.context)

    def build_network(self) -> nn.Module:
        """Build the untrained flows."""
        return Flows(self.config, self.backbone.channels)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the mean over layers of each place's unlikeliness, and its maximum."""
        square = normalise_images(resize_to_square(image.to(self.context.device), self.config.size))
        noise, _ = self.network(self.backbone(square))
        unlikely = unlikeliness_map(noise, self.config.size)
        return resize_map(unlikely, image), float(unlikely.max())


class Flows(nn.Module):
    """A layer normalisation and a flow for each layer of features."""

    def __init__(self, config: FastFlowConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        from anomalib.models.image.fastflow.torch_model import create_fast_flow_block  # noqa: PLC0415  optional extra

        sides = [config.size >> (layer + 1) for layer in config.layers]
        shapes = [[count, side, side] for count, side in zip(channels, sides)]
        self.norms = nn.ModuleList(nn.LayerNorm(shape) for shape in shapes)
        self.flows = nn.ModuleList(
            create_fast_flow_block(shape, config.only_3x3, config.hidden_ratio, config.flow_steps) for shape in shapes
        )

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Map layers (N, channels, height, width) to noise of the same shapes; also return log determinants (N,)."""
        pairs = [flow(norm(layer)) for norm, flow, layer in zip(self.norms, self.flows, features)]
        return [noise for noise, _ in pairs], [determinant for _, determinant in pairs]


def likelihood_loss(noise: list[Tensor], determinants: list[Tensor]) -> Tensor:
    """Return the negative log-likelihood up to a constant, summed over layers and averaged over images."""
    return torch.stack(
        [(0.5 * values.square().flatten(1).sum(1) - log).mean() for values, log in zip(noise, determinants)]
    ).sum()


def unlikeliness_map(noise: list[Tensor], size: int) -> Tensor:
    """Average 1 − exp(−½ mean over channels of noise²) over layers resized to (1, 1, size, size): 0 to 1."""
    resized = []
    for values in noise:
        unlikely = 1 - torch.exp(-0.5 * values.square().mean(1, keepdim=True))
        resized.append(functional.interpolate(unlikely, size=(size, size), mode="bilinear", align_corners=False))
    return torch.stack(resized).mean(0)
