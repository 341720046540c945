"""What a method of the benchmark is: it sees normal views, then says of each picture where and how much it deviates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.errors import InputError
from utils.run_context import RunContext
from utils.views import Views
from utils.weights import fingerprint

ConfigType = TypeVar("ConfigType")
MODEL_FILE = "model.safetensors"


class Method(ABC, Generic[ConfigType]):
    """A method, before or after its training.

    Args:
        config: its hyperparameters, an instance of ``Config``.
        context: device, seed, weights, and the checkpoint folder for resuming.
    """

    Config: ClassVar[type]  # frozen dataclass; its defaults are the paper's
    FAST: ClassVar[Any] = None  # the ``Config`` of --fast, which takes minutes on two cores; None: the defaults do
    WEIGHTS: ClassVar[tuple[str, ...]] = ()  # registered names of the pretrained weights it wants
    GPUS: ClassVar[float] = 0.5  # share of a GPU that a cell takes under Ray, where the cluster has any

    def __init__(self, config: ConfigType, context: RunContext) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def fit(self, views: Views) -> None:
        """Learn from normal views; goes on where an interrupted training of the same ``context.folder`` stopped."""

    @abstractmethod
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """How strongly each pixel, and the whole picture, deviate from normal.

        Args:
            image: (height, width, 3) float32 RGB in [0, 1], on any device.
        Returns:
            anomaly_map (height, width) float32 on the CPU, and anomaly_score; larger is more anomalous, both finite.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All that training has made, by name."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what ``tensors`` gave; raises KeyError, ValueError or RuntimeError where it does not fit."""

    def save(self, folder: Path) -> None:
        """Write the trained method into ``folder``."""
        save_tensors(folder / MODEL_FILE, self.tensors(), self.header())

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote, on ``context.device``.

        Raises:
            InputError: where the file is broken or was made with another method, other settings or other weights.
        """
        path = folder / MODEL_FILE
        tensors, header = load_tensors(path, self.context.device)
        for key, value in self.header().items():
            if header.get(key) != value:
                raise InputError(
                    f"{path} was made with {key} = {header.get(key)}, expected {value}; delete it to train again."
                )
        with as_checkpoint(path):
            self.restore(tensors)

    def header(self) -> dict[str, Any]:
        """What a trained method must agree with to be loaded."""
        settings = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.config).items()}  # type: ignore[call-overload]
        return {"method": type(self).__name__, "config": settings, "weights": self.fingerprints()}

    def fingerprints(self) -> dict[str, str]:
        """Each file of pretrained weights with the first digits of its digest, or "random"."""
        return {name: fingerprint(name, self.context.weights) for name in self.WEIGHTS}
