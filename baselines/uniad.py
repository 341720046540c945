"""UniAD (arXiv:2206.03687): a transformer restores a frozen network's features from jittered ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.features import in_batches
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, Stateful, seeded, train
from baselines.uniad_network import Restorer
from utils.backbones import efficientnet_b4
from utils.views import Views

CHANNELS = 272  # of EfficientNet-B4's first four levels together
POOL = 16  # pixels of a side over which the map is averaged before its maximum is the score


@dataclass(frozen=True)
class UniADConfig:
    """UniAD's settings, by default the paper's."""

    size: int = 224  # pixels of a side to which pictures are scaled, a multiple of 16
    width: int = 256  # channels within the transformer
    layers: int = 4  # of encoder and of decoder
    heads: int = 8  # of attention
    feedforward: int = 1024  # channels of the layers between attentions
    dropout: float = 0.1  # share of values left out in training
    reach: int = 3  # rows and columns around a token that it may not attend to (7 x 7)
    jitter: float = 20.0  # strength of the noise added to tokens in training
    epochs: int = 1000  # times that each picture is seen
    drop_epoch: int = 800  # epoch from which the step size is a tenth
    batch_size: int = 8  # pictures in a step
    rate: float = 1e-4  # step size of AdamW
    weight_decay: float = 1e-4  # of AdamW
    clip: float = 0.1  # largest norm of a gradient


class UniAD(Method[UniADConfig]):
    """One model for each object; features that cannot be restored are anomalous."""

    Config = UniADConfig
    FAST = UniADConfig(size=112, epochs=25, drop_epoch=20)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("efficientnet_b4",)

    def fit(self, views: Views) -> None:
        """Train the transformer on features that are taken once."""
        config, device = self.config, self.context.device
        tokens = self.tokens(normalised(squared_views(views, config.size)))
        network = self.new_network().train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        schedule = Schedule.of_epochs(len(tokens), config.batch_size, config.epochs)
        drop = max(1, config.drop_epoch * schedule.steps_per_epoch)
        falling = torch.optim.lr_scheduler.MultiStepLR(optimiser, [drop], 0.1)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            clean = tokens[rows].to(device)
            loss = functional.mse_loss(network(jittered(clean, config.jitter)), clean)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            optimiser.step()
            falling.step()
            return {"loss": loss.detach()}

        parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "falling": falling}
        train("UniAD", schedule, take_step, parts, self.context)
        self.network = network.eval()

    @cached_property
    def backbone(self) -> nn.Module:
        """The frozen network, made when it is first asked for."""
        return efficientnet_b4(self.context.weights).to(self.context.device)

    def tokens(self, pictures: Tensor) -> Tensor:
        """Levels of the frozen network at a sixteenth of the size: (N, rows · rows, 272), on the CPU."""
        levels = in_batches(self.backbone, pictures, self.context.device)
        size = (self.config.size // 16, self.config.size // 16)
        scaled = [functional.interpolate(each, size=size, mode="bilinear", align_corners=True) for each in levels]
        return torch.cat(scaled, dim=1).flatten(2).transpose(1, 2).contiguous()

    def new_network(self) -> Restorer:
        """A transformer that has learned nothing."""
        config = self.config
        with seeded(self.context.seed, "UniAD"):
            network = Restorer(
                CHANNELS,
                config.size // 16,
                config.width,
                config.layers,
                config.heads,
                config.feedforward,
                config.dropout,
            )
        network.mask_neighbours(config.reach)
        return network.to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The norm of each token's difference, at the picture's size, and the largest of its means over squares."""
        clean = self.tokens(normalised(squared(image, self.config.size))).to(self.context.device)
        distances = (self.network(clean) - clean).square().sum(2).sqrt()  # (1, tokens)
        rows = self.config.size // 16
        size = (self.config.size, self.config.size)
        small = distances.reshape(1, 1, rows, rows)
        large = functional.interpolate(small, size=size, mode="bilinear", align_corners=True)
        return scaled_map(large, image), float(functional.avg_pool2d(large, POOL, stride=1).max())

    def tensors(self) -> dict[str, Tensor]:
        """The transformer."""
        return dict(self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a transformer."""
        self.network = self.new_network().eval()
        self.network.load_state_dict(tensors)


def jittered(tokens: Tensor, strength: float) -> Tensor:
    """Tokens (N, tokens, channels) with Gaussian noise, as strong as ``strength`` times their norm a channel."""
    norms = tokens.norm(dim=2, keepdim=True) / tokens.shape[2]
    return tokens + torch.randn_like(tokens) * norms * strength
