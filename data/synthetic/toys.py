"""Toys: parts lists read from text files (format in README.md of this folder)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.synthetic.parts import PLATE, make_part
from data.synthetic.solids import Solid

TOYS_FOLDER = Path(__file__).parent / "toys"

# Colours as they look in sRGB, which read as diffuse reflectances.
COLOURS = {
    "white": (232, 232, 227), "ivory": (226, 219, 198), "light_grey": (163, 168, 171), "grey": (120, 124, 124),
    "dark_grey": (72, 76, 78), "black": (29, 29, 32), "charcoal": (42, 43, 46), "red": (196, 28, 20),
    "dark_red": (114, 18, 22), "orange": (238, 122, 24), "yellow": (240, 196, 38), "tan": (214, 190, 142),
    "brown": (92, 50, 26), "lime": (164, 196, 38), "green": (34, 122, 62), "dark_green": (22, 70, 44),
    "teal": (0, 134, 136), "azure": (74, 158, 214), "blue": (10, 82, 176), "navy": (22, 42, 92),
    "purple": (98, 48, 132), "pink": (226, 134, 172), "magenta": (172, 32, 108),
}  # fmt: skip

_FACINGS = {"+z": (0, 0, 1), "-z": (0, 0, -1), "+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0)}


@dataclass(frozen=True)
class PlacedPart:
    """One line of a parts list, placed in the toy."""

    label: str  # such as "brick 2x4 red"
    group: str
    colour: tuple[int, int, int]  # sRGB, 0-255
    solid: Solid  # in studs, z up


@dataclass(frozen=True)
class Toy:
    """A brick toy."""

    name: str
    parts: tuple[PlacedPart, ...]


def toy_names() -> list[str]:
    """Names of the toys that come with the program."""
    return sorted(path.stem for path in TOYS_FOLDER.glob("*.txt"))


def toy_path(name: str) -> Path:
    """The parts list of the toy ``name``: one that comes with the program, or a path that ends in .txt."""
    path = Path(name) if name.endswith(".txt") else TOYS_FOLDER / f"{name}.txt"
    if not path.is_file():
        raise FileNotFoundError(
            f"no toy '{name}': expected one of {', '.join(toy_names())}, or the path of a parts list (.txt)"
        )
    return path


def rotation_about(axis: int, degrees: float) -> np.ndarray:
    """The rotation matrix (3, 3) by ``degrees`` about axis 0, 1 or 2."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix.round(15)


def _facing(facing: str) -> np.ndarray:
    """The rotation that turns a part's top from +z to ``facing``."""
    turns = {"+z": np.eye(3), "-z": rotation_about(0, 180), "+x": rotation_about(1, 90), "-x": rotation_about(1, -90)}
    turns |= {"+y": rotation_about(0, -90), "-y": rotation_about(0, 90)}
    return turns[facing]


def _options(words: list[str]) -> dict[str, str]:
    options = {"turn": "0", "face": "+z", "lean": "0", "toward": "0"}
    for word in words:
        key, _, value = word.partition("=")
        if key not in options or not value:
            raise ValueError(f"unknown option '{word}': expected turn=, face=, lean= or toward=")
        options[key] = value
    if options["face"] not in _FACINGS:
        raise ValueError(f"'face={options['face']}': expected one of {', '.join(_FACINGS)}")
    return options


def _place(kind: str, size: str, position: np.ndarray, options: dict[str, str]) -> Solid:
    """The part turned about z, its top turned to a face, its box put at ``position``, then leaned about its foot."""
    part = make_part(kind, size)
    rotation = _facing(options["face"]) @ rotation_about(2, float(options["turn"]))
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.array(part.size) @ rotation.T
    solid = part.solid.moved(rotation, position - corners.min(axis=0))
    if float(options["lean"]):
        spin = rotation_about(2, float(options["toward"]))
        lean = spin @ rotation_about(1, float(options["lean"])) @ spin.T
        extent = corners.max(axis=0) - corners.min(axis=0)
        foot = position + extent * np.array([0.5, 0.5, 0.0])
        solid = solid.moved(lean, foot - lean @ foot)
    return solid


def read_toy(path: Path) -> Toy:
    """Reads a parts list.

    Args:
        path: a text file in the format that README.md of this folder describes.
    Raises:
        ValueError: a line that is no part, with its number.
    """
    parts, group = [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "group":
            group = " ".join(words[1:])
            continue
        try:
            parts.append(_parse_part(words, group))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if len(parts) < 2:
        raise ValueError(f"{path}: expected at least two parts, found {len(parts)}")
    return Toy(path.stem, tuple(parts))


def _parse_part(words: list[str], group: str) -> PlacedPart:
    if len(words) < 6:
        raise ValueError(f"expected 'kind size colour x y z', found '{' '.join(words)}'")
    kind, size, colour = words[:3]
    if colour not in COLOURS:
        raise ValueError(f"unknown colour '{colour}': expected one of {', '.join(COLOURS)}")
    try:
        x, y, z = (float(word) for word in words[3:6])
    except ValueError:
        raise ValueError(f"expected three numbers x y z, found '{' '.join(words[3:6])}'") from None
    solid = _place(kind, size, np.array([x, y, z * PLATE]), _options(words[6:]))
    return PlacedPart(f"{kind} {size} {colour}", group, COLOURS[colour], solid)
