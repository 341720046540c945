"""The ways to compare a query with its reference by name."""

from utils.registry import Registry

SCORES = Registry(
    "score",
    {
        "calibrated": "scoring.methods:LearnedScore",
        "paper": "scoring.methods:PaperScore",
    },
)
