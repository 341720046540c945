"""The built-in parts by their LDraw names, with LDraw's origins and orientations.

Parts of LDraw have its numbers, such as ``3001.dat``. The others are named by kind and size, such as
``cone-4x4x7.5.dat``: studs along x, studs along z, plates high (or the one length of a rod, in studs).
"""

from __future__ import annotations

import functools
import re

import numpy as np

from data.synthetic.parts import PART_KINDS, make_part
from data.synthetic.solids import Solid

# The kind and size of each number.
NUMBERS = {
    "3005": "brick-1x1", "3004": "brick-2x1", "3622": "brick-3x1", "3010": "brick-4x1", "3009": "brick-6x1",
    "3008": "brick-8x1", "3003": "brick-2x2", "3002": "brick-3x2", "3001": "brick-4x2", "2456": "brick-6x2",
    "3007": "brick-8x2", "3006": "brick-10x2", "2356": "brick-6x4", "14716": "brick-1x1x9",
    "2453b": "brick-1x1x15", "22886": "brick-2x1x9", "2454b": "brick-2x1x15", "3245c": "brick-2x1x6",
    "3024": "plate-1x1", "3023": "plate-2x1", "3623": "plate-3x1", "3710": "plate-4x1", "3666": "plate-6x1",
    "3460": "plate-8x1", "4477": "plate-10x1", "3022": "plate-2x2", "3021": "plate-3x2", "3020": "plate-4x2",
    "3795": "plate-6x2", "3034": "plate-8x2", "3832": "plate-10x2", "11212": "plate-3x3", "3031": "plate-4x4",
    "3032": "plate-6x4", "3035": "plate-8x4", "3030": "plate-10x4", "3958": "plate-6x6", "3036": "plate-8x6",
    "3033": "plate-10x6", "41539": "plate-8x8",
    "3070b": "tile-1x1", "3069b": "tile-2x1", "63864": "tile-3x1", "2431": "tile-4x1", "6636": "tile-6x1",
    "4162": "tile-8x1", "3068b": "tile-2x2", "26603": "tile-3x2", "87079": "tile-4x2", "69729": "tile-6x2",
    "10202": "tile-6x6", "1751": "tile-4x4",
    "3040b": "slope-1x2", "3039": "slope-2x2", "3038": "slope-3x2", "3037": "slope-4x2", "4286": "slope-1x3",
    "3298": "slope-2x3", "4161": "slope-3x3", "3297": "slope-4x3", "60481": "slope-1x2x6", "3678b": "slope-2x2x6",
    "3665a": "overhang-1x2", "3660a": "overhang-2x2", "4287a": "overhang-1x3", "3747b": "overhang-2x3",
    "3044c": "ridge-1x2", "3043": "ridge-2x2", "3042": "ridge-3x2", "3041": "ridge-4x2",
    "4490": "arch-1x3", "3659": "arch-1x4", "3455": "arch-1x6", "3307": "arch-1x6x6",
    "3062b": "round-1x1", "6143": "round-2x2", "87081": "round-4x4", "6141": "round-1x1x1", "4032b": "round-2x2x1",
    "60474": "round-4x4x1", "11213": "round-6x6x1", "74611": "round-8x8x1",
    "98138": "disc-1x1", "14769": "disc-2x2", "67095": "disc-3x3",
    "4589": "cone-1x1", "3942c": "cone-2x2x6", "3943b": "cone-4x4x6", "30367b": "dome-2x2",
    "4740": "dish-2x2x1", "3960": "dish-4x4x2", "44375a": "dish-6x6x2",
    "87994": "bar-3", "30374": "bar-4",
}  # fmt: skip
# kinds that LDraw orients differently: an arch spans x, a dish opens downwards
ORIENTATIONS = {"arch": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), "dish": np.diag([1.0, -1.0, -1.0])}
_KIND_AND_SIZE = re.compile(r"([a-z]+)-([0-9.x]+)\Z")


@functools.cache
def built_in(name: str) -> Solid | None:
    """Return the built-in part ``name``, such as ``3001.dat``, in studs around its LDraw origin; None if there is none.

    Raises:
        ValueError: for a kind of part in a size that it cannot have.
    """
    stem = name.removesuffix(".dat")
    found = _KIND_AND_SIZE.match(NUMBERS.get(stem, stem))
    if not name.endswith(".dat") or found is None or found[1] not in PART_KINDS:
        return None
    kind, size = found.groups()
    part = make_part(kind, size)
    return part.solid.moved(np.eye(3), -ldraw_origin(kind, part.size)).moved(
        ORIENTATIONS.get(kind, np.eye(3)), np.zeros(3)
    )


def ldraw_origin(kind: str, size: tuple[float, float, float]) -> np.ndarray:
    """Return LDraw's origin (3,) in a part of ``size`` whose box has its corner at zero, in studs.

    It is the centre of the top of the body; of the row of studs on slopes, and in the foot of antennas.
    """
    width, length, height = size
    if kind in ("slope", "overhang"):
        return np.array([width / 2, length - 0.5, height])
    return np.array([width / 2, length / 2, {"antenna": 0.4, "dish": 0.0}.get(kind, height)])
