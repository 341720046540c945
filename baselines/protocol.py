"""The protocol of the benchmark's methods: fit on normal views, then predict each image's anomaly map and score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from torch import Tensor, nn

from baselines.training_loop import seeded_rng
from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.errors import InputError
from utils.run_context import RunContext
from utils.views import Views
from utils.weights import fingerprint

MethodConfig = TypeVar("MethodConfig")
MODEL_FILE = "model.safetensors"


class Method(ABC, Generic[MethodConfig]):
    """An anomaly detection method.

    Args:
        config: hyperparameters, an instance of ``config_type``.
        context: device, seed, pretrained weights, checkpoint folder and progress bars.
    """

    name: ClassVar[str]  # shown in tables; the class's name where a subclass sets none
    config_type: ClassVar[type]  # frozen dataclass of hyperparameters; its defaults are the paper's
    fast_config: ClassVar[Any] = None  # hyperparameters of --fast, minutes on two cores; None: the defaults
    pose: Tensor | None = None  # camera_to_world (4, 4) of the last image predicted, where the method finds poses
    pose_found: bool = False  # whether the object, seen from `pose`, explains that image
    gpu_share: ClassVar[float] = 0.5  # share of a GPU that a run reserves under Ray, where the cluster has any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name the subclass after its class where it sets no name."""
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __init__(self, config: MethodConfig, context: RunContext) -> None:
        self.config = config
        self.context = context

    @classmethod
    def preset(cls, fast: bool) -> MethodConfig:
        """Return the paper's hyperparameters, or those of --fast."""
        return cast(MethodConfig, cls.fast_config if fast and cls.fast_config is not None else cls.config_type())

    @property
    def weights(self) -> tuple[str, ...]:
        """Return the registered names of the pretrained weights that the method needs; none by default."""
        return ()

    @abstractmethod
    def fit(self, views: Views) -> None:
        """Train on normal views, resuming an interrupted training from ``context.folder``."""

    def score_held_out(self, held_out: Views) -> list[float]:
        """Return the scores of good views that training never saw, from which the threshold is set."""
        return [self.predict(held_out.image(index))[1] for index in range(len(held_out))]

    @abstractmethod
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Score one image.

        Args:
            image: (height, width, 3) float32 RGB in [0, 1], on any device.
        Returns:
            anomaly_map (height, width) float32 on the CPU, and anomaly_score; larger is more anomalous, both finite.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the trained state by name."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state that ``tensors`` returned.

        Raises:
            KeyError, ValueError, RuntimeError: if the tensors do not fit.
        """

    def save(self, folder: Path) -> None:
        """Save the trained method to ``folder``."""
        save_tensors(folder / MODEL_FILE, self.tensors(), self.header())

    def load(self, folder: Path) -> None:
        """Load what ``save`` wrote, onto ``context.device``.

        Raises:
            InputError: if the file is damaged or was made with another method, other settings or other weights.
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
        """Return what a saved file must match to be loaded."""
        values = asdict(cast(Any, self.config))
        config = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        return {"method": type(self).__name__, "config": config, "weights": self.fingerprints()}

    def fingerprints(self) -> dict[str, str]:
        """Return the first digits of the digest of each file of pretrained weights, or "random"."""
        return {name: fingerprint(name, self.context.weights) for name in self.weights}


class NetworkMethod(Method[MethodConfig]):
    """A method whose trained state is one network."""

    network: nn.Module  # trained, in evaluation mode

    @abstractmethod
    def build_network(self) -> nn.Module:
        """Build the untrained network, drawing initial weights from torch's global random numbers."""

    def new_network(self) -> nn.Module:
        """Build the untrained network with the run's seed, on its device."""
        with seeded_rng(self.context.seed, self.name):
            return self.build_network().to(self.context.device)

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's parameters and buffers."""
        return dict(self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the network."""
        self.network = self.new_network().eval()
        self.network.load_state_dict(tensors)
