"""Finds parts by name: a model's own, those of an LDraw library, and the built-in ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from data.synthetic.colours import BUILT_IN, INHERITED, Colour, rgb
from data.synthetic.ldraw import TO_STUDS, UNITS_A_STUD, Block, Document, read_document
from data.synthetic.part_numbers import built_in
from data.synthetic.solids import Solid, from_triangles
from utils.errors import InputError

FOLDERS = ("parts", "p", "unofficial/parts", "unofficial/p")
MOST_TRIANGLES = 1_000_000  # of one part
DEEPEST = 40  # files that refer to each other


@dataclass(frozen=True)
class Shape:
    """A part around its LDraw origin, in studs, z up."""

    solid: Solid
    codes: np.ndarray | None  # (faces,) colour codes where the part has colours of its own


class Library:
    """Parts by name: first the document's, then those of LDraw's folder, then the built-in ones."""

    def __init__(self, document: Document, folder: Path | None = None) -> None:
        """Open a library.

        Args:
            document: the model's file.
            folder: an LDraw library with ``parts``, ``p`` and ``LDConfig.ldr``.
        Raises:
            InputError: where ``folder`` is no such library.
        """
        self._blocks = document.blocks
        self._folder = folder
        self._found: dict[str, tuple[np.ndarray, np.ndarray] | None] = {}
        self._shapes: dict[str, Shape | None] = {}
        self.colours: dict[int, Colour] = {**BUILT_IN}
        if folder is not None:
            if not (folder / "parts").is_dir() or not (folder / "p").is_dir():
                raise InputError(f"{folder} must be an LDraw library with folders 'parts' and 'p'; correct --ldraw.")
            for config in sorted(folder.glob("[Ll][Dd][Cc]onfig.ldr")):
                self.colours.update(read_document(config).colours)
        self.colours.update(document.colours)

    def shape(self, name: str) -> Shape | None:
        """Return the part ``name``, None where there is none or where it has no surface."""
        if name not in self._shapes:
            self._shapes[name] = self._make(name)
        return self._shapes[name]

    def lacks(self, name: str) -> bool:
        """Return whether there is no part ``name``."""
        return self.shape(name) is None and self._triangles(name, ()) is None

    def _make(self, name: str) -> Shape | None:
        found = self._triangles(name, ())
        if found is None:
            try:
                solid = built_in(name)
            except ValueError as error:
                raise InputError(f"Part {name}: {error}") from None
            return None if solid is None else Shape(solid, None)
        return make_shape(*found)

    def _triangles(self, name: str, above: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        """Collect triangles (n, 3, 3) in LDraw's units and colour codes (n,) of a file and of all that it refers to."""
        if name in above or len(above) > DEEPEST:
            raise InputError(f"The file {name!r} refers to itself, by way of {' > '.join(above[-4:])}; correct one.")
        if name not in self._found:
            block = self._find(name)
            self._found[name] = None if block is None else self._gather(block, (*above, name))
        return self._found[name]

    def _gather(self, block: Block, above: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        triangles, codes = [np.array(block.triangles).reshape(-1, 3, 3)], [np.array(block.colours, dtype=np.int64)]
        count = len(block.triangles)
        for reference in block.references:
            found = self._triangles(reference.name, above)
            if found is None:
                raise InputError(f"{reference.where}: there is no file {reference.name!r}; is the library complete?")
            triangles.append(found[0] @ reference.matrix.T + reference.offset)
            inherits = np.isin(found[1], INHERITED) & (reference.colour not in INHERITED)
            codes.append(np.where(inherits, reference.colour, found[1]))
            count += len(found[0])
            if count > MOST_TRIANGLES:
                raise InputError(f"{reference.where}: a part of more than {MOST_TRIANGLES} triangles; make it simpler.")
        return np.concatenate(triangles), np.concatenate(codes)

    def _find(self, name: str) -> Block | None:
        if name in self._blocks:
            return self._blocks[name]
        path = PurePosixPath(name)
        if self._folder is None or path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
            return None
        for folder in FOLDERS:
            try:
                document = read_document(self._folder / folder / path)
            except (OSError, ValueError) as error:  # no such file, or an impossible name
                if isinstance(error, InputError):
                    raise
                continue
            return next(iter(document.blocks.values()))
        return None

    def face_colours(self, codes: np.ndarray, colour: Colour) -> np.ndarray:
        """Return sRGB (faces, 3) uint8 of a part in ``colour`` whose faces have the colour ``codes`` (faces,)."""
        colours = np.empty((len(codes), 3), dtype=np.uint8)
        for code in np.unique(codes).tolist():
            known = None if code in INHERITED else rgb(code, self.colours)
            colours[codes == code] = colour if known is None else known
        return colours


def make_shape(triangles: np.ndarray, codes: np.ndarray) -> Shape | None:
    """Make a shape of ``triangles`` (n, 3, 3) in LDraw's units and axes, None where all are slivers."""
    if not np.isfinite(triangles).all():
        raise InputError("A part has infinite coordinates; correct its matrices.")
    areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    triangles, codes = triangles[areas > 1e-3], codes[areas > 1e-3]
    if not len(triangles):
        return None
    solid = from_triangles(triangles @ TO_STUDS.T / UNITS_A_STUD)
    return Shape(solid, None if np.isin(codes, INHERITED).all() else codes)
