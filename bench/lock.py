"""A mark in a cell's folder that says who is at work on it, so that two processes do not do the same cell at once."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "under_way.json"
BEAT_SECONDS, STALE_SECONDS = 20.0, 120.0  # between two signs of life; without any for so long, the owner is gone


class Occupied(Exception):
    """Somebody else is at work on the cell; the message says who."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own ``folder`` inside; the lock of a process that has died is taken over.

    Raises:
        Occupied: where a living process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    take(path)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_SECONDS):
            os.utime(path)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        path.unlink(missing_ok=True)


def take(path: Path) -> None:
    """Create the lock, or raise Occupied."""
    for _ in range(2):
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
            return
        except FileExistsError:
            owner = living_owner(path)
            if owner:
                raise Occupied(f"{owner} is at work on it") from None
            path.unlink(missing_ok=True)
    raise Occupied("another process took it first")


def living_owner(path: Path) -> str:
    """Who holds the lock; empty where nobody does any more."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        host, pid, age = str(owner["host"]), int(owner["pid"]), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError):
        return "" if time.time() - path.stat().st_mtime > STALE_SECONDS else "another process"
    if age > STALE_SECONDS or (host == socket.gethostname() and not _lives(pid)):
        return ""
    return f"process {pid} on {host}"


def _lives(pid: int) -> bool:
    """Whether this machine runs the process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # one that was killed stays in the list until its parent looks
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
