"""Soak: the service under several clients for a while. Does its memory stay flat, and how long do answers take?

The server is a process of its own, asked as programs ask it. Memory is what its own metrics say.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from scipy import stats

from bench.measure.command import ROOT, add_run_options, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.folders import images_in
from pipeline.config import read_config
from utils.config import Parser, values_of
from utils.device import environment
from utils.errors import InputError, exit_code_of

WARM_UP = 0.2  # share of the run that the slope of memory leaves out: caches fill
BLOCKS = 10  # of the rest, whose means the line is fitted through
SAMPLES = 400  # of memory, about, in the whole run
PART_EVERY = 10  # requests of a client: each tenth is a part
PART_PHOTOS = 3
TIMEOUT = 300  # seconds of one request
MEMORY = re.compile(rb"^process_resident_memory_bytes (\S+)", re.MULTILINE)


@dataclass
class Soak:
    """What was measured so far; clients add to it."""

    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"photo": [], "part": []})  # of answers with 200
    codes: Counter[str] = field(default_factory=Counter)  # of all answers
    memory: list[tuple[float, int, float]] = field(default_factory=list)  # seconds, answers until then, bytes
    lasted: float = 0.0  # seconds
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, code: str, seconds: float) -> None:
        """Add one answer."""
        with self._lock:
            self.codes[code] += 1
            if code == "200":
                self.seconds[kind].append(seconds)

    @property
    def answers(self) -> int:
        """Number of answers."""
        return sum(self.codes.values())


@dataclass(frozen=True)
class Slope:
    """A line's slope with its 95 % interval."""

    value: float
    low: float
    high: float


def main(argv: list[str]) -> int:
    """Train what is not trained, serve it, send photos, and write the section."""
    parser = Parser(__doc__ or "")
    add = parser.add_argument
    add("objects", nargs="+", type=Path, help="folders of objects, whose test images are sent")
    add("--minutes", type=float, default=5.0, help="how long (default: 5)")
    add("--requests", type=int, default=0, help="end after so many answers instead")
    add("--clients", type=int, default=4, help="how many send at once (default: 4)")
    add("--work", type=Path, default=Path("output/soak"), help="folder of training and store (default: output/soak)")
    add_run_options(parser)
    add_page_options(parser, "soak")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    if args.clients < 1 or args.requests < 0 or not 0 < args.minutes < 10_000:
        raise InputError("--clients must be at least 1, --requests 0 or more and --minutes more than 0; correct them.")
    photos = {folder.resolve().name: photos_of(folder) for folder in args.objects}
    for folder in args.objects:
        run_script(["anomaly_nerf_lego.py", *object_options(folder, args.work), *run_options(args)])
    found = soak(args, photos)
    settings = values_of(read_config(args.work / "ckpts" / next(iter(photos)) / "config.txt"))
    section = soak_section(found, args, describe_measurement(environment(), settings, ""))
    write_section(args.page, args.section, section)
    print(f"{found.answers} answers in {found.lasted:.0f} s; table: {args.page}")
    return 0


def photos_of(folder: Path) -> list[Path]:
    """List an object's test images."""
    kinds = sorted(path for path in (folder / "test").glob("*") if path.is_dir())
    photos = [path for kind in kinds for path in images_in(kind)]
    if not photos:
        raise InputError(f"There are no test images in {folder / 'test'}; name folders of objects that have some.")
    return photos


def soak(args: argparse.Namespace, photos: dict[str, list[Path]]) -> Soak:
    """Serve objects, let clients send their photos, and watch the server's memory meanwhile."""
    store = args.work / "store"
    shutil.rmtree(store, ignore_errors=True)  # of an earlier run of this command
    words = ["--ckpt_dir", str(args.work / "ckpts"), "--store", str(store), "--device", args.device]
    with serving([*words, "--objs", *photos, "--port", "0"]) as address:
        found, ending = Soak(), threading.Event()
        clients = [
            threading.Thread(target=send, args=(address, photos, found, ending, number))
            for number in range(args.clients)
        ]
        for client in clients:
            client.start()
        try:
            pause = max(0.1, 60.0 * args.minutes / SAMPLES)
            while not is_over(args, found) and any(client.is_alive() for client in clients):
                found.memory.append((time.monotonic() - found.started, found.answers, resident_bytes(address)))
                ending.wait(pause)
        finally:
            ending.set()
            for client in clients:
                client.join()
        found.lasted = time.monotonic() - found.started
    return found


def is_over(args: argparse.Namespace, found: Soak) -> bool:
    """Return whether enough has been measured."""
    if args.requests:
        return found.answers >= args.requests
    return time.monotonic() - found.started >= 60.0 * args.minutes


@contextmanager
def serving(words: Sequence[str]) -> Iterator[str]:
    """Run ``serve.py`` until the block ends; gives its address once it is ready.

    Raises:
        InputError: where it does not start.
    """
    process = subprocess.Popen([sys.executable, "serve.py", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words_said = process.stdout.readline().split()
        if not words_said:
            raise InputError(f"serve.py exited with code {process.wait()}; its message stands above.")
        while ask(words_said[-1], "GET", "/health")[0] != 200:
            if process.poll() is not None:
                raise InputError(f"serve.py exited with code {process.returncode}; its message stands above.")
            time.sleep(0.2)
        yield words_said[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def send(address: str, photos: dict[str, list[Path]], found: Soak, ending: threading.Event, number: int) -> None:
    """Send photos and parts, one after the other, until ``ending``."""
    every = [(name, path) for name, paths in photos.items() for path in paths]
    for turn in itertools.count():
        if ending.is_set():
            return
        name, path = every[(number + turn * 7) % len(every)]
        is_part = turn % PART_EVERY == PART_EVERY - 1
        siblings = [path, *(other for other in photos[name] if other.parent == path.parent and other != path)]
        files = [("photos", each) for each in siblings[:PART_PHOTOS]] if is_part else [("photo", path)]
        kind_of, body = form(files, name)
        start = time.monotonic()
        code, headers = ask(address, "POST", "/parts" if is_part else "/photos", body, {"Content-Type": kind_of})[:2]
        found.add("part" if is_part else "photo", str(code), time.monotonic() - start)
        if code != 200:
            ending.wait(float(headers.get("retry-after", 1)))


def form(files: Sequence[tuple[str, Path]], object_name: str) -> tuple[str, bytes]:
    """Return type and content of a request with files."""
    boundary = uuid.uuid4().hex
    pieces = [f'--{boundary}\r\nContent-Disposition: form-data; name="object"\r\n\r\n{object_name}\r\n'.encode()]
    for field_name, path in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"; filename="{path.name}"\r\n\r\n'
        pieces += [head.encode(), path.read_bytes(), b"\r\n"]
    return f"multipart/form-data; boundary={boundary}", b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def ask(
    address: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (names in lower case) and content of an answer; the status is 0 where none comes."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except (OSError, HTTPException):
        return 0, {}, b""
    finally:
        connection.close()


def resident_bytes(address: str) -> float:
    """Return the server's resident memory in bytes, as it says itself; NaN where it does not."""
    found = MEMORY.search(ask(address, "GET", "/metrics")[2])
    return float(found[1]) if found else float("nan")


def slope_of(places: Sequence[float], values: Sequence[float]) -> Slope | None:
    """Fit a line through the means of ``BLOCKS`` blocks; None with too few values.

    Neighbouring values of memory are alike, which would make the interval of a line through all of them too narrow.

    Args:
        places: increasing.
        values: of the same number.
    """
    known = [(place, value) for place, value in zip(places, values) if np.isfinite(value)]
    if len(known) < 2 * BLOCKS:
        return None
    x, y = (np.array([block.mean() for block in np.array_split(np.array(each), BLOCKS)]) for each in zip(*known))
    fitted = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, BLOCKS - 2)) * float(fitted.stderr)
    return Slope(float(fitted.slope), float(fitted.slope) - half, float(fitted.slope) + half)


def soak_section(found: Soak, args: argparse.Namespace, where: str) -> str:
    """Return the section's Markdown."""
    objects = ", ".join(folder.resolve().name for folder in args.objects)
    rows = [["answers", str(found.answers)], ["of them by status", by_status(found.codes)]]
    rows.append(["answers with 200 a second", f"{found.codes['200'] / found.lasted:.2f}"])
    for kind, seconds in found.seconds.items():
        if seconds:
            p50, p99 = np.quantile(seconds, [0.5, 0.99])
            title = kind if kind == "photo" else f"part of {PART_PHOTOS} photos"
            rows.append([f"seconds of a {title}, p50 / p99", f"{p50:.2f} / {p99:.2f} ({len(seconds)} answers)"])
    rows += memory_rows(found)
    return "\n\n".join(
        [
            f"## Soak\n\n`python -m bench.measure.soak` on {objects}, {args.clients} clients, {found.lasted / 60:.1f} "
            f"minutes: {where}",
            markdown_table(["figure", "value"], rows),
            f"Each client sends one request after the other, every tenth one a part; waiting in the queue counts. The "
            f"slope is that of a line through the means of {BLOCKS} equal blocks after the first {WARM_UP:.0%} of the "
            f"run, with its 95 % interval.",
        ]
    )


def by_status(codes: Counter[str]) -> str:
    """Return how many answers had each status.

    >>> by_status(Counter({"503": 1, "200": 7, "0": 2}))
    '200: 7, 503: 1, none: 2'
    """
    named = sorted((code if code != "0" else "none", count) for code, count in codes.items())
    return ", ".join(f"{code}: {count}" for code, count in named)


def memory_rows(found: Soak) -> list[list[str]]:
    """Return the table's rows on resident memory."""
    after = [each for each in found.memory if each[0] >= WARM_UP * found.lasted and np.isfinite(each[2])]
    if not after:
        return [["resident memory", "not known on this system"]]
    values = [value / 1e6 for _, _, value in after]
    rows = [
        [
            "resident memory after warming up, at the end, most (MB)",
            f"{values[0]:.0f}, {values[-1]:.0f}, {max(values):.0f}",
        ]
    ]
    slopes: list[tuple[str, list[Any]]] = [
        ("slope of memory, MB an hour", [seconds / 3600 for seconds, _, _ in after]),
        ("the same, MB a thousand answers", [answers / 1000 for _, answers, _ in after]),
    ]
    for title, places in slopes:
        slope = slope_of(places, values)
        rows.append([title, f"{slope.value:.2f} ({slope.low:.2f} to {slope.high:.2f})" if slope else "too short a run"])
    return rows


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
