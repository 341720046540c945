"""STFPM (arXiv:2103.04257): a student learns the features of a frozen teacher on normal pictures only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from baselines.features import ResNetLayers, frozen, in_batches
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, seeded, train
from utils.views import Views


@dataclass(frozen=True)
class STFPMConfig:
    """STFPM's settings, by default the paper's."""

    size: int = 256  # pixels of a side to which pictures are scaled
    layers: tuple[int, ...] = (1, 2, 3)  # layers of ResNet-18 whose features are matched
    epochs: int = 100  # times that each picture is seen
    batch_size: int = 32  # pictures in a step
    rate: float = 0.4  # step size of SGD
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD


class STFPM(Method[STFPMConfig]):
    """Teacher and student are both ResNet-18; where they differ, the picture is not normal."""

    Config = STFPMConfig
    FAST = STFPMConfig(size=128, epochs=20, batch_size=8)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("resnet18",)

    def fit(self, views: Views) -> None:
        """Train the student."""
        config, device = self.config, self.context.device
        teacher = self.teacher
        pictures = normalised(squared_views(views, config.size))
        targets = in_batches(teacher, pictures, device)  # the teacher sees each picture once
        student = self.new_student()
        student.train()
        optimiser = torch.optim.SGD(
            student.parameters(), lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay
        )

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            wanted = [target[rows].to(device) for target in targets]
            loss = matching_loss(wanted, student(pictures[rows].to(device)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return {"loss": loss.detach()}

        schedule = Schedule.of_epochs(len(pictures), config.batch_size, config.epochs)
        train("STFPM", schedule, take_step, {"student": student, "optimiser": optimiser}, self.context)
        self.student = student.eval()

    @cached_property
    def teacher(self) -> ResNetLayers:
        """The frozen teacher, made when it is first asked for."""
        return frozen("resnet18", self.config.layers, self.context)

    def new_student(self) -> ResNetLayers:
        """A student that has learned nothing."""
        with seeded(self.context.seed, "STFPM"):
            return ResNetLayers("resnet18", self.config.layers, None).to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The product over layers of how far student and teacher differ, and its maximum."""
        picture = normalised(squared(image.to(self.context.device), self.config.size))
        small = anomaly_map(self.teacher(picture), self.student(picture), self.config.size)
        return scaled_map(small, image), float(small.max())

    def tensors(self) -> dict[str, Tensor]:
        """The student."""
        return dict(self.student.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a student."""
        self.student = self.new_student().eval()
        self.student.load_state_dict(tensors)


def differences(teacher: list[Tensor], student: list[Tensor]) -> list[Tensor]:
    """Half the squared distance of features of unit length, eq. 1: (N, 1, height, width) of each layer, 0 to 2."""
    pairs = [
        (functional.normalize(one, dim=1), functional.normalize(other, dim=1)) for one, other in zip(teacher, student)
    ]
    return [0.5 * (one - other).square().sum(1, keepdim=True) for one, other in pairs]


def matching_loss(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """The sum over layers of the mean difference over places, eq. 2 and 3, averaged over pictures."""
    return torch.stack([each.mean() for each in differences(teacher, student)]).sum()


def anomaly_map(teacher: list[Tensor], student: list[Tensor], size: int) -> Tensor:
    """The product of the layers' differences, each scaled to (1, 1, size, size), eq. 4."""
    large = [
        functional.interpolate(each, size=(size, size), mode="bilinear", align_corners=False)
        for each in differences(teacher, student)
    ]
    return torch.stack(large).prod(0)
