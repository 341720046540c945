"""UniAD (arXiv:2206.03687): a transformer reconstructs a frozen network's features from jittered ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.feature_extraction import extract_features
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import NetworkMethod
from baselines.training_loop import BatchSchedule, Stateful, run_training
from baselines.uniad_network import FeatureTransformer
from utils.backbones import FeatureNetwork, efficientnet_b4
from utils.views import Views

POOL = 16  # window of the mean filter whose maximum is the score, pixels


@dataclass(frozen=True)
class UniADConfig:
    """UniAD's hyperparameters; the defaults are the paper's."""

    size: int = 224  # image size, pixels, a multiple of 16
    width: int = 256  # channels of the transformer
    layers: int = 4  # of encoder and of decoder
    heads: int = 8  # of attention
    feedforward: int = 1024  # channels of the feed-forward layers
    dropout: float = 0.1
    reach: int = 3  # rows and columns around a token that are masked in attention (7 x 7)
    jitter: float = 20.0  # strength of the noise added to tokens in training
    epochs: int = 1000
    drop_epoch: int = 800  # epoch from which the learning rate is a tenth
    batch_size: int = 8
    rate: float = 1e-4  # learning rate of AdamW
    weight_decay: float = 1e-4  # of AdamW
    clip: float = 0.1  # largest norm of a gradient


class UniAD(NetworkMethod[UniADConfig]):
    """One model for each object; features that it does not reconstruct are anomalous."""

    name = "UniAD"
    config_type = UniADConfig
    fast_config = UniADConfig(size=112, epochs=25, drop_epoch=20)
    weights = ("efficientnet_b4",)

    def fit(self, views: Views) -> None:
        """Train the transformer on features that are extracted once."""
        config, device = self.config, self.context.device
        tokens = self.tokens(normalise_images(resize_views(views, config.size)))
        network = self.new_network().train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        schedule = BatchSchedule.of_epochs(len(tokens), config.batch_size, config.epochs)
        drop = max(1, config.drop_epoch * schedule.steps_per_epoch)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [drop], 0.1)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            clean = tokens[rows].to(device)
            loss = functional.mse_loss(network(jitter_tokens(clean, config.jitter)), clean)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            optimiser.step()
            scheduler.step()
            return {"loss": loss.detach()}

        parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "scheduler": scheduler}
        run_training(self.name, schedule, take_step, parts, self.context)
        self.network = network.eval()

    @cached_property
    def backbone(self) -> FeatureNetwork:
        """Load the frozen backbone."""
        return efficientnet_b4(self.context.weights).to(self.context.device)

    def tokens(self, images: Tensor) -> Tensor:
        """Return the backbone's levels at 1/16 of the size, (N, rows · rows, channels), on the CPU."""
        levels = extract_features(self.backbone, images, self.context.device)
        size = (self.config.size // 16, self.config.size // 16)
        resized = [functional.interpolate(each, size=size, mode="bilinear", align_corners=True) for each in levels]
        return torch.cat(resized, dim=1).flatten(2).transpose(1, 2).contiguous()

    def build_network(self) -> nn.Module:
        """Build the untrained transformer."""
        config = self.config
        network = FeatureTransformer(
            sum(self.backbone.channels),
            config.size // 16,
            config.width,
            config.layers,
            config.heads,
            config.feedforward,
            config.dropout,
        )
        network.mask_neighbours(config.reach)
        return network

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return each token's reconstruction error, resized, and the largest mean of it over a window."""
        tokens = self.tokens(normalise_images(resize_to_square(image, self.config.size))).to(self.context.device)
        distances = (self.network(tokens) - tokens).square().sum(2).sqrt()  # (1, tokens)
        rows = self.config.size // 16
        size = (self.config.size, self.config.size)
        grid = distances.reshape(1, 1, rows, rows)
        resized = functional.interpolate(grid, size=size, mode="bilinear", align_corners=True)
        return resize_map(resized, image), float(functional.avg_pool2d(resized, POOL, stride=1).max())


def jitter_tokens(tokens: Tensor, strength: float) -> Tensor:
    """Add Gaussian noise to tokens (N, tokens, channels), of ``strength`` times their norm per channel."""
    norms = tokens.norm(dim=2, keepdim=True) / tokens.shape[2]
    return tokens + torch.randn_like(tokens) * norms * strength
