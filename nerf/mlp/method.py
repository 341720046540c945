"""The paper's NeRF as a method that the settings can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from nerf.mlp.field import load_mlp_field
from nerf.mlp.official import import_official_field
from nerf.mlp.train import train_mlp_field
from nerf.settings import NerfConfig
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views


@dataclass(frozen=True)
class MlpMethod:
    """NeRF's coarse and fine networks, trained here or taken from a checkpoint of nerf-pytorch."""

    config: NerfConfig

    name: ClassVar[str] = "mlp"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("nerf",)

    def train(self, views: Views, context: RunContext, unfinished: Path | None) -> Field:
        """Train a field on ``views``, resuming from ``unfinished``; ``ft_path`` replaces training."""
        if self.config.ft_path:
            return import_official_field(views, self.config, context)
        return train_mlp_field(views, self.config, context, unfinished)

    @staticmethod
    def load(path: Path, device: torch.device | str) -> Field:
        """Load what the field's ``save`` wrote."""
        return load_mlp_field(path, device)
