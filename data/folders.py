"""Lists, reads and hashes files and folders of data."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import InputError, nearest
from utils.images import SUFFIXES
from utils.text import natural_key

GOOD = "good"  # name of a folder of good images

Item = TypeVar("Item")
Result = TypeVar("Result")


def images_in(folder: Path) -> list[Path]:
    """List the PNG and JPEG files of a folder in natural order, without hidden ones."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    return sorted(found, key=lambda path: natural_key(path.name))


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder in natural order, without hidden ones; none where the folder does not exist."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=lambda path: natural_key(path.name))


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
    others = sorted(path.name for path in parent.iterdir() if path.is_dir())
    hint = nearest(object_dir.name, others) or (f"; there are {', '.join(others[:5])}." if others else "; it is empty.")
    raise InputError(f"There is no object {object_dir.name!r} in {parent}{hint}")


def read_json(path: Path) -> Any:
    """Read a JSON file; an InputError says why it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
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
