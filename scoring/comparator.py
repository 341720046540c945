"""A small network that distinguishes defects from the errors of a good reference: edges, glare, grain.

Its four convolutions have a receptive field of 17 x 17 pixels. It is trained once, on generated toys
(``python -m pipeline.comparator_training``), and shipped with the program, see ``scoring/weights/README.md``; it never
sees the objects that results are reported on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoring.channels import CHANNEL_COUNT, cropped_channels
from scoring.scorers import Comparison
from scoring.settings import ScoreConfig
from utils.checkpoint import load_tensors
from utils.errors import InputError
from utils.rendering import Rendering
from utils.run_context import RunContext

WEIGHT_FILE = Path(__file__).resolve().parent / "weights" / "comparator.safetensors"
WIDTH = 16  # channels of the hidden layers
DILATIONS = (1, 2, 4)
REBUILD = "rebuild it with python -m pipeline.comparator_training"
PREFIX = "comparator."  # of the names of its weights in an object's file


def make_layers() -> nn.Sequential:
    """Make the untrained layers: (batch, CHANNEL_COUNT, h, w) → logits (batch, 1, h, w)."""
    layers: list[nn.Module] = []
    channels = CHANNEL_COUNT
    for dilation in DILATIONS:
        layers += [
            nn.Conv2d(channels, WIDTH, 3, padding=dilation, dilation=dilation, padding_mode="replicate"),
            nn.ReLU(),
        ]
        channels = WIDTH
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, 1, 3, padding=1, padding_mode="replicate"))


@dataclass(frozen=True)
class Comparator:
    """The trained network."""

    layers: nn.Sequential

    @staticmethod
    def of(weights: dict[str, Tensor]) -> Comparator:
        """Make the comparator from its weights."""
        layers = make_layers()
        layers.load_state_dict(weights)
        return Comparator(layers.eval().requires_grad_(False).to(memory_format=torch.channels_last))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return dict(self.layers.state_dict())

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Return the response (height, width) to a query (height, width, 3), and its maximum.

        Pixels far from the object have the lowest possible response, 0.
        """
        crop, channels = cropped_channels(query, reference)
        anomaly_map = torch.zeros_like(reference.opacity)
        crop.of(anomaly_map).copy_(self.respond(channels))
        return anomaly_map, float(anomaly_map.max())

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the tensors and the header by which an object's file restores the comparator."""
        return {PREFIX + name: value for name, value in self.state_dict().items()}, {"kind": LearnedScore.name}

    @staticmethod
    def of_stored(tensors: dict[str, Tensor]) -> Comparator:
        """Restore the comparator from its ``stored`` tensors."""
        return Comparator.of({name.removeprefix(PREFIX): value for name, value in tensors.items()})

    def respond(self, channels: Tensor) -> Tensor:
        """Compute the response (height, width), the softplus of the logit, to (CHANNEL_COUNT, height, width)."""
        self.layers.to(channels.device)
        batch = channels[None].contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        return functional.softplus(self.layers(batch)[0, 0])


def load_comparator(path: Path = WEIGHT_FILE) -> Comparator:
    """Load the comparator that is shipped with the program.

    Raises:
        InputError: where its file is missing or belongs to another version.
    """
    if not path.is_file():
        raise InputError(f"The comparator's weights {path} are missing; restore the file or {REBUILD}.")
    weights, _ = load_tensors(path)
    try:
        return Comparator.of(weights)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit this version ({error}); {REBUILD}.") from None


@dataclass(frozen=True)
class LearnedScore:
    """Scoring by the comparator that is shipped with the program."""

    config: ScoreConfig

    name: ClassVar[str] = "calibrated"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:  # noqa: ARG002  every method's
        """Load the shipped comparator."""
        return load_comparator()

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:  # noqa: ARG002
        """Load the comparator that the object was calibrated with."""
        return Comparator.of_stored(tensors)
