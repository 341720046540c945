"""STFPM (arXiv:2103.04257): a student network learns a frozen teacher's features on normal images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.feature_extraction import extract_features, frozen_resnet, resnet_features
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import NetworkMethod
from baselines.training_loop import BatchSchedule, optimiser_step, run_training
from utils.backbones import FeatureNetwork
from utils.views import Views


@dataclass(frozen=True)
class STFPMConfig:
    """STFPM's hyperparameters; the defaults are the paper's."""

    size: int = 256  # image size, pixels
    layers: tuple[int, ...] = (1, 2, 3)  # layers of ResNet-18 whose features are matched
    epochs: int = 100
    batch_size: int = 32
    rate: float = 0.4  # learning rate of SGD
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD


class STFPM(NetworkMethod[STFPMConfig]):
    """Teacher and student are ResNet-18; an image is anomalous where their features differ."""

    name = "STFPM"
    config_type = STFPMConfig
    fast_config = STFPMConfig(size=128, epochs=20, batch_size=8)
    weights = ("resnet18",)

    def fit(self, views: Views) -> None:
        """Train the student."""
        config, device = self.config, self.context.device
        images = normalise_images(resize_views(views, config.size))
        targets = extract_features(self.teacher, images, device)
        student = self.new_network().train()
        optimiser = torch.optim.SGD(
            student.parameters(), lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay
        )

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            target = [layer[rows].to(device) for layer in targets]
            loss = matching_loss(target, student(images[rows].to(device)))
            optimiser_step(optimiser, loss)
            return {"loss": loss.detach()}

        schedule = BatchSchedule.of_epochs(len(images), config.batch_size, config.epochs)
        run_training(self.name, schedule, take_step, {"student": student, "optimiser": optimiser}, self.context)
        self.network = student.eval()

    @cached_property
    def teacher(self) -> FeatureNetwork:
        """Load the frozen teacher."""
        return frozen_resnet("resnet18", self.config.layers, self.context)

    def build_network(self) -> nn.Module:
        """Build the untrained student, which has the teacher's architecture."""
        return resnet_features("resnet18", self.config.layers, self.context.weights, pretrained=False)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the product over layers of the discrepancy of student and teacher, and its maximum."""
        square = normalise_images(resize_to_square(image.to(self.context.device), self.config.size))
        discrepancy = discrepancy_map(self.teacher(square), self.network(square), self.config.size)
        return resize_map(discrepancy, image), float(discrepancy.max())


def discrepancies(teacher: list[Tensor], student: list[Tensor]) -> list[Tensor]:
    """Return half the squared distance of unit features, eq. 1: (N, 1, height, width) of each layer, 0 to 2."""
    pairs = zip(teacher, student)
    units = [(functional.normalize(one, dim=1), functional.normalize(other, dim=1)) for one, other in pairs]
    return [0.5 * (one - other).square().sum(1, keepdim=True) for one, other in units]


def matching_loss(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """Return the sum over layers of the mean discrepancy, eq. 2 and 3."""
    return torch.stack([each.mean() for each in discrepancies(teacher, student)]).sum()


def discrepancy_map(teacher: list[Tensor], student: list[Tensor], size: int) -> Tensor:
    """Return the product of the layers' discrepancies, each resized to (1, 1, size, size), eq. 4."""
    resized = [
        functional.interpolate(each, size=(size, size), mode="bilinear", align_corners=False)
        for each in discrepancies(teacher, student)
    ]
    return torch.stack(resized).prod(0)
