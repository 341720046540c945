"""A small network that tells defects from what a good reference still gets wrong: edges, glare, grain.

Four convolutions see 19 x 19 pixels around each pixel. It is trained once, on generated toys
(``python train_comparator.py``), and shipped with the program; it never sees the objects that it is reported on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoring.features import CHANNELS, cropped_features
from utils.checkpoint import load_tensors
from utils.errors import InputError
from utils.rendering import Rendering

WEIGHTS = Path(__file__).resolve().parent / "weights" / "comparator.safetensors"
WIDTH = 16
DILATIONS = (1, 2, 4)
STORED = "comparator."  # before the names of its weights in an object's file


def network() -> nn.Sequential:
    """The comparator's layers, untrained: (batch, CHANNELS, h, w) → logits (batch, 1, h, w)."""
    layers: list[nn.Module] = []
    channels = CHANNELS
    for dilation in DILATIONS:
        layers += [
            nn.Conv2d(channels, WIDTH, 3, padding=dilation, dilation=dilation, padding_mode="replicate"),
            nn.ReLU(),
        ]
        channels = WIDTH
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, 1, 3, padding=1, padding_mode="replicate"))


@dataclass(frozen=True)
class Comparator:
    """A trained network."""

    layers: nn.Sequential

    @staticmethod
    def of(weights: dict[str, Tensor]) -> Comparator:
        """The comparator with these weights."""
        layers = network()
        layers.load_state_dict(weights)
        return Comparator(layers.eval().requires_grad_(False))

    def state(self) -> dict[str, Tensor]:
        """Weights by name."""
        return dict(self.layers.state_dict())

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """The response (height, width) to a query (height, width, 3), and its maximum.

        Pixels far from the object have the lowest response there can be, 0.
        """
        crop, channels = cropped_features(query, reference)
        result = torch.zeros_like(reference.opacity)
        crop.of(result).copy_(self.respond(channels))
        return result, float(result.max())

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """All that another machine needs to give the same scores."""
        return {STORED + name: value for name, value in self.state().items()}, {"kind": "calibrated"}

    @staticmethod
    def of_stored(tensors: dict[str, Tensor]) -> Comparator:
        """The comparator whose ``stored`` tensors these are."""
        return Comparator.of({name.removeprefix(STORED): value for name, value in tensors.items()})

    def respond(self, channels: Tensor) -> Tensor:
        """Response (height, width), softplus of the logit, to ``features`` (CHANNELS, height, width)."""
        self.layers.to(channels.device)
        return functional.softplus(self.layers(channels[None])[0, 0])


def load_comparator(path: Path = WEIGHTS) -> Comparator:
    """The comparator that comes with the program.

    Raises:
        InputError: where its file is missing or is not of this version.
    """
    if not path.is_file():
        raise InputError(f"The comparator's weights {path} are missing; restore the file or run train_comparator.py.")
    weights, _ = load_tensors(path)
    try:
        return Comparator.of(weights)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit this version ({error}); run train_comparator.py.") from None
