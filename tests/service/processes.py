"""The service in a process of its own, for tests that end it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
PATIENCE = 90.0  # seconds for what takes one or two


@contextmanager
def started(*words: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run ``serve.py`` with these words; it is killed at the end unless it has ended."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("a") as errors:
        command = [sys.executable, str(ROOT / "serve.py"), "--device", "cpu", "--min_free_mb", "0", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def address_of(process: subprocess.Popen[str], log: Path) -> str:
    """Wait until a server is ready; return its address."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found, f"{line!r}: {log.read_text()}"
    until(lambda: httpx.get(f"{found[0]}/health").status_code == 200)
    return found[0]


def until(is_so, patience: float = PATIENCE) -> None:
    """Wait until ``is_so()``."""
    end = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
