"""The methods of comparing a query with its reference by name."""

from utils.registry import Registry

SCORES = Registry(
    "score",
    {
        "calibrated": "scoring.normalised:NormalisedScore",
        "features": "scoring.features:FeatureScore",
        "paper": "scoring.paper:PaperScore",
        "plain": "scoring.plain:PlainScore",
    },
)
