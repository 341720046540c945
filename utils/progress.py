"""Progress bars, silent with --quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Where a run tells what it does; everything goes to standard error, so that standard output can be parsed."""

    quiet: bool = False

    def say(self, sentence: str) -> None:
        """One line of news, unless quiet."""
        if not self.quiet:
            print(sentence, file=sys.stderr, flush=True)

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """``items`` unchanged, with a bar named ``what``."""
        count = len(items) if total is None and isinstance(items, Sized) else total
        with self.bar(what, count) as bar:
            for item in items:
                yield item
                bar.update()

    def bar(self, what: str, total: int | None = None, unit: str = "it") -> Any:
        """A tqdm bar, to be used in a ``with`` statement: ``update(steps)``, ``set_postfix_str(text)``.

        Steps of unit "B" are bytes, shown in thousands and millions.
        """
        scale = unit == "B"
        return tqdm(
            total=total,
            desc=what,
            disable=self.quiet,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
            unit=unit,
            unit_scale=scale,
        )
