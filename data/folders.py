"""Lists, reads and hashes files and folders of data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import InputError, nearest
from utils.images import SUFFIXES, UNREAD_SUFFIXES
from utils.text import natural_key

GOOD = "good"  # name of a folder of good images
GOOD_NAMES = (GOOD, "ok", "okay", "normal", "pass", "passed", "io", "defect_free", "no_defect", "non_defective")
JUNK_NAMES = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "lost+found")
MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")  # how images begin; WebP has its name at 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def folded(name: str) -> str:
    """Return a name without what file systems change: case, and whether accents are letters of their own.

    >>> folded("GEHA\u0308USE.JPG") == folded("geh\u00e4use.jpg")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()


def is_junk(name: str) -> bool:
    """Return whether a system put this file or folder beside the user's: hidden, thumbnails, archives' remains."""
    lower = name.lower()
    return lower.startswith((".", "@", "#")) or lower.endswith((".part", ".tmp", ".bak", "~")) or lower in JUNK_NAMES


def is_good(kind: str) -> bool:
    """Return whether a folder of this name holds good images.

    >>> is_good("Good"), is_good("ok"), is_good("Burrs")
    (True, True, False)
    """
    return folded(kind).replace("-", "_").replace(" ", "_") in GOOD_NAMES


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix or, where that says nothing, by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return not path.is_dir()
    if suffix in UNREAD_SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(12)
    return start.startswith(MAGIC) or start[8:] == b"WEBP"


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder in natural order, without junk; none where the folder does not exist."""
    return _listed(folder, is_image)


def unread_in(folder: Path) -> list[Path]:
    """List a folder's images of formats that are not read, as HEIC or RAW, in natural order."""
    return _listed(folder, lambda path: path.suffix.lower() in UNREAD_SUFFIXES)


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder in natural order, without junk; none where the folder does not exist."""
    return _listed(folder, Path.is_dir)


def folders_below(folder: Path) -> list[Path]:
    """List a folder and all folders in it, without junk and without following links, in natural order."""
    below = [path for path in folders_in(folder) if not path.is_symlink()]
    return [folder, *(deeper for path in below for deeper in folders_below(path))]


def _listed(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not is_junk(path.name) and wanted(path)]
    return sorted(found, key=lambda path: natural_key(path.name))


class ImageFinder:
    """Finds the images that files of poses name in a folder, whichever program wrote the names.

    Backslashes are slashes; case and normal form do not matter where one file fits; a name without a suffix may be any
    image's. Names with a drive, or from the root of another computer, are searched by their last parts.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path | None:
        """Return the image ``name`` below the folder, or None."""
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts or "\0" in name:
            return None
        elsewhere = name.startswith(("/", "\\")) or parts[0].endswith(":")
        whole = self._below(parts) if ".." not in parts and not elsewhere else self._by_path(name)
        if whole is not None or not elsewhere:
            return whole
        tails = (parts[start:] for start in range(1, len(parts)) if ".." not in parts[start:])
        return next((found for tail in tails if (found := self._below(tail)) is not None), None)

    def explain(self, name: str) -> str:
        """Return why ``find`` found nothing, in a few words, and the way out."""
        path = Path(os.path.normpath(self.root / name.replace("\\", "/")))
        try:
            if path.is_file() and not path.is_relative_to(os.path.normpath(self.root)):
                return f"lies outside {self.root}: give --images {path.parent}"
            if path.is_file():
                return "is no image of a format that is read: convert it to JPEG or PNG"
            if path.is_symlink():
                return f"is a link to {path.readlink()}, which does not exist: copy the images there"
        except (OSError, ValueError):
            return "no file can have this name"
        return f"no such image in {self.root}"

    def _by_path(self, name: str) -> Path | None:
        """Return the image at a path with ``..``, or from the root, if that lies below the folder."""
        path, root = os.path.normpath(self.root / name.replace("\\", "/")), os.path.normpath(self.root)
        if not Path(path).is_relative_to(root):
            return None
        return self._below(Path(path).relative_to(root).parts)

    def _below(self, parts: Sequence[str]) -> Path | None:
        place = self.root
        for part in parts[:-1]:
            found = [path for path in self._matching(place, part) if path.is_dir()]
            if len(found) != 1:
                return None
            place = found[0]
        if not parts:
            return None
        found = [path for path in self._matching(place, parts[-1]) if path.is_file() and is_image(path)]
        if not found and Path(parts[-1]).suffix.lower() not in SUFFIXES:
            wanted = [folded(parts[-1] + suffix) for suffix in SUFFIXES]
            names = self._listing(place)
            found = [path for name in wanted for path in names.get(name, ()) if path.is_file()]
        if len(found) > 1:
            listed = " and ".join(path.name for path in found[:2])
            raise InputError(f"{parts[-1]} may be {listed} in {place}; rename one of them.")
        return found[0] if found else None

    def _matching(self, place: Path, name: str) -> list[Path]:
        """Return the entry ``name`` of a folder or, without it, those that differ in case and normal form only."""
        found = self._listing(place).get(folded(name), [])
        exact = [path for path in found if path.name == name]
        return exact or found

    def _listing(self, place: Path) -> dict[str, list[Path]]:
        if place not in self._listings:
            names: dict[str, list[Path]] = {}
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                names.setdefault(folded(path.name), []).append(path)
            self._listings[place] = names
        return self._listings[place]


@contextmanager
def replaced_parts(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give an empty folder to write to, and put the parts of that ``names`` into ``folder`` when all is written.

    Parts that ``folder`` has of these names go then, and only then; after an error all is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    fresh, old = unfinished / "new", unfinished / "old"
    try:
        fresh.mkdir(parents=True)
        old.mkdir()
        yield fresh
        existed = folder.is_dir()
        folder.mkdir(exist_ok=True)
        moves = [(folder / name, old / name) for name in names if os.path.lexists(folder / name)]
        moves += [(fresh / name, folder / name) for name in names if (fresh / name).exists()]
        done = []
        try:
            for source, target in moves:
                source.rename(target)
                done.append((source, target))
        except BaseException:
            for source, target in reversed(done):
                target.rename(source)
            if not existed:
                folder.rmdir()
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, UTF-16 or Windows' Latin-1, with or without a byte order mark."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if content[1:2] == b"\0" or content[:1] == b"\0":
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def find_object(object_dir: Path) -> Path:
    """Return ``object_dir``, an existing folder.

    Raises:
        InputError: naming the nearest folder, where there is no such folder.
    """
    if object_dir.is_dir():
        return object_dir
    parent = object_dir.parent
    if not parent.is_dir():
        raise InputError(f"There is no folder {parent}; unpack the data there or name its folder with --data_dir.")
    others = [path.name for path in folders_in(parent)]
    hint = nearest(object_dir.name, others) or (f"; there are {', '.join(others[:5])}." if others else "; it is empty.")
    raise InputError(f"There is no object {object_dir.name!r} in {parent}{hint}")


def read_json(path: Path) -> Any:
    """Read a JSON file; an InputError says why it cannot be read."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); write it again.") from None


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None) -> Iterable[Result]:
    """Yield ``work`` of each item, in order, computed by threads; Ctrl-C and errors drop items not yet begun."""
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def hash_of_files(root: Path, files: list[Path]) -> str:
    """Return a hash of the files' contents and of their paths relative to ``root``."""
    digest = hashlib.blake2b(digest_size=16)
    contents = in_threads(lambda path: hashlib.blake2b(path.read_bytes(), digest_size=16).digest(), files)
    for path, content in zip(files, contents):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + content)
    return digest.hexdigest()
