"""DRAEM (arXiv:2108.07610): one network removes painted anomalies, a second one segments them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.preprocessing import resize_map, resize_to_square, resize_views
from baselines.protocol import NetworkMethod
from baselines.textures import noise_mask, random_texture
from baselines.training_loop import BatchSchedule, Stateful, optimiser_step, run_training
from utils.errors import InputError
from utils.views import Views

MILESTONES, DECAY = (0.8, 0.9), 0.2  # shares of the training after which the learning rate drops, and its factor


@dataclass(frozen=True)
class DRAEMConfig:
    """DRAEM's hyperparameters; the defaults are the paper's."""

    size: int = 256  # image size, pixels, a multiple of 32
    width: int = 128  # channels of the reconstructive network's first layer; the discriminative one has half as many
    epochs: int = 700
    batch_size: int = 8
    rate: float = 1e-4  # learning rate of Adam
    share: float = 0.5  # fraction of training images with a painted anomaly
    strongest: float = 0.8  # largest weight of the normal image within an anomaly (beta)
    pool: int = 21  # window of the mean filter whose maximum is the score, pixels

    def __post_init__(self) -> None:
        if self.size % 32:
            raise InputError(f"DRAEM.size must be a multiple of 32 pixels, found {self.size}.")


class DRAEM(NetworkMethod[DRAEMConfig]):
    """Both networks are anomalib's; the anomalies have procedural textures in place of a texture dataset's."""

    name = "DRAEM"
    config_type = DRAEMConfig
    fast_config = DRAEMConfig(size=64, width=32, epochs=12)

    def fit(self, views: Views) -> None:
        """Train both networks together."""
        config, device = self.config, self.context.device
        images = resize_views(views, config.size)
        networks = self.new_network().train()
        optimiser = torch.optim.Adam(networks.parameters(), lr=config.rate)
        schedule = BatchSchedule.of_epochs(len(images), config.batch_size, config.epochs)
        milestones = [max(1, int(share * schedule.steps)) for share in MILESTONES]
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, DECAY)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            normal = images[rows]
            painted, masks = paint_anomalies(normal, config, int(torch.randint(2**31, ())))
            restored, logits = networks(painted.to(device))
            loss = draem_loss(normal.to(device), restored, masks.to(device), logits)
            optimiser_step(optimiser, loss)
            scheduler.step()
            return {"loss": loss.detach()}

        stateful: dict[str, Stateful] = {"networks": networks, "optimiser": optimiser, "scheduler": scheduler}
        run_training(self.name, schedule, take_step, stateful, self.context)
        self.network = networks.eval()

    def build_network(self) -> nn.Module:
        """Build both untrained networks."""
        return DRAEMNetworks(self.config.width)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return each pixel's probability of an anomaly, and the largest mean of it over a window."""
        _, logits = self.network(resize_to_square(image.to(self.context.device), self.config.size))
        probability = torch.softmax(logits, dim=1)[:, 1:]
        pool = self.config.pool
        mean = functional.avg_pool2d(probability, pool, stride=1, padding=pool // 2)
        return resize_map(probability, image), float(mean.max())


class DRAEMNetworks(nn.Module):
    """The reconstructive and the discriminative network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        from anomalib.models.image.draem import torch_model  # noqa: PLC0415  optional extra

        self.restoring = torch_model.ReconstructiveSubNetwork(3, 3, base_width=width)
        self.marking = torch_model.DiscriminativeSubNetwork(6, 2, base_width=width // 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return restored images (N, 3, size, size) and logits (N, 2, size, size) for images in [0, 1]."""
        restored = self.restoring(images)
        return restored, self.marking(torch.cat([restored, images], dim=1))


def paint_anomalies(images: Tensor, config: DRAEMConfig, seed: int) -> tuple[Tensor, Tensor]:
    """Paint textures into some of the images (N, 3, size, size); also return masks (N, 1, size, size) of 0 and 1.

    A painted pixel is β · normal + (1 − β) · texture, eq. 2, with β uniform from 0.1 to ``strongest``.
    """
    rng = torch.Generator().manual_seed(seed)
    painted, masks = images.clone(), torch.zeros_like(images[:, :1])
    for index in range(len(images)):
        if float(torch.rand((), generator=rng)) >= config.share:
            continue
        mask = noise_mask(config.size, rng)
        beta = 0.1 + (config.strongest - 0.1) * float(torch.rand((), generator=rng))
        blend = beta * images[index] + (1 - beta) * random_texture(config.size, rng)
        painted[index] = torch.where(mask > 0, blend, images[index])
        masks[index, 0] = mask
    return painted, masks


def draem_loss(normal: Tensor, restored: Tensor, masks: Tensor, logits: Tensor) -> Tensor:
    """Return the squared error, structural dissimilarity and focal loss, eq. 1, 3 and 4.

    Args:
        normal, restored: (N, 3, size, size) in [0, 1].
        masks: (N, 1, size, size), 1 where an anomaly is painted.
        logits: (N, 2, size, size), normal and anomalous.
    """
    from kornia.losses import FocalLoss, SSIMLoss  # noqa: PLC0415  seconds, which listing the methods does not need

    focal = FocalLoss(alpha=None, gamma=2.0, reduction="mean")(logits, masks[:, 0].long())
    dissimilarity = 2 * SSIMLoss(window_size=11)(restored, normal)  # its mean of (1 − SSIM) / 2, doubled
    return functional.mse_loss(restored, normal) + dissimilarity + focal
