"""Pose-agnostic anomaly detection: train an object from posed good images, then judge single photos of it.

import omniposead as pad

model = pad.train("data/mine/pump")
found = model.detect("photo.jpg")
print(found.verdict, found.anomaly_score, found.p_value)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.config import Config
from pipeline.detection import Detection
from pipeline.history import Change
from pipeline.learning import add, confirm_good, undo
from pipeline.model import Model
from pipeline.parts import NextView, PartDetection, SurfaceDefect
from pipeline.training import train_object
from scoring.regions import Region
from utils.errors import InputError
from utils.version import __version__

__all__ = [
    "Change",
    "Config",
    "Detection",
    "InputError",
    "Model",
    "NextView",
    "PartDetection",
    "Region",
    "SurfaceDefect",
    "__version__",
    "add",
    "confirm_good",
    "train",
    "undo",
]


def train(folder: str | Path, config: Config | None = None) -> Model:
    """Train an object from the folder of its images.

    Args:
        folder: in the MAD layout, with ``transforms.json`` and ``train/good``.
        config: settings, by default those of the command line; its object and data folder are set from ``folder``.
    Returns:
        The trained object; it is also written to ``ckpts/<folder's name>`` (``config.ckpt_dir``).
    Raises:
        FileNotFoundError, InputError: for data or settings that cannot be trained with.
    """
    path = Path(folder).resolve()
    return train_object(replace(config or Config(), object_name=path.name, data_dir=str(path.parent)))
