"""What a run passes to every part of the method: device, seed, weights, resume folder and progress bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from utils.progress import Progress
from utils.rendering import Field
from utils.views import Views
from utils.weights import Weights


class CameraRefiner(Protocol):
    """Moves the cameras of the training views to where the field, as far as it is trained, shows their images."""

    def __call__(self, level: int, views: Views, make_field: Callable[[], Field]) -> Views:
        """Return the views with the cameras that a level of the training starts with.

        Args:
            level: 1 or more; a resumed level gets the same cameras again.
            views: which the field is trained on.
            make_field: returns the field that the level before ended with; called only where it is needed.
        """


@dataclass(frozen=True)
class RunContext:
    """The surroundings of a run, the same for every method."""

    device: torch.device
    seed: int = 0
    weights: Weights = field(default_factory=Weights)
    folder: Path | None = None  # checkpoint folder for resuming an interrupted training; None disables it
    progress: Progress = field(default_factory=lambda: Progress(quiet=True))
    refine_cameras: CameraRefiner | None = None  # None trains with the cameras as they are given
