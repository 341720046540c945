"""The choice of a field: voxels, or the paper's NeRF."""

from __future__ import annotations

from pathlib import Path

import torch

from nerf.mlp.field import load_mlp_field
from nerf.mlp.official import import_field
from nerf.mlp.train import train_mlp
from nerf.voxel.field import load_field
from nerf.voxel.train import train_field
from utils.checkpoint import load_metadata
from utils.config import Config
from utils.errors import InputError
from utils.progress import Progress
from utils.rendering import Field
from utils.views import Views


def train(views: Views, config: Config, device: torch.device, unfinished: Path | None, progress: Progress) -> Field:
    """The field that ``config.field.method`` names, trained on ``views``, or taken from a checkpoint (``ft_path``).

    Args:
        unfinished: where an interrupted training leaves its state, and from where it goes on; None keeps none.
    """
    if config.field.method == "mlp" and config.nerf.ft_path:
        return import_field(views, config.nerf, device, progress)
    if config.field.method == "mlp":
        return train_mlp(views, config.nerf, device, config.seed, unfinished, progress)
    return train_field(views, config.field, device, config.seed, unfinished, progress)


def load(path: Path, device: torch.device | str = "cpu") -> Field:
    """The field that a field's ``save`` wrote to ``path``, on ``device``.

    Errors:
        FileNotFoundError where there is no file, InputError where it holds no field.
    """
    kind = (load_metadata(path) or {}).get("kind")
    if kind == "mlp":
        return load_mlp_field(path, device)
    if kind == "voxel" or kind is None:  # no header: the reader says what is wrong
        return load_field(path, device)
    raise InputError(f"{path} holds {kind!r}, expected a field (voxel or mlp); train the object again.")
