"""Files from the web: resumed where they broke off, checked, and put in place only when whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from utils.progress import Progress

TIMEOUT = 30.0  # seconds without a byte after which a source counts as silent
PIECE = 1 << 18  # bytes read at once
RANGE_PAST_END = 416  # HTTP status: the partial file is as long as the whole one, or longer


def download(sources: Sequence[str], path: Path, sha256: str, size: int | None, progress: Progress) -> list[str]:
    """Fetch a file from the first source that has it.

    What arrived before a break stays beside ``path`` with the suffix ``.part``; the next source, or the next run, goes
    on from there.

    Args:
        sources: http(s) addresses of one and the same file.
        path: where it goes; written only once size and digest are right.
        sha256: its digest, or the first digits of it; empty where unknown.
        size: in bytes; None where unknown.
        progress: where the bar goes.
    Returns:
        Empty after success; else what went wrong with each source, one phrase each.
    """
    partial = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        try:
            _append(source, partial, progress)
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"{source}: {_phrase(error)}")
            continue
        wrong = mismatch(partial, sha256, size)
        if wrong is None:
            os.replace(partial, path)
            return []
        failures.append(f"{source}: {wrong}")
        partial.unlink()
    return failures


def _append(source: str, partial: Path, progress: Progress) -> None:
    """Bring ``partial`` to its full length; an OSError says that the connection broke before."""
    if not source.startswith(("https://", "http://")):
        raise ValueError("only http and https addresses are fetched")
    present = partial.stat().st_size if partial.exists() else 0
    request = Request(source, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == RANGE_PAST_END and present:
            return  # whole already, or not this file: the digest tells
        raise
    with response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        start = present if resumed else 0
        total = None if length is None else start + int(length)
        with partial.open("ab" if resumed else "wb") as file, progress.bar(source.split("/")[-1], total, "B") as bar:
            bar.update(start)
            while piece := response.read(PIECE):
                file.write(piece)
                bar.update(len(piece))
        if total is not None and partial.stat().st_size < total:
            raise ConnectionError(f"broke off after {partial.stat().st_size} of {total} bytes")


def _phrase(error: Exception) -> str:
    """What went wrong, short."""
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(error.reason if isinstance(error, URLError) else error) or type(error).__name__


def digest(path: Path) -> str:
    """The file's sha256, 64 hexadecimal digits."""
    result = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            result.update(piece)
    return result.hexdigest()


def mismatch(path: Path, sha256: str, size: int | None) -> str | None:
    """What tells the file from the one with this digest and size, as a phrase; None where nothing does."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"{found} bytes instead of {size}"
    if sha256 and not (actual := digest(path)).startswith(sha256):
        return f"sha256 {actual[: len(sha256)]} instead of {sha256}"
    return None
