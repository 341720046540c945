"""The methods of pose refinement by name."""

from utils.registry import Registry

REFINEMENTS = Registry(
    "refine",
    {
        "gauss_newton": "inerf.gauss_newton:GaussNewton",
        "adam": "inerf.adam:Adam",
    },
)
