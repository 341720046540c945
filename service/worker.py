"""The worker: one thread that loads the objects and judges one job after the other; nothing else runs networks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from service.jobs import Job
from service.objects import Objects
from service.refusals import RefusalError
from service.store import Store

LOG = logging.getLogger("service")
SMOOTHING = 0.2  # weight of the latest job in the mean seconds of a job
FIRST_GUESS = 2.0  # seconds of a job, before one has run


class StoppingError(Exception):
    """The service ends; what was accepted is stored and judged after the next start."""


@dataclass(frozen=True)
class Task:
    """Something that the worker does between two jobs."""

    work: Callable[[], dict[str, Any]]
    future: Future[dict[str, Any]] = field(default_factory=Future)

    def run(self) -> None:
        """Do it."""
        try:
            self.future.set_result(self.work())
        except Exception as error:  # whoever waits is told
            self.future.set_exception(error)


@dataclass
class Worker:
    """Judges jobs in the order in which they were accepted."""

    objects: Objects
    store: Store
    judge: Callable[[Job], dict[str, Any]]  # returns the result, which it has stored
    max_queue: int
    _jobs: deque[Job] = field(default_factory=deque)
    _tasks: deque[Task] = field(default_factory=deque)
    _futures: dict[str, Future[dict[str, Any]]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _reserved: int = 0
    _running: str = ""
    _stopping: bool = False
    _job_seconds: float = FIRST_GUESS

    def start(self) -> None:
        """Start the thread; what the store has unfinished comes first."""
        for job in self.store.pending():
            self.submit(job)
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the job that it is at; all who wait for others learn that at once."""
        with self._changed:
            self._stopping = True
            waiting = [future for job_id, future in self._futures.items() if job_id != self._running]
            waiting += [task.future for task in self._tasks]
            self._tasks.clear()
            self._futures = {job_id: each for job_id, each in self._futures.items() if job_id == self._running}
            self._changed.notify_all()
        for future in waiting:
            future.set_exception(StoppingError())

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs and takes jobs."""
        return self._thread.is_alive() and not self._stopping

    @property
    def length(self) -> int:
        """How many jobs wait or are being judged."""
        with self._changed:
            return len(self._jobs) + self._reserved + bool(self._running)

    def state(self, job_id: str) -> str:
        """Return whether a job that is not done is "running" or "queued"."""
        return "running" if self._running == job_id else "queued"

    @contextmanager
    def place_in_queue(self) -> Iterator[None]:
        """Hold a place in the queue while a job is being stored.

        Raises:
            RefusalError: 503 where none is free, or the service ends.
        """
        with self._changed:
            self.check_place()
            self._reserved += 1
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= 1

    def check_place(self) -> None:
        """Raise a RefusalError (503) where the queue is full or the service ends."""
        with self._changed:
            if self._stopping:
                raise RefusalError(503, "The service is being stopped; try again.", 5)
            waiting = len(self._jobs) + self._reserved
            if waiting >= self.max_queue:
                seconds = max(1, math.ceil(self._job_seconds * waiting / 2))
                raise RefusalError(503, f"{waiting} photos and parts are waiting already; try again later.", seconds)

    def submit(self, job: Job) -> Future[dict[str, Any]]:
        """Queue a job that is stored; the future gives its result, or a StoppingError."""
        future: Future[dict[str, Any]] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can cancel it
        with self._changed:
            if self._stopping:
                future.set_exception(StoppingError())
                return future
            self._jobs.append(job)
            self._futures[job.id] = future
            self._changed.notify_all()
        return future

    def do(self, work: Callable[[], dict[str, Any]]) -> Future[dict[str, Any]]:
        """Do something before the next job; the future gives what ``work`` returns or raises, or a StoppingError."""
        task = Task(work)
        task.future.set_running_or_notify_cancel()
        with self._changed:
            if self._stopping:
                task.future.set_exception(StoppingError())
                return task.future
            self._tasks.append(task)
            self._changed.notify_all()
        return task.future

    def future(self, job_id: str) -> Future[dict[str, Any]] | None:
        """Return the future of a job that waits or is being judged; None for others."""
        with self._changed:
            return self._futures.get(job_id)

    def _next(self) -> Job | Task | None:
        """Wait for what is next and take it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._tasks or self._jobs)
            if self._stopping:
                return None
            if self._tasks:
                return self._tasks.popleft()
            job = self._jobs.popleft()
            self._running = job.id
            self._changed.notify_all()
            return job

    def _run(self) -> None:
        self.objects.load(lambda: self._stopping)
        while (job := self._next()) is not None:
            if isinstance(job, Task):
                job.run()
                continue
            start = time.perf_counter()
            served = self.objects.get(job.object_name)
            if served is None or served.state != "ready":
                LOG.warning("%s waits for a start at which %s can be loaded", job.id, job.object_name)
                self._end(job, None)
                continue
            try:
                result = self.judge(job)
            except Exception:  # as a full disk; the job stays in the store, and the next start tries it again
                LOG.exception("the result of %s could not be stored", job.id)
                self._end(job, None)
                continue
            self._job_seconds += SMOOTHING * (time.perf_counter() - start - self._job_seconds)
            self._end(job, result)

    def _end(self, job: Job, result: dict[str, Any] | None) -> None:
        with self._changed:
            self._running = ""
            future = self._futures.pop(job.id, None)
            self._changed.notify_all()
        if future is not None:
            if result is None:
                future.set_exception(StoppingError())
            else:
                future.set_result(result)
