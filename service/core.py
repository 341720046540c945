"""The service without its doors: store, worker and outbox, which a server and a watched folder share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from service.answers import answer_of
from service.jobs import PHOTO, Job, new_id
from service.judge import failed, judge
from service.metrics import Metrics
from service.objects import Objects
from service.outbox import Outbox
from service.refusals import RefusalError
from service.settings import ServiceConfig
from service.store import MAX_STARTS, DiskFullError, Store
from service.uploads import Limits, Upload, digest_of, file_names, write_uploads
from service.worker import Worker
from utils.text import utc_text

PRUNE_EVERY = 60.0  # seconds, at least, between removals of old results
LONGEST_KEY = 200  # characters of a sender's key
Masks = Sequence[Upload] | Literal["auto"]


class Service:
    """Accepts photos and parts, judges and stores them, and tells a webhook."""

    def __init__(self, config: ServiceConfig, names: Sequence[str], folder: Path) -> None:
        """Open the folder; ``start`` begins the work.

        Args:
            config: limits, where the objects are, the webhook.
            names: of the objects that are served; none: all.
            folder: of photos and results.
        Raises:
            InputError: where an object is not there, or the folder cannot be written or is in use.
        """
        self.config = config
        self.objects = Objects(config, names)
        self.store = Store(folder, int(config.min_free_mb * 1e6))
        self.outbox = Outbox(folder / "outbox", config.webhook) if config.webhook else None
        self.worker = Worker(self.objects, self.store, self.judge, config.max_queue)
        self.limits = Limits(int(config.max_photo_mb * 1e6), int(config.max_megapixels * 1e6))
        self.on_result: Callable[[dict[str, Any]], object] = lambda _: None  # called in the worker's thread
        self._keyed, self._pruned = threading.Lock(), 0.0
        self.metrics = Metrics()
        length = "Photos and parts that wait or are being judged."
        self.metrics.gauge("pad_queue_length", length, lambda: self.worker.length)
        waiting = "Verdicts that the webhook has not confirmed."
        self.metrics.gauge("pad_webhooks_waiting", waiting, lambda: len(self.outbox.waiting()) if self.outbox else 0)

    def start(self) -> None:
        """Start worker and outbox."""
        self.prune()
        if self.outbox:
            self.outbox.start()
        self.worker.start()

    def stop(self) -> None:
        """End after the job that is being judged; the others stay in the store for the next start."""
        self.worker.stop()
        self.worker.join()
        if self.outbox:
            self.outbox.stop()
        self.store.close()

    def accept(
        self,
        kind: Literal["photo", "part"],
        object_name: str,
        photos: Sequence[Upload],
        masks: Masks,
        key: str = "",
        name: str = "",
    ) -> tuple[str, Future[dict[str, Any]] | None]:
        """Store and queue a photo or a part.

        Args:
            kind: of what is sent.
            object_name: of the object; empty: the only one.
            photos: one, or those of the part.
            masks: of the photos, or none, or "auto": they are found.
            key: the sender's; what was accepted with the same before is not accepted again.
            name: what the sender calls the whole, as a part's serial number; may be empty.
        Returns:
            The identifier, and the future result; None where it is stored already.
        Raises:
            RefusalError: where it is not accepted.
        """
        object_name = self.objects.named(object_name)
        self.objects.check_ready(object_name)
        self.check_number(kind, len(photos), len(key))
        given = () if masks == "auto" else masks
        mode: Literal["none", "given", "auto"] = "auto" if masks == "auto" else "given" if given else "none"
        with self._keyed if key else nullcontext():
            digest = digest_of([*photos, *given], kind, object_name, mode) if key else ""
            if (known := self.store.known(key)) is not None:
                return self._again(*known, digest)
            files = file_names(photos)
            shown = [photo.shown for photo in photos]
            names, now = (tuple(files), tuple(shown)), utc_text()
            job = Job(new_id(), kind, object_name, *names, mode, now, key, digest, name)
            with self.worker.place_in_queue():
                self.check_disk()
                self.store.accept(job, lambda folder: write_uploads(folder, photos, files, given, self.limits))
                return job.id, self.worker.submit(job)

    def check_number(self, kind: str, photos: int, key: int) -> None:
        """Raise a RefusalError for a wrong number of photos or characters of the key."""
        most = 1 if kind == PHOTO else self.config.max_photos
        if not 1 <= photos <= most:
            raise RefusalError(422, f"A {kind} must have 1 to {most} photos, found {photos}; send fewer at once.")
        if key > LONGEST_KEY:
            raise RefusalError(422, f"An Idempotency-Key must have at most {LONGEST_KEY} characters, found {key}.")

    def check_disk(self) -> None:
        """Raise a RefusalError (507) where the disk is nearly full, although old results have been removed."""
        try:
            if time.monotonic() - self._pruned > PRUNE_EVERY:
                self.prune()
            self.store.check_space()
        except DiskFullError as error:
            raise RefusalError(507, str(error), int(PRUNE_EVERY)) from None

    def _again(self, job_id: str, first: str, digest: str) -> tuple[str, Future[dict[str, Any]] | None]:
        """Answer a second delivery with the job of the first."""
        if digest != first:
            raise RefusalError(409, "Another photo was sent with the same Idempotency-Key; give each its own.")
        return job_id, self.worker.future(job_id)

    def judge(self, job: Job) -> dict[str, Any]:
        """Judge a job, store its result and tell the webhook; called by the worker."""
        start = time.perf_counter()
        served = self.objects.get(job.object_name)
        assert served is not None and served.model is not None  # the worker has looked
        times, stages = self.store.begin(job), dict[str, float]()
        if times > MAX_STARTS:
            ends = f"The program ended {times - 1} times while it judged this {job.kind}; it is not tried again."
            result = failed(job, 500, ends)
        else:
            result, stages = judge(job, served.model, self.store.place(job.id))
        if self.outbox:  # before the result: then no crash can come between
            self.outbox.put(job.id, answer_of(result))
        self.store.finish(job, result)
        self.metrics.count_result(result, stages, time.perf_counter() - start)
        self.on_result(result)
        if time.monotonic() - self._pruned > PRUNE_EVERY:
            self.prune()
        return result

    def prune(self) -> None:
        """Remove results that are not to be kept."""
        self.store.prune(self.config.keep_results, self.config.keep)
        self._pruned = time.monotonic()
