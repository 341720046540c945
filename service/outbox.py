"""The outbox: verdicts on their way to a webhook, on disk until the receiver has confirmed each."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from service.jobs import is_id
from service.store import sync
from utils.checkpoint import ensure_writable
from utils.version import __version__

LOG = logging.getLogger("service")
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0  # seconds between tries; doubled after each
TIMEOUT = 10.0  # seconds of one try
BUSY = (408, 425, 429)  # statuses that say nothing against the message itself


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would become a GET without the verdict."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nowhere."""


class Outbox:
    """Posts JSON to one address; each message until a status 2xx answers it.

    Messages are tried in the order of their identifiers. Where the receiver is out of reach all wait; where it refuses
    one message (a status 4xx) only that one waits longer, and the others go on.
    """

    def __init__(self, folder: Path, address: str) -> None:
        """Open the folder; what it holds is delivered once ``start`` is called."""
        ensure_writable(folder)
        self.folder, self.address = folder, address
        self._opener = build_opener(_NoRedirects)
        self._wake, self._stopping = threading.Event(), False
        self._due: dict[str, tuple[float, int]] = {}  # identifier: when it may be tried again, failures so far
        self._receiver_due, self._receiver_failures = 0.0, 0

    def put(self, message_id: str, message: Mapping[str, Any]) -> None:
        """Store a message so that no crash loses it; the same identifier again replaces it."""
        path = self.folder / f"{message_id}.json"
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(message), encoding="utf-8")
        sync(temporary)
        temporary.replace(path)
        sync(self.folder)
        self._wake.set()

    def waiting(self) -> list[str]:
        """Return the identifiers of all messages that have not been confirmed, the oldest first."""
        return sorted(path.stem for path in self.folder.glob("*.json") if is_id(path.stem))

    def start(self) -> None:
        """Start delivering, in a thread."""
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the try that is under way; what is left waits for the next start."""
        self._stopping = True
        self._wake.set()
        self._thread.join(TIMEOUT + 1.0)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause = self.deliver(time.monotonic())
            self._wake.wait(pause)

    def deliver(self, now: float) -> float:
        """Try every message that is due.

        Args:
            now: seconds of a clock that is not set back.
        Returns:
            Seconds until the next is due.
        """
        waiting = self.waiting()
        self._due = {message_id: due for message_id, due in self._due.items() if message_id in set(waiting)}
        for message_id in waiting:
            if self._stopping or now < self._receiver_due:
                break
            due, failures = self._due.get(message_id, (0.0, 0))
            if now < due:
                continue
            refusal = self._post(message_id)
            if refusal is None:
                self._receiver_failures = 0
                (self.folder / f"{message_id}.json").unlink(missing_ok=True)
            elif refusal:
                self._due[message_id] = (now + delay(failures), failures + 1)
            else:
                self._receiver_due = now + delay(self._receiver_failures)
                self._receiver_failures += 1
        left = [max(self._due.get(each, (0.0, 0))[0], self._receiver_due) - now for each in self.waiting()]
        return max(0.05, min([*left, LONGEST_DELAY]))

    def _post(self, message_id: str) -> bool | None:
        """Post one message: None where it was confirmed, True where it was refused, False where nobody was there."""
        try:
            content = (self.folder / f"{message_id}.json").read_bytes()
            headers = {
                "Content-Type": "application/json",
                "Idempotency-Key": message_id,
                "User-Agent": f"omniposead/{__version__}",
            }
            with self._opener.open(Request(self.address, content, headers), timeout=TIMEOUT):
                return None
        except HTTPError as error:
            error.close()
            LOG.warning("%s answered %d to %s; tried again later", self.address, error.code, message_id)
            return 400 <= error.code < 500 and error.code not in BUSY
        except (URLError, OSError, HTTPException) as error:
            LOG.warning("%s cannot be reached (%s); tried again later", self.address, error)
            return False


def delay(failures: int) -> float:
    """Return the seconds to wait after so many failures before: doubled each time, and scattered by a quarter.

    >>> 0.75 <= delay(0) <= 1.25, 225 <= delay(60) <= 375
    (True, True)
    """
    return min(FIRST_DELAY * 2.0 ** min(failures, 30), LONGEST_DELAY) * random.uniform(0.75, 1.25)
