"""A watched folder: what appears in it is judged by the same code as a server's photos.

``IN/photo.png`` is a photo and ``IN/folder/`` a part; with several objects both lie in ``IN/<object>/``. What has been
taken is written to ``OUT/taken.jsonl``, each verdict to ``OUT/verdicts.jsonl``; photos, heat maps and references are in
``OUT/results``.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import watchfiles

from data.folders import folders_in, images_in, is_junk, unread_in
from data.masks import without_masks
from service.core import Service
from service.jobs import PART, PHOTO
from service.lines import JsonLines
from service.refusals import RefusalError
from service.settings import ServiceConfig
from service.uploads import Upload
from utils.errors import InputError
from utils.text import natural_key, utc_text

LOG = logging.getLogger("service")
PAUSE = 1.0  # seconds between two tries where nothing can be accepted
REPORTED = "reported"  # file that marks a result as written to verdicts.jsonl


@dataclass(frozen=True)
class Candidate:
    """A photo, or the folder of a part's photos, as it lies in the watched folder."""

    name: str  # path in the watched folder, with slashes
    object_name: str
    kind: Literal["photo", "part"]
    paths: tuple[Path, ...]
    state: str  # digest of all files' names, sizes and times

    @property
    def key(self) -> str:
        """By which the store knows that it has this candidate, in this state."""
        return hashlib.sha256(repr((self.name, self.state)).encode("utf-8", "backslashreplace")).hexdigest()


class Watch:
    """Judges what appears in a folder, each state of each file once."""

    def __init__(self, config: ServiceConfig, names: Sequence[str]) -> None:
        """Open both folders.

        Raises:
            InputError: where one is not there, or one lies in the other.
        """
        self.config, self.source, self.target = config, Path(config.watch), Path(config.to)
        if not self.source.is_dir():
            raise InputError(f"There is no folder {self.source}; correct --watch.")
        one, other = self.source.resolve(), self.target.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise InputError(f"--watch {one} and --to {other} must not lie in each other; choose another one.")
        self.service = Service(config, names, self.target)
        self.service.on_result = self.report
        self.objects = [served.name for served in self.service.objects.all()]
        self.taken_file = JsonLines(self.target / "taken.jsonl")
        self.verdict_file = JsonLines(self.target / "verdicts.jsonl")
        self._taken = {(line["name"], line["state"]) for line in self.taken_file.read()}
        self._since: dict[tuple[str, str], float] = {}  # candidates, and since when they have been as they are
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until ``stop``."""
        self.report_missed()
        self.service.start()
        pause = max(50, int(1000 * self.config.settle / 2))
        try:
            self.scan()
            changes = watchfiles.watch(
                self.source,
                stop_event=self._stopping,
                rust_timeout=pause,
                yield_on_timeout=True,  # what has settled shows only by time
                raise_interrupt=False,
            )
            for _ in changes:
                self.scan()
        finally:
            self.service.stop()

    def stop(self) -> None:
        """End after the current job."""
        self._stopping.set()

    def scan(self) -> None:
        """Take every photo and part that is new and has not changed for a while."""
        now, seen = time.monotonic(), dict[tuple[str, str], float]()
        for candidate in self.candidates():
            known = (candidate.name, candidate.state)
            if known in self._taken:
                continue
            seen[known] = self._since.get(known, now)
            if now - seen[known] >= self.config.settle and not self._stopping.is_set():
                self.take(candidate)
        self._since = {known: since for known, since in seen.items() if known not in self._taken}

    def candidates(self) -> Iterator[Candidate]:
        """Yield what lies in the watched folder, in natural order."""
        if len(self.objects) == 1:
            yield from self.candidates_in(self.source, self.objects[0])
            return
        for name in self.objects:
            yield from self.candidates_in(self.source / name, name)

    def candidates_in(self, folder: Path, object_name: str) -> Iterator[Candidate]:
        """Yield the photos and parts of one object."""
        for path in files_in(folder):
            yield self.candidate(path, object_name, PHOTO, [path])
        for part in folders_in(folder):
            paths = without_masks([*images_in(part), *unread_in(part)])
            if paths and not part.is_symlink():
                yield self.candidate(part, object_name, PART, paths)

    def candidate(
        self, path: Path, object_name: str, kind: Literal["photo", "part"], paths: Sequence[Path]
    ) -> Candidate:
        """Return a photo or a part as it is now."""
        state = hashlib.sha256(repr([(each.name, *size_and_time(each)) for each in paths]).encode()).hexdigest()
        return Candidate(path.relative_to(self.source).as_posix(), object_name, kind, tuple(paths), state)

    def take(self, candidate: Candidate) -> None:
        """Accept a candidate, waiting while the queue is full; what is refused is reported."""
        while not self._stopping.is_set():
            try:
                with ExitStack() as files:
                    uploads = [Upload(path.name, files.enter_context(path.open("rb"))) for path in candidate.paths]
                    masks: Any = "auto" if self.config.masks == "auto" else ()
                    job_id, _ = self.service.accept(
                        candidate.kind, candidate.object_name, uploads, masks, candidate.key, candidate.name
                    )
                self.mark(candidate, job_id)
                return
            except RefusalError as refusal:
                if refusal.status < 500:
                    self.refuse(candidate, refusal.sentence)
                    return
                if refusal.retry_after is None:  # the object cannot be loaded: a later start may
                    return
                if refusal.status == 507:
                    LOG.warning("%s", refusal)
                self._stopping.wait(PAUSE)
            except FileNotFoundError:
                return  # it has gone: the next scan sees what there is
            except OSError as error:
                self.refuse(candidate, f"The file cannot be read ({error.strerror}); check that it may be.")
                return

    def mark(self, candidate: Candidate, job_id: str) -> None:
        """Record that a candidate is taken, so that a restart does not take it again."""
        self.taken_file.append({"name": candidate.name, "state": candidate.state, "id": job_id})
        self._taken.add((candidate.name, candidate.state))

    def refuse(self, candidate: Candidate, sentence: str) -> None:
        """Report a candidate that cannot be judged."""
        LOG.warning("%s: %s", candidate.name, sentence)
        entry = {"object_name": candidate.object_name, "kind": candidate.kind, "finished": utc_text()}
        self.verdict_file.append({"photo": candidate.name, **entry, "state": "failed", "error": sentence})
        self.mark(candidate, "")

    def report(self, result: Mapping[str, Any]) -> None:
        """Write a result to the file of verdicts; called in the worker's thread."""
        folder = self.service.store.place(result["id"])
        files = {role: f"results/{result['id']}/{path}" for role, path in result.get("files", {}).items()}
        entry = {key: value for key, value in result.items() if key not in ("files", "photos", "name", "status")}
        self.verdict_file.append({"photo": result["name"], **entry, "files": files})
        (folder / REPORTED).touch()

    def report_missed(self) -> None:
        """Report results whose report an interruption has prevented."""
        store, reported = self.service.store, {line.get("id") for line in self.verdict_file.read()}
        for job_id in reversed(list(store.newest())):
            result = store.result(job_id)
            if result is not None and job_id not in reported and not (store.place(job_id) / REPORTED).exists():
                self.report(result)


def files_in(folder: Path) -> list[Path]:
    """List the files of a folder in natural order, without junk and links; none where there is no folder."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not (is_junk(path.name) or path.is_symlink()) and path.is_file()]
    return sorted(found, key=lambda path: natural_key(path.name))


def size_and_time(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and its time of change in nanoseconds; (-1, 0) where it has gone."""
    try:
        found = path.stat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns
