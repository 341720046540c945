"""Settings of the retrieval of coarse poses."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.registry import RETRIEVALS
from utils.config import choice, require


@dataclass(frozen=True)
class RetrievalConfig:
    """Retrieval of coarse poses from a gallery of posed views."""

    # how images are compared: colour thumbnails (no weights), ResNet-50 descriptors, EfficientNet-B4 feature
    # distance, or the number of LoFTR matches
    method: str = choice(RETRIEVALS.names)
    hypotheses: int = 10  # coarse poses per query, each verified by refinement
    virtual_views: int = 400  # largest number of viewpoints between the cameras at which thumbnails are rendered
    size: int = 224  # pixels of the shorter side to which images are resized for networks other than LoFTR
    loftr_size: int = 400  # pixels of the longer side to which images are resized for LoFTR (to multiples of 8)

    def __post_init__(self) -> None:
        require(self.hypotheses >= 1, "retrieval_hypotheses", "at least 1", self.hypotheses)
        require(32 <= self.size <= 4096, "retrieval_size", "between 32 and 4096 pixels", self.size)
        require(32 <= self.loftr_size <= 4096, "retrieval_loftr_size", "between 32 and 4096 pixels", self.loftr_size)


@dataclass(frozen=True)
class TrainConfig:
    """Training of the network of ``retrieval = resnet50``."""

    epochs: int = 40  # passes over all views
    batch_size: int = 32  # images per step
    learning_rate: float = 1e-4  # Adam's initial learning rate; it decays along a cosine
    size: int = 224  # side in pixels of the images that the network sees
    seed: int = 0  # seed of every random choice

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        require(32 <= self.size <= 4096, "size", "between 32 and 4096 pixels", self.size)
