"""The ways to refine a pose by name."""

from utils.registry import Registry

REFINEMENTS = Registry(
    "refine",
    {
        "gauss_newton": "inerf.methods:GaussNewton",
        "adam": "inerf.methods:Adam",
    },
)
