"""Files of a generated set: written in one piece or not at all, and never a mixture of two settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

from utils.errors import InputError

SETTINGS_NAME = "synthetic.json"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` beside ``path``, then moves it there, so that ``path`` is never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: object, indent: int | None = None) -> None:
    """Writes ``content`` as JSON."""
    write_bytes(path, (json.dumps(content, indent=indent) + "\n").encode())


def claim_folder(folder: Path, settings: dict[str, object]) -> None:
    """Marks ``folder`` as made with ``settings``.

    Errors:
        InputError: the folder was made with other settings, or holds something that no generator put there.
    """
    path = folder / SETTINGS_NAME
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        found = found if isinstance(found, dict) else {}
        different = [key for key in settings if found.get(key) != settings[key]]
        if different:
            what = ", ".join(f"{key} = {found.get(key)!r} there, {settings[key]!r} now" for key in different)
            raise InputError(f"{path}: this folder holds pictures of other settings ({what}); choose another --out.")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is not empty and was not made by this generator; choose another --out.")
    write_json(path, settings, indent=1)
