"""The verdict on one image."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from scoring.regions import Region


@dataclass(frozen=True)
class Detection:
    """The verdict on one image, and what led to it."""

    name: str
    verdict: str  # "good" or "defective": anomaly_score against the stored threshold
    anomaly_score: float  # largest value of the anomaly map
    threshold: float
    p_value: float  # probability that a good image scores at least as much
    anomaly_map: Tensor  # (height, width) float32, 0 or more
    reference: Tensor  # (height, width, 3) float32 RGB in [0, 1]: the anomaly-free object at `pose`
    pose: Tensor  # (4, 4) float32 camera_to_world
    pose_found: bool  # whether the object, seen from `pose`, explains the image
    pose_confidence: float | None  # in [0, 1], halved where two poses explain the image; None where it was given
    regions: tuple[Region, ...] = ()  # connected regions above the threshold, the most anomalous first
    stage_seconds: dict[str, float] = field(default_factory=dict)
    seen_share: float | None = None  # share of the object's pixels that a training view showed; None where not known
    unseen: Tensor | None = None  # (height, width) bool: where none did and nothing is judged; None for nowhere

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(self.stage_seconds.values())
