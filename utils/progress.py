"""Progress bars, and the seconds that each stage takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from tqdm import tqdm

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Reports what a run does, on standard error, so that standard output can be parsed."""

    quiet: bool = False

    def info(self, sentence: str) -> None:
        """Print one line, unless quiet."""
        if not self.quiet:
            print(sentence, file=sys.stderr, flush=True)

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """Yield ``items`` unchanged, with a bar named ``what``."""
        count = len(items) if total is None and isinstance(items, Sized) else total
        with self.bar(what, count) as bar:
            for item in items:
                yield item
                bar.update()

    def bar(self, what: str, total: int | None = None, unit: str = "it") -> Any:
        """Return a tqdm bar for a ``with`` statement: ``update(steps)``, ``set_postfix_str(text)``.

        It is drawn only where standard error is a terminal. Steps of unit "B" are bytes, shown with SI prefixes.
        """
        return tqdm(
            total=total,
            desc=what,
            disable=True if self.quiet else None,  # None: drawn only on a terminal
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
            unit=unit,
            unit_scale=unit == "B",
        )


@dataclass
class Stopwatch:
    """Adds up wall-clock seconds by stage; waits for the GPU, so that its time is counted in the stage that used it."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent in the ``with`` block to the stage ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
