"""Makes the parts of toys."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import trimesh

from data.synthetic.solids import (
    SECTIONS,
    STUD_SECTIONS,
    Solid,
    box,
    cylinder,
    from_mesh,
    hull,
    joined,
    revolved,
    stud,
)

PLATE = 0.4  # height of a plate, in studs; a brick is three plates high
GAP = 0.012  # studs left free on each side of a part, which shows as a fine seam between neighbours


@dataclass(frozen=True)
class Part:
    """A part on the floor with the corner of its body's box at the origin."""

    solid: Solid
    size: tuple[float, float, float]  # of the body without studs, in studs


def _studs(columns: int, rows: int, height: float, first_row: int = 0) -> list[Solid]:
    return [
        stud().shifted(column + 0.5, row + 0.5, height - 0.001)
        for column in range(columns)
        for row in range(first_row, rows)
    ]


def _body(width: float, length: float, height: float) -> Solid:
    return box(width - 2 * GAP, length - 2 * GAP, height).shifted(GAP, GAP, 0.0)


def _brick(width: int, length: int, height: float) -> Solid:
    return joined([_body(width, length, height), *_studs(width, length, height)])


def _tile(width: int, length: int, height: float) -> Solid:
    return _body(width, length, height)


def _prism(width: float, outline: list[tuple[float, float]]) -> Solid:
    """Extrude a convex ``outline`` of (y, z) along x over ``width``."""
    return hull([(x, y, z) for x in (GAP, width - GAP) for y, z in outline])


def _slope(width: int, length: int, height: float) -> Solid:
    outline = [(GAP, 0.0), (GAP, 0.15), (length - 1.0, height), (length - GAP, height), (length - GAP, 0.0)]
    return joined([_prism(width, outline), *_studs(width, length, height, length - 1)])


def _overhang(width: int, length: int, height: float) -> Solid:
    outline = [(GAP, height), (GAP, height - 0.2), (length - 1.0, 0.0), (length - GAP, 0.0), (length - GAP, height)]
    return joined([_prism(width, outline), *_studs(width, length, height)])


def _ridge(width: int, length: int, height: float) -> Solid:
    return _prism(width, [(GAP, 0.0), (GAP, 0.12), (length / 2, height), (length - GAP, 0.12), (length - GAP, 0.0)])


def _fin(width: int, length: int, height: float) -> Solid:
    """Make an upright board 0.3 studs thick, in the middle of ``width``, that slopes down from its far end."""
    outline = [(GAP, 0.0), (GAP, 0.2), (length - 0.4, height), (length - GAP, height), (length - GAP, 0.0)]
    return hull([(x, y, z) for x in (width / 2 - 0.15, width / 2 + 0.15) for y, z in outline])


def _round(width: int, _length: int, height: float) -> Solid:
    middle = width / 2
    top = [
        stud().shifted(column + 0.5, row + 0.5, height - 0.001)
        for column, row in np.ndindex(width, width)
        if math.hypot(column + 0.5 - middle, row + 0.5 - middle) + 0.3 < middle
    ]
    return joined([cylinder(middle - GAP, height).shifted(middle, middle, 0.0), *top])


def _disc(width: int, _length: int, height: float) -> Solid:
    return cylinder(width / 2 - GAP, height).shifted(width / 2, width / 2, 0.0)


def _cone(width: int, _length: int, height: float) -> Solid:
    radius, tip = width / 2 - GAP, 0.3
    profile = ((0.0, 0.0), (radius, 0.0), (radius, 0.15), (tip, height), (0.0, height))
    return revolved(profile).shifted(width / 2, width / 2, 0.0)


def _dome(width: int, _length: int, height: float) -> Solid:
    angles = np.linspace(0.0, math.pi / 2, 13)
    curve = tuple((float((width / 2 - GAP) * math.cos(a)), float(height * math.sin(a))) for a in angles[:-1])
    return revolved(((0.0, 0.0), *curve, (0.0, height))).shifted(width / 2, width / 2, 0.0)


def _ball(width: int, _length: int, height: float) -> Solid:
    angles = np.linspace(-math.pi / 2, math.pi / 2, 21)[1:-1]
    radius, half = width / 2 - GAP, height / 2
    curve = tuple((float(radius * math.cos(a)), float(half + half * math.sin(a))) for a in angles)
    return revolved(((0.0, 0.0), *curve, (0.0, height))).shifted(width / 2, width / 2, 0.0)


def _dish(width: int, _length: int, height: float) -> Solid:
    """Make a shallow bowl, open to the top, with a foot."""
    radius, wall, steps = width / 2 - GAP, 0.12, np.linspace(0.0, 1.0, 10)
    rise = height - wall
    outside = [(float(0.35 + (radius - 0.35) * s), float(rise * s * s)) for s in steps]
    inside = [(float((radius - 0.08) * s), float(wall + rise * s * s)) for s in steps[::-1][:-1]]
    return revolved(((0.0, 0.0), *outside, *inside, (0.0, wall))).shifted(width / 2, width / 2, 0.0)


def _wheel(width: int, _length: int, height: float) -> Solid:
    radius, half = width / 2 - GAP, height / 2
    edge, hub = radius * 0.86, radius * 0.55
    profile = (
        (0.0, 0.0), (hub, 0.0), (hub, 0.05), (hub + 0.06, 0.0), (edge, 0.0), (radius, half * 0.35),
        (radius, height - half * 0.35), (edge, height), (hub + 0.06, height), (hub, height - 0.12),
        (0.3, height - 0.12), (0.3, height), (0.0, height),
    )  # fmt: skip
    return revolved(profile).shifted(width / 2, width / 2, 0.0)


def _bar(_width: int, _length: int, height: float) -> Solid:
    return cylinder(0.16, height, 0.03, STUD_SECTIONS).shifted(0.5, 0.5, 0.0)


def _antenna(_width: int, _length: int, height: float) -> Solid:
    knob = _ball(1, 1, 1.0)
    knob = Solid(knob.vertices * 0.42, knob.faces, knob.corner_normals).shifted(0.29, 0.29, height - 0.42)
    rod = revolved(((0.0, 0.0), (0.28, 0.0), (0.28, 0.2), (0.12, 0.3), (0.1, height - 0.2), (0.0, height - 0.2)), 24)
    return joined([rod.shifted(0.5, 0.5, 0.0), knob])


def _arch(width: int, length: int, height: float) -> Solid:
    """Make a brick with a round opening along x and a wall of one stud at each end of y."""
    whole = trimesh.creation.box(bounds=[(GAP, GAP, 0.0), (width - GAP, length - GAP, height)])
    across = trimesh.transformations.rotation_matrix(math.pi / 2, (0, 1, 0))
    hole = trimesh.creation.cylinder(radius=1.0, height=width + 1.0, sections=SECTIONS, transform=across)
    hole.apply_scale((1.0, length / 2 - 0.75, height - 0.35)).apply_translation((width / 2, length / 2, 0.0))
    mesh = trimesh.boolean.difference([whole, hole], engine="manifold")
    return joined([from_mesh(mesh), *_studs(width, length, height)])


# kind -> (maker, height in plates unless the size gives one)
PART_KINDS = {
    "brick": (_brick, 3), "plate": (_brick, 1), "tile": (_tile, 1), "slope": (_slope, 3), "overhang": (_overhang, 3),
    "ridge": (_ridge, 3), "fin": (_fin, 6), "round": (_round, 3), "disc": (_disc, 1), "cone": (_cone, 3),
    "dome": (_dome, 3), "ball": (_ball, 5), "dish": (_dish, 2), "wheel": (_wheel, 2), "arch": (_arch, 3),
    "bar": (_bar, 0), "antenna": (_antenna, 0),
}  # fmt: skip
ROUND_KINDS = ("round", "disc", "cone", "dome", "ball", "dish", "wheel")


@functools.cache
def make_part(kind: str, size: str) -> Part:
    """Make the part ``kind`` of ``size``, such as ``("brick", "2x4")``.

    Args:
        kind: a key of ``PART_KINDS``.
        size: ``AxB`` studs or ``AxBxC`` with the height C in plates; for a bar or antenna its length in studs.
    Returns:
        The part, in studs.
    Raises:
        ValueError: for an unknown kind, or a size that the kind cannot have.
    """
    if kind not in PART_KINDS:
        raise ValueError(f"unknown part '{kind}': expected one of {', '.join(PART_KINDS)}")
    maker, plates = PART_KINDS[kind]
    try:
        numbers = [float(number) for number in size.split("x")]
    except ValueError:
        numbers = []
    if kind in ("bar", "antenna"):
        if len(numbers) != 1 or not 0.5 <= numbers[0] <= 40:
            raise ValueError(f"size '{size}' of part '{kind}': expected one length in studs, such as 4")
        width, length, height = 1, 1, numbers[0]
    else:
        whole = len(numbers) in (2, 3) and all(1 <= n <= 48 and n == int(n) for n in numbers[:2])
        if not whole or not 0.5 <= numbers[-1] <= 100:
            raise ValueError(f"size '{size}' of part '{kind}': expected AxB studs, or AxBxC with C plates high")
        width, length = int(numbers[0]), int(numbers[1])
        height = PLATE * (numbers[2] if len(numbers) == 3 else plates)
    if kind in ROUND_KINDS and width != length:
        raise ValueError(f"size '{size}' of part '{kind}': a round part is as long as wide")
    if kind == "arch" and length < 3:
        raise ValueError(f"size '{size}' of part '{kind}': an arch is at least 3 studs long (the second number)")
    return Part(maker(width, length, height), (float(width), float(length), float(height)))
