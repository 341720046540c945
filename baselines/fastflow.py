"""FastFlow (arXiv:2111.07677): normal features become Gaussian noise by a flow that keeps their places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.features import CHANNELS, ResNetLayers, frozen, in_batches
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, seeded, train
from utils.errors import InputError
from utils.views import Views
from utils.weights import fingerprint


@dataclass(frozen=True)
class FastFlowConfig:
    """FastFlow's settings, by default the paper's with ResNet-18."""

    size: int = 256  # pixels of a side to which pictures are scaled
    network: str = "resnet18"  # or "wide_resnet50_2"
    layers: tuple[int, ...] = (1, 2, 3)  # layers of the network, with a flow for each
    flow_steps: int = 8  # coupling blocks of a flow
    only_3x3: bool = True  # all couplings look at 3x3 pixels; false: every other one at one pixel
    hidden_ratio: float = 1.0  # channels within a coupling, by those of its input
    epochs: int = 500  # times that each picture is seen
    batch_size: int = 32  # pictures in a step
    rate: float = 1e-3  # step size of Adam
    weight_decay: float = 1e-5  # of Adam

    def __post_init__(self) -> None:
        if self.network not in CHANNELS:
            raise InputError(f"FastFlow.network must be one of {', '.join(CHANNELS)}, found {self.network!r}.")


class FastFlow(Method[FastFlowConfig]):
    """A flow for each layer of a frozen network; unlikely places are anomalous. The flows are anomalib's."""

    Config = FastFlowConfig
    FAST = FastFlowConfig(size=128, flow_steps=4, epochs=12, batch_size=8)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("resnet18",)

    def fit(self, views: Views) -> None:
        """Train the flows."""
        config, device = self.config, self.context.device
        features = in_batches(self.network, normalised(squared_views(views, config.size)), device)
        flows = self.new_flows()
        flows.train()
        optimiser = torch.optim.Adam(flows.parameters(), lr=config.rate, weight_decay=config.weight_decay)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            loss = likelihood_loss(*flows([layer[rows].to(device) for layer in features]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return {"loss": loss.detach()}

        schedule = Schedule.of_epochs(len(features[0]), config.batch_size, config.epochs)
        train("FastFlow", schedule, take_step, {"flows": flows, "optimiser": optimiser}, self.context)
        self.flows = flows.eval()

    @cached_property
    def network(self) -> ResNetLayers:
        """The frozen network, made when it is first asked for."""
        return frozen(self.config.network, self.config.layers, self.context)

    def new_flows(self) -> Flows:
        """Flows that have learned nothing."""
        with seeded(self.context.seed, "FastFlow"):
            return Flows(self.config, self.network.channels).to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The mean over layers of how unlikely each place is, and its maximum."""
        picture = normalised(squared(image.to(self.context.device), self.config.size))
        noise, _ = self.flows(self.network(picture))
        small = anomaly_map(noise, self.config.size)
        return scaled_map(small, image), float(small.max())

    def tensors(self) -> dict[str, Tensor]:
        """The flows."""
        return dict(self.flows.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over flows."""
        self.flows = self.new_flows().eval()
        self.flows.load_state_dict(tensors)

    def fingerprints(self) -> dict[str, str]:
        """The weights of the chosen network."""
        return {self.config.network: fingerprint(self.config.network, self.context.weights)}


class Flows(nn.Module):
    """A layer normalisation and a flow for each layer of features."""

    def __init__(self, config: FastFlowConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        from anomalib.models.image.fastflow.torch_model import create_fast_flow_block

        sides = [config.size >> (layer + 1) for layer in config.layers]
        shapes = [[count, side, side] for count, side in zip(channels, sides)]
        self.norms = nn.ModuleList(nn.LayerNorm(shape) for shape in shapes)
        self.flows = nn.ModuleList(
            create_fast_flow_block(shape, config.only_3x3, config.hidden_ratio, config.flow_steps) for shape in shapes
        )

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Layers (N, channels, height, width) → noise of the same shapes, and log determinants (N,)."""
        pairs = [flow(norm(layer)) for norm, flow, layer in zip(self.norms, self.flows, features)]
        return [noise for noise, _ in pairs], [determinant for _, determinant in pairs]


def likelihood_loss(noise: list[Tensor], determinants: list[Tensor]) -> Tensor:
    """Minus the log-likelihood of the features, but for a constant, summed over layers, averaged over pictures."""
    return torch.stack(
        [(0.5 * values.square().flatten(1).sum(1) - log).mean() for values, log in zip(noise, determinants)]
    ).sum()


def anomaly_map(noise: list[Tensor], size: int) -> Tensor:
    """1 − exp(−½ mean over channels of squared noise), each layer scaled to (1, 1, size, size), averaged: 0 to 1."""
    large = []
    for values in noise:
        unlikely = 1 - torch.exp(-0.5 * values.square().mean(1, keepdim=True))
        large.append(functional.interpolate(unlikely, size=(size, size), mode="bilinear", align_corners=False))
    return torch.stack(large).mean(0)
