"""Jobs: a photo or a part that was accepted, and the names of what belongs to it."""

from __future__ import annotations

import json
import re
import time
import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

JOB_ID = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{8}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
DEEPEST = 4  # folders and name of a file of a result
LONGEST_STEM = 60
PHOTO: Final = "photo"
PART: Final = "part"


@dataclass(frozen=True)
class Job:
    """One accepted photo, or the photos of one part."""

    id: str
    kind: Literal["photo", "part"]
    object_name: str
    files: tuple[str, ...]  # names in the job's folder ``photos``, and of the masks in ``masks``
    names: tuple[str, ...]  # what the sender calls the photos, in the same order
    masks: Literal["none", "given", "auto"]
    received: str  # UTC
    key: str = ""  # the sender's, by which a second delivery of the same is known; empty: none
    digest: str = ""  # sha256 of what was sent, where there is a key
    name: str = ""  # what the sender calls the whole: a part's serial number, a path in a watched folder

    def summary(self, state: str) -> dict[str, Any]:
        """Return what every answer about the job begins with."""
        return {
            "id": self.id,
            "state": state,
            "kind": self.kind,
            "object_name": self.object_name,
            "received": self.received,
            "photos": list(self.names),
            **({"name": self.name} if self.name else {}),
        }

    def to_json(self) -> str:
        """Write the job as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        """Read what ``to_json`` wrote; ValueError, TypeError or KeyError where it is something else."""
        values: dict[str, Any] = json.loads(text)
        return Job(**{**values, "files": tuple(values["files"]), "names": tuple(values["names"])})


def new_id() -> str:
    """Return an identifier that sorts by time and cannot be guessed."""
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{stamp}{int(now % 1 * 1e6):06d}-{uuid.uuid4().hex[:8]}"


def is_id(text: str) -> bool:
    """Return whether ``text`` has the form of an identifier; nothing else is ever made a path.

    >>> is_id("20261130T120000000000-0123abcd"), is_id("../20261130T120000000000-0123abcd")
    (True, False)
    """
    return JOB_ID.fullmatch(text) is not None


def is_file_path(text: str) -> bool:
    """Return whether ``text`` may name a file of a result, from its folder on.

    >>> is_file_path("found/part/heat/1.png"), is_file_path("found/../job.json"), is_file_path("found/.hidden")
    (True, False, False)
    """
    parts = text.split("/")
    return 1 < len(parts) <= DEEPEST and all(FILE_NAME.fullmatch(part) and ".." not in part for part in parts)


def shown_name(name: str) -> str:
    """Return what a sender calls a photo, without folders and control characters, at most 100 characters long.

    >>> shown_name("C:\\\\photos\\\\left side.jpg"), shown_name("../..")
    ('left side.jpg', 'photo')
    """
    last = re.split(r"[/\\]", name)[-1]
    text = "".join(character for character in last if character.isprintable()).strip()
    text = text.encode("utf-8", "ignore").decode("utf-8")
    return text[:100] if text.strip(". ") else "photo"


def safe_stems(names: Iterable[str]) -> list[str]:
    """Return a distinct file stem for each name, of ASCII letters, digits, ``_`` and ``-``.

    >>> safe_stems(["Schräg links.jpg", "schrag links.png", "図.png", "图.png"])
    ['Schrag_links', 'schrag_links_2', 'photo', 'photo_2']
    """
    stems: list[str] = []
    taken: set[str] = set()  # folded: some file systems do not tell cases apart
    for name in names:
        plain = unicodedata.normalize("NFKD", Path(shown_name(name)).stem).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")[:LONGEST_STEM] or "photo"
        unique, copy = stem, 2
        while unique.lower() in taken:
            unique, copy = f"{stem}_{copy}", copy + 1
        taken.add(unique.lower())
        stems.append(unique)
    return stems
