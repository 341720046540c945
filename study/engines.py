"""Engines do the cells that are left: here one after the other, or on a Ray cluster (``study.ray_engine``)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from study.cells import Cell, Outcome
from study.locks import locked
from study.run_cell import run_cell
from utils.progress import Progress

ENGINES = ("in_process", "ray")
POLL_SECONDS = 2.0  # between two looks at cells that other processes are doing


def attempt(cell: Cell) -> Outcome | None:
    """Do a cell unless it is done; None where another process is doing it."""
    with locked(cell.folder) as own:
        return run_cell(cell) if own else None


def run_here(cells: Sequence[Cell], progress: Progress) -> list[Outcome]:
    """Do the cells in this process, in order; those that other processes do are waited for at the end."""
    outcomes: dict[Cell, Outcome] = {}
    left, refused = deque(cells), 0
    with progress.bar("cells", len(cells), unit="cell") as bar:
        while left:
            cell = left.popleft()
            bar.set_postfix_str(cell.name)
            outcome = attempt(cell)
            if outcome is None:
                left.append(cell)
                refused += 1
                if refused >= len(left):
                    time.sleep(POLL_SECONDS)
                    refused = 0
                continue
            outcomes[cell], refused = outcome, 0
            bar.update()
            if outcome.failure:
                progress.say(f"{cell.name}: {outcome.failure}")
    return [outcomes[cell] for cell in cells]
