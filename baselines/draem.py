"""DRAEM (arXiv:2108.07610): one network takes painted-in anomalies out, another one marks where they were."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.pictures import scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.textures import noise_mask, texture
from baselines.training import Schedule, Stateful, seeded, train
from utils.errors import InputError
from utils.views import Views

DROPS, DROP = (0.8, 0.9), 0.2  # shares of the training after which the step size falls, and to what part


@dataclass(frozen=True)
class DRAEMConfig:
    """DRAEM's settings, by default the paper's."""

    size: int = 256  # pixels of a side to which pictures are scaled, a multiple of 32
    width: int = 128  # channels of the reconstructing network's first layer; the marking one has half of them
    epochs: int = 700  # times that each picture is seen
    batch_size: int = 8  # pictures in a step
    rate: float = 1e-4  # step size of Adam
    share: float = 0.5  # of the pictures into which an anomaly is painted
    strongest: float = 0.8  # largest share of the normal picture that stays visible through an anomaly (beta)
    pool: int = 21  # pixels of a side over which the map is averaged before its maximum is the score

    def __post_init__(self) -> None:
        if self.size % 32:
            raise InputError(f"DRAEM.size must be a multiple of 32 pixels, found {self.size}.")


class DRAEM(Method[DRAEMConfig]):
    """Both networks are anomalib's; the anomalies' textures are drawn by this program, not taken from a data set."""

    Config = DRAEMConfig
    FAST = DRAEMConfig(size=64, width=32, epochs=12)

    def fit(self, views: Views) -> None:
        """Train both networks together."""
        config, device = self.config, self.context.device
        pictures = squared_views(views, config.size)
        networks = self.new_networks().train()
        optimiser = torch.optim.Adam(networks.parameters(), lr=config.rate)
        schedule = Schedule.of_epochs(len(pictures), config.batch_size, config.epochs)
        milestones = [max(1, int(share * schedule.steps)) for share in DROPS]
        falling = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, DROP)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            normal = pictures[rows]
            painted, masks = with_anomalies(normal, config, int(torch.randint(2**31, ())))
            restored, marks = networks(painted.to(device))
            loss = draem_loss(normal.to(device), restored, masks.to(device), marks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
            return {"loss": loss.detach()}

        stateful: dict[str, Stateful] = {"networks": networks, "optimiser": optimiser, "falling": falling}
        train("DRAEM", schedule, take_step, stateful, self.context)
        self.networks = networks.eval()

    def new_networks(self) -> Networks:
        """Networks that have learned nothing."""
        with seeded(self.context.seed, "DRAEM"):
            return Networks(self.config.width).to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The probability of an anomaly at each pixel, and the largest mean of it over a square."""
        _, marks = self.networks(squared(image.to(self.context.device), self.config.size))
        probability = torch.softmax(marks, dim=1)[:, 1:]
        pool = self.config.pool
        mean = functional.avg_pool2d(probability, pool, stride=1, padding=pool // 2)
        return scaled_map(probability, image), float(mean.max())

    def tensors(self) -> dict[str, Tensor]:
        """Both networks."""
        return dict(self.networks.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over both networks."""
        self.networks = self.new_networks().eval()
        self.networks.load_state_dict(tensors)


class Networks(nn.Module):
    """The reconstructing and the marking network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        from anomalib.models.image.draem.torch_model import DiscriminativeSubNetwork, ReconstructiveSubNetwork

        self.restoring = ReconstructiveSubNetwork(3, 3, base_width=width)
        self.marking = DiscriminativeSubNetwork(6, 2, base_width=width // 2)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, size, size) in [0, 1] → restored pictures (N, 3, size, size) and marks (N, 2, size, size) logits."""
        restored = self.restoring(pictures)
        return restored, self.marking(torch.cat([restored, pictures], dim=1))


def with_anomalies(pictures: Tensor, config: DRAEMConfig, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, size, size) with textures painted into some of them, and masks (N, 1, size, size) of 0 and 1.

    A painted pixel is β · normal + (1 − β) · texture, eq. 2, with β uniform from 0.1 to ``strongest``.
    """
    random = torch.Generator().manual_seed(seed)
    painted, masks = pictures.clone(), torch.zeros_like(pictures[:, :1])
    for index in range(len(pictures)):
        if float(torch.rand((), generator=random)) >= config.share:
            continue
        mask = noise_mask(config.size, random)
        beta = 0.1 + (config.strongest - 0.1) * float(torch.rand((), generator=random))
        over = beta * pictures[index] + (1 - beta) * texture(config.size, random)
        painted[index] = torch.where(mask > 0, over, pictures[index])
        masks[index, 0] = mask
    return painted, masks


def draem_loss(normal: Tensor, restored: Tensor, masks: Tensor, marks: Tensor) -> Tensor:
    """Squared difference, structural similarity and focal loss, eq. 1, 3 and 4.

    Args:
        normal, restored: (N, 3, size, size) in [0, 1].
        masks: (N, 1, size, size), 1 where an anomaly is painted.
        marks: (N, 2, size, size) logits.
    """
    from kornia.losses import FocalLoss, SSIMLoss

    focal = FocalLoss(alpha=None, gamma=2.0, reduction="mean")(marks, masks[:, 0].long())
    similar = 2 * SSIMLoss(window_size=11)(restored, normal)  # its mean of (1 − SSIM) / 2, doubled
    return functional.mse_loss(restored, normal) + similar + focal
