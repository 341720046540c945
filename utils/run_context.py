"""What a run passes to every part of the method: device, seed, weights, resume folder and progress bars."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from utils.progress import Progress
from utils.weights import Weights


@dataclass(frozen=True)
class RunContext:
    """The surroundings of a run, the same for every method."""

    device: torch.device
    seed: int = 0
    weights: Weights = field(default_factory=Weights)
    folder: Path | None = None  # checkpoint folder for resuming an interrupted training; None disables it
    progress: Progress = field(default_factory=lambda: Progress(quiet=True))
