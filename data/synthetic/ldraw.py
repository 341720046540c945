"""Reads LDraw files: one line a command, 20 units a stud, y down (https://www.ldraw.org/article/218.html)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.synthetic.colours import Colour
from utils.errors import InputError

LARGEST_FILE = 16 * 2**20  # bytes
LARGEST_NUMBER = 1e6  # LDraw units
# from LDraw's axes to x right, y away, z up
TO_STUDS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
UNITS_A_STUD = 20.0


@dataclass(frozen=True)
class Reference:
    """A line of type 1: another file, placed."""

    colour: int
    matrix: np.ndarray  # (3, 3)
    offset: np.ndarray  # (3,) LDraw units
    name: str  # as returned by ``part_key``
    where: str  # file and line


@dataclass
class Block:
    """One file, or one ``0 FILE`` of a file that holds several."""

    references: list[Reference] = field(default_factory=list)
    triangles: list[list[float]] = field(default_factory=list)  # (triangles, 9) LDraw units
    colours: list[int] = field(default_factory=list)  # (triangles,) codes


@dataclass(frozen=True)
class Document:
    """Content of a file."""

    blocks: dict[str, Block]  # by name; the first is the model
    colours: dict[int, Colour]  # defined by the file, sRGB 0-255


def part_key(name: str) -> str:
    r"""Return the name of a file in the form in which references are compared.

    >>> part_key(" s\\3001S01.DAT")
    's/3001s01.dat'
    """
    return name.strip().lower().replace("\\", "/")


def read_document(path: Path) -> Document:
    """Read an LDraw file: ``.ldr``, ``.mpd`` or ``.dat``.

    Raises:
        InputError: naming a line that is not LDraw's.
        OSError: where the file cannot be read.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path} is larger than {LARGEST_FILE >> 20} MiB; expected an LDraw model or part.")
    return parse_ldraw(path.read_bytes().decode("utf-8-sig", errors="replace"), str(path))


def parse_ldraw(text: str, source: str) -> Document:
    """Parse an LDraw file; ``source`` names it in errors."""
    block = Block()
    blocks, colours = {"": block}, {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split(None, 14)
        if not words or words[0] in ("2", "5"):
            continue
        where = f"{source}, line {number}"
        if words[0] == "0":
            if words[1:2] == ["FILE"]:
                block = blocks.setdefault(part_key(line.split("FILE", 1)[1]), Block())
            elif words[1:2] == ["!COLOUR"]:
                colours.update(_colour(words, where))
        elif words[0] == "1":
            block.references.append(_reference(words, where))
        elif words[0] in ("3", "4"):
            _add_face(block, words, where)
        else:
            raise InputError(f"{where}: an LDraw line begins with 0 to 5, found {line.strip()[:60]!r}; correct it.")
    if len(blocks) > 1 and not (blocks[""].references or blocks[""].triangles):
        del blocks[""]
    return Document(blocks, colours)


def _reference(words: list[str], where: str) -> Reference:
    if len(words) != 15:
        raise InputError(
            f"{where}: expected '1 colour x y z a b c d e f g h i file', found {len(words)} words; correct the line."
        )
    numbers = np.array(list(_numbers(words[2:14], where)))
    return Reference(_code(words[1], where), numbers[3:].reshape(3, 3), numbers[:3], part_key(words[14]), where)


def _add_face(block: Block, words: list[str], where: str) -> None:
    corners = int(words[0])
    if len(words) < 2 + 3 * corners:
        raise InputError(f"{where}: expected a colour and {3 * corners} numbers, found {len(words) - 1} words.")
    code, points = _code(words[1], where), list(_numbers(" ".join(words[2:]).split()[: 3 * corners], where))
    for last in range(2, corners):
        block.triangles.append(points[:3] + points[3 * last - 3 : 3 * last + 3])
        block.colours.append(code)


def _numbers(words: list[str], where: str) -> Iterator[float]:
    for word in words:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not abs(number) <= LARGEST_NUMBER:
            raise InputError(f"{where}: expected numbers between -1e6 and 1e6, found {word[:30]!r}; correct the line.")
        yield number


def _code(word: str, where: str) -> int:
    try:
        code = int(word, 16 if word.lower().startswith("0x") else 10)
    except ValueError:
        code = -1
    if not 0 <= code < 2**31:
        raise InputError(f"{where}: expected a colour code such as 4 or 0x2FF8000, found {word[:30]!r}; correct it.")
    return code


def _colour(words: list[str], where: str) -> dict[int, Colour]:
    """Return the colour of a line ``0 !COLOUR name CODE code VALUE #RRGGBB ...``."""
    words = " ".join(words).split()
    try:
        code, value = words[words.index("CODE") + 1], words[words.index("VALUE") + 1].lstrip("#")
        red, green, blue = bytes.fromhex(value)
    except (ValueError, IndexError):
        raise InputError(f"{where}: expected '0 !COLOUR name CODE 4 VALUE #RRGGBB', found another line.") from None
    return {_code(code, where): (red, green, blue)}
