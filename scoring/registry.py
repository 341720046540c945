"""The methods of comparing a query with its reference by name."""

from utils.registry import Registry

SCORES = Registry(
    "score",
    {
        "calibrated": "scoring.comparator:LearnedScore",
        "paper": "scoring.paper:PaperScore",
    },
)
