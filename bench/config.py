"""What all runs of a benchmark have in common; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class BenchmarkConfig:
    """The settings that are the same for all methods of a benchmark."""

    data_dir: str = "data/LEGO-3D"  # folder that holds the objects' folders
    output_dir: str = "output/benchmark"  # folder that the runs write to, shared by all machines
    image_size: int = 400  # longer side in pixels to which larger images are averaged down
    background: Literal["white", "black"] = "white"  # behind transparent images
    val_every: int = 8  # every n-th view is held out of training: its scores set the threshold
    false_positive_rate: float = 0.05  # share of normal views that the threshold may call defective
    fast: bool = False  # use the methods' fast presets
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    weights_dir: str = ""  # folder in which pretrained weights are looked for first
    # pretrained networks: the papers' (paper), EfficientNet-Lite0 in place of those that give features (lite0),
    # or the papers' with random weights (random); every table says what stood in
    backbone: Literal["paper", "lite0", "random"] = "paper"
    quiet: bool = False  # show no progress

    @property
    def background_rgb(self) -> tuple[float, float, float]:
        """The background's RGB in [0, 1]."""
        return (1.0, 1.0, 1.0) if self.background == "white" else (0.0, 0.0, 0.0)

    def result_settings(self) -> dict[str, Any]:
        """Return the settings that a result depends on; what the networks are, the method's fingerprints say."""
        apart = {"data_dir", "output_dir", "device", "weights_dir", "backbone", "quiet"}
        return {key: value for key, value in asdict(self).items() if key not in apart}
