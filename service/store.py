"""The store: every accepted photo and every result, on disk before anything is answered.

A job is a folder ``results/<id>`` with ``job.json`` and ``photos/``; it appears there whole, by one rename. It is done
when ``result.json`` is there, which appears by a rename, too, after all files that it names. Whatever is without it
at a start has been accepted and not finished.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from service.jobs import Job, is_file_path, is_id
from utils.checkpoint import ensure_writable
from utils.errors import InputError

JOB, RESULT, STARTS = "job.json", "result.json", "starts"
PHOTOS, MASKS, FOUND = "photos", "masks", "found"
MAX_STARTS = 5  # of one job; the program has been killed at it as often


class DiskFullError(Exception):
    """The disk has too little space left for another photo."""


@dataclass(frozen=True)
class Listed:
    """What the store remembers of a job."""

    object_name: str
    key: str
    digest: str
    done: bool


class Store:
    """Jobs and results in a folder that no other process writes to."""

    def __init__(self, folder: Path, min_free_bytes: int = 0) -> None:
        """Open the folder, and remove what an interruption has left half done.

        Raises:
            InputError: where it cannot be written, or another process has it open.
        """
        self.folder, self.min_free_bytes = folder, min_free_bytes
        self.results, self.incoming, self.gone = folder / "results", folder / "incoming", folder / "gone"
        for each in (self.results, self.incoming, self.gone):
            ensure_writable(each)
        self._lock, self._file_lock = threading.RLock(), FileLock(str(folder / "lock"), thread_local=False)
        try:
            self._file_lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"Another process serves {folder}; end it, or name another folder.") from None
        for each in (self.incoming, self.gone):
            for rest in each.iterdir():
                shutil.rmtree(rest, ignore_errors=True)
        self._listed: dict[str, Listed] = {}
        self._keys: dict[str, str] = {}
        for path in sorted(path for path in self.results.iterdir() if is_id(path.name)):
            job = self.job(path.name)
            if job is not None:
                self._list(job, (path / RESULT).is_file())

    def close(self) -> None:
        """Let another process open the folder."""
        self._file_lock.release()

    def _list(self, job: Job, done: bool) -> None:
        with self._lock:
            self._listed[job.id] = Listed(sys.intern(job.object_name), job.key, job.digest, done)
            if job.key:
                self._keys[job.key] = job.id

    def place(self, job_id: str) -> Path:
        """Return a job's folder; the identifier must have been checked."""
        if not is_id(job_id):
            raise ValueError(f"{job_id!r} is no identifier")
        return self.results / job_id

    def check_space(self) -> None:
        """Raise a DiskFullError where the disk is nearly full."""
        free = shutil.disk_usage(self.folder).free
        if free < self.min_free_bytes:
            raise DiskFullError(
                f"The disk has {free / 1e6:.0f} MB left, new photos need {self.min_free_bytes / 1e6:.0f} MB; remove "
                f"files, or keep fewer results (--keep, --keep_results)."
            )

    def known(self, key: str) -> tuple[str, str] | None:
        """Return identifier and digest of what was accepted with the sender's ``key``; None where nothing was."""
        with self._lock:
            job_id = self._keys.get(key) if key else None
            return None if job_id is None else (job_id, self._listed[job_id].digest)

    def accept(self, job: Job, write: Callable[[Path], object]) -> None:
        """Store a job so that no crash loses it: when this returns, it is on the disk.

        Args:
            job: not yet stored.
            write: puts the files into a folder that it gets; whatever it raises undoes everything.
        """
        draft = self.incoming / job.id
        draft.mkdir()
        try:
            write(draft)
            (draft / JOB).write_text(job.to_json(), encoding="utf-8")
            sync_tree(draft)
            draft.rename(self.place(job.id))
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync(self.results)
        self._list(job, done=False)

    def job(self, job_id: str) -> Job | None:
        """Read a job; None where there is none."""
        try:
            return Job.from_json((self.place(job_id) / JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def pending(self) -> list[Job]:
        """Return the jobs that are not done, the oldest first."""
        with self._lock:
            waiting = sorted(job_id for job_id, listed in self._listed.items() if not listed.done)
        return [job for job in map(self.job, waiting) if job is not None]

    def begin(self, job: Job) -> int:
        """Make an empty folder for what will be found; return how often the job was begun, this time included."""
        place = self.place(job.id)
        shutil.rmtree(place / FOUND, ignore_errors=True)
        (place / FOUND).mkdir()
        with (place / STARTS).open("ab") as file:
            file.write(b".")
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def finish(self, job: Job, result: Mapping[str, Any]) -> None:
        """Store a job's result: when this returns, it and the files that it names are on the disk."""
        place = self.place(job.id)
        if (place / FOUND).is_dir():
            sync_tree(place / FOUND)
        temporary = place / f".{RESULT}.part"
        temporary.write_text(json.dumps(result), encoding="utf-8")
        sync(temporary)
        temporary.replace(place / RESULT)
        sync(place)
        self._list(job, done=True)

    def result(self, job_id: str) -> dict[str, Any] | None:
        """Read a result; None where there is none yet."""
        try:
            found: dict[str, Any] = json.loads((self.place(job_id) / RESULT).read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            return None

    def file(self, job_id: str, path: str) -> Path | None:
        """Return a photo of a job, or what was found, by its path in the job's folder; None where there is none."""
        if not (is_id(job_id) and is_file_path(path) and path.startswith((f"{PHOTOS}/", f"{FOUND}/"))):
            return None
        place = self.place(job_id)
        found = (place / path).resolve()  # what judging writes holds no links; where one does, it must not lead out
        return found if found.is_relative_to(place.resolve()) and found.is_file() else None

    def newest(self, object_name: str = "", before: str = "") -> Iterator[str]:
        """Yield the identifiers of finished jobs, the newest first.

        Args:
            object_name: of this object only; empty: of all.
            before: only those older than this identifier; empty: all.
        """
        with self._lock:
            found = [
                job_id
                for job_id, listed in self._listed.items()
                if listed.done and (not object_name or listed.object_name == object_name)
            ]
        yield from (job_id for job_id in sorted(found, reverse=True) if not before or job_id < before)

    def prune(self, keep_results: int, keep_days: float) -> int:
        """Remove finished jobs beyond the newest ``keep_results`` and older than ``keep_days``; 0 keeps all.

        Returns:
            How many were removed.
        """
        done = list(self.newest())
        old = set(done[keep_results:]) if keep_results else set()
        if keep_days:
            oldest = time.strftime("%Y%m%dT%H%M%S", time.gmtime(time.time() - keep_days * 86400))
            old |= {job_id for job_id in done if job_id < oldest}
        for job_id in old:
            with self._lock:
                listed = self._listed.pop(job_id)
                if self._keys.get(listed.key) == job_id:
                    del self._keys[listed.key]
            self.place(job_id).rename(self.gone / job_id)  # at once out of sight, then at leisure off the disk
            shutil.rmtree(self.gone / job_id, ignore_errors=True)
        return len(old)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot, and has no need
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until all files and folders in a folder are on the disk, and the folder itself."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
