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
    hypotheses: int = 6  # coarse poses a query, each verified by refinement
    virtual_views: int = 400  # viewpoints between the cameras at which thumbnails are rendered, too, at most
    size: int = 224  # pixels of a side to which networks other than LoFTR see images scaled
    loftr_size: int = 400  # pixels of the longer side to which LoFTR sees images scaled, rounded to a multiple of 8

    def __post_init__(self) -> None:
        require(self.hypotheses >= 1, "retrieval_hypotheses", "at least 1", self.hypotheses)
        require(32 <= self.size <= 4096, "retrieval_size", "between 32 and 4096 pixels", self.size)
        require(32 <= self.loftr_size <= 4096, "retrieval_loftr_size", "between 32 and 4096 pixels", self.loftr_size)
