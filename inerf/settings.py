"""Settings of pose refinement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inerf.registry import REFINEMENTS
from utils.config import choice, require


@dataclass(frozen=True)
class RefineConfig:
    """Refinement of coarse poses, by Gauss-Newton steps between renderings or by the paper's iNeRF."""

    method: str = choice(REFINEMENTS.names)  # adam is iNeRF
    renders_per_level: int = 2  # largest number of renderings per level and coarse pose (doubled at the finest level)
    steps_per_render: int = 2  # Gauss-Newton steps after each rendering (doubled at the finest level)
    beam_width: int = 4  # coarse poses kept after their first rendering; one fewer after each further one
    prune_ratio: float = 2.0  # coarse poses whose ranking cost exceeds the best one's by this factor are dropped
    geman_mcclure_scale: float = 0.15  # colour difference (RGB norm) whose robust cost is one half, full resolution
    cost_scale: float = 0.1  # colour difference (RGB norm) that is a robust difference of one half
    max_cost: float = 0.65  # mean robust difference (0 to 1) above which a pose is not found
    min_silhouette_iou: float = 0.75  # silhouettes' intersection over union below which a pose is not found


@dataclass(frozen=True)
class InerfConfig:
    """The paper's iNeRF (`refine = adam`), by the names that its files give its settings."""

    KEY_PREFIX: ClassVar[str] = ""

    sampling_strategy: Literal["random", "interest_points", "interest_regions"] = "interest_regions"  # of pixels
    batch_size: int = 3072  # pixels per step
    kernel_size: int = 5  # side in pixels of the square that dilates interest points into regions
    dil_iter: int = 3  # number of dilations
    lrate: float = 0.01  # Adam's initial learning rate; it decays by a fifth every 100 steps
    inerf_steps: int = 300  # steps per coarse pose
    early_stop: float = 0.0  # stop when 20 steps together move the camera by less (radians and scene units); 0: never
    save_video: bool = False  # write the optimisation of each query as video.gif

    def __post_init__(self) -> None:
        for key in ("batch_size", "kernel_size", "inerf_steps"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        require(self.dil_iter >= 0, "dil_iter", "0 or more", self.dil_iter)
        require(self.lrate > 0, "lrate", "above 0", self.lrate)
        require(self.early_stop >= 0, "early_stop", "0 or more", self.early_stop)
