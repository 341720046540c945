"""Reads toys: LDraw models, placed part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.synthetic.colours import INHERITED, Colour, rgb
from data.synthetic.ldraw import TO_STUDS, UNITS_A_STUD, Block, Document, read_document
from data.synthetic.library import DEEPEST, Library, Shape, make_shape
from data.synthetic.solids import Solid
from utils.errors import InputError

MAIN_COLOUR = 71  # of parts that inherit no other
MOST_PARTS = 10_000
MOST_TRIANGLES = 20_000_000


@dataclass(frozen=True)
class PlacedPart:
    """One part of a toy."""

    name: str  # LDraw's file name
    colour: Colour  # sRGB 0-255
    solid: Solid  # in studs, z up
    face_colours: np.ndarray | None = None  # (faces, 3) uint8 where the part has several


@dataclass(frozen=True)
class Toy:
    """A brick toy."""

    name: str
    parts: tuple[PlacedPart, ...]


@dataclass(frozen=True)
class _Placement:
    """Position, orientation and colour of a submodel."""

    matrix: np.ndarray  # (3, 3) LDraw axes
    offset: np.ndarray  # (3,) LDraw units
    code: int

    def child(self, matrix: np.ndarray, offset: np.ndarray, code: int) -> _Placement:
        """Compose this placement with a child's local transform."""
        inherited = self.code if code in INHERITED else code
        return _Placement(self.matrix @ matrix, self.matrix @ offset + self.offset, inherited)


def count_triangles(toy: Toy) -> int:
    """Return the number of triangles of the toy's mesh."""
    return sum(len(part.solid.faces) for part in toy.parts)


def read_toy(path: Path, ldraw: Path | None = None) -> Toy:
    """Read an LDraw model.

    Args:
        path: ``.ldr``, ``.mpd`` or ``.dat`` file.
        ldraw: folder of an LDraw library; without one, only the built-in parts are known.
    Raises:
        InputError: for lines that are not LDraw's, unknown parts and colours (all in one sentence), files that refer to
        themselves, and models of fewer than two parts.
    """
    document = read_document(path)
    reader = _Reader(path, document, Library(document, ldraw))
    upright = _Placement(np.eye(3), np.zeros(3), MAIN_COLOUR)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = tuple(reader.parts(next(iter(document.blocks)), upright, ()))
    reader.check()
    if len(parts) < 2:
        raise InputError(f"{path}: expected a model of at least two parts, found {len(parts)}; add parts.")
    return Toy(path.stem, parts)


class _Reader:
    """Walks through a model and collects what is unknown."""

    def __init__(self, path: Path, document: Document, library: Library) -> None:
        self._path, self._document, self._library = path, document, library
        self._missing: dict[str, None] = {}
        self._colourless: dict[int, None] = {}
        self._steps = self._triangles = 0

    def check(self) -> None:
        """Raise an InputError that lists the unknown parts and colours."""
        lacks = {"parts": list(self._missing), "colours": [str(code) for code in self._colourless]}
        found = [
            f"{what} {', '.join(names[:20] + ['...'] * (len(names) > 20))}" for what, names in lacks.items() if names
        ]
        if found:
            raise InputError(
                f"{self._path} needs the {' and the '.join(found)}, which are unknown; name an LDraw library that "
                f"has them with --ldraw."
            )

    def parts(self, name: str, place: _Placement, above: tuple[str, ...]) -> Iterator[PlacedPart]:
        """Yield the parts of the (sub)model ``name``."""
        if name in above or len(above) > DEEPEST:
            chain = " > ".join(above[-4:])
            raise InputError(f"{self._path}: the model {name!r} contains itself, by way of {chain}; correct it.")
        block = self._document.blocks[name]
        yield from self._loose(block, place)
        for reference in block.references:
            self._steps += 1
            if self._steps > MOST_PARTS:
                raise InputError(f"{self._path}: more than {MOST_PARTS} parts; expected a smaller model.")
            there = place.child(reference.matrix, reference.offset, reference.colour)
            if reference.name in self._document.blocks and not reference.name.endswith(".dat"):
                yield from self.parts(reference.name, there, (*above, name))
                continue
            shape = self._library.shape(reference.name)
            if shape is not None:
                yield self._placed(reference.name, shape, there, reference.where)
            elif self._library.lacks(reference.name):
                self._missing[reference.name] = None

    def _loose(self, block: Block, place: _Placement) -> Iterator[PlacedPart]:
        """Yield the triangles of the model itself as one part."""
        shape = make_shape(np.array(block.triangles).reshape(-1, 3, 3), np.array(block.colours, dtype=np.int64))
        if shape is not None:
            yield self._placed("triangles", shape, place, str(self._path))

    def _placed(self, name: str, shape: Shape, place: _Placement, where: str) -> PlacedPart:
        matrix = TO_STUDS @ place.matrix @ TO_STUDS.T
        scale = np.abs(matrix).max()
        if not 1e-3 < scale < 1e3 or abs(np.linalg.det(matrix / scale)) < 1e-4 or not np.abs(place.offset).max() < 1e6:
            raise InputError(f"{where}: expected a transform that rotates or stretches parts, found another.")
        self._triangles += len(shape.solid.faces)
        if self._triangles > MOST_TRIANGLES:
            raise InputError(f"{self._path}: more than {MOST_TRIANGLES} triangles; expected a smaller model.")
        colour = rgb(place.code, self._library.colours)
        if colour is None:
            self._colourless[place.code] = None
            colour = (0, 0, 0)
        solid = shape.solid.transformed(matrix, TO_STUDS @ place.offset / UNITS_A_STUD)
        colours = None if shape.codes is None else self._library.face_colours(shape.codes, colour)
        return PlacedPart(name, colour, solid, colours)
