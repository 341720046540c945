"""What learning prints: a change, and the journal as a table."""

from __future__ import annotations

import sys

from tabulate import tabulate

from pipeline.config import Config
from pipeline.history import Change, complete_journal, locked, read_journal
from pipeline.model import check_there
from pipeline.record import TrainingRecord
from utils.text import MISSING

FIGURES = (("psnr", "PSNR", ".2f"), ("surface_seen", "surface seen", ".1%"), ("threshold", "threshold", ".3f"))


def print_change(config: Config, change: Change) -> None:
    """Print what a change did: warnings of single photos, then one line."""
    for photo in change.photos:
        if photo.get("remark"):
            print(f"warning: {photo['source']}: {photo['remark']}", file=sys.stderr)
    name = config.object_name
    if change.kind == "undo":
        print(f"{name}: change {change.number} is undone")
        return
    count = sum("left out" not in photo.get("remark", "") for photo in change.photos)
    done = {"add": "photos added", "confirm_good": "photos confirmed as good"}[change.kind]
    what = f"{count} {done}" if change.kept else change.remark
    print(
        f"{name}: {what}; {figures_text(change)} in {change.seconds:.1f}s; --undo takes it back"
        if change.kept
        else f"{name}: {what}; {figures_text(change)}"
    )


def figures_text(change: Change) -> str:
    """Return the figures of a change before and after it, in one line."""
    texts = []
    for key, label, form in FIGURES:
        if key in change.before and key in change.after:
            texts.append(f"{label} {change.before[key]:{form}} -> {change.after[key]:{form}}")
    if "low" in change.after:
        texts.append("95 % interval " + " -> ".join(interval_text(one) for one in (change.before, change.after)))
    return ", ".join(texts)


def interval_text(figures: dict[str, float]) -> str:
    """Return a threshold's interval.

    >>> interval_text({"low": 1.234, "high": 2.5})
    '1.23 to 2.50'
    """
    return f"{figures['low']:.2f} to {figures['high']:.2f}"


def journal_table(config: Config) -> str:
    """Return the journal of a trained object as a table."""
    folder = config.checkpoint_dir
    check_there(folder)
    with locked(folder):
        complete_journal(folder, TrainingRecord.read(folder).learned)
    rows = []
    for change in read_journal(folder):
        pairs = [
            f"{change.before[key]:{form}} -> {change.after[key]:{form}}"
            if key in change.before and key in change.after
            else MISSING
            for key, _, form in FIGURES
        ]
        remark = "; ".join(text for text in (change.remark, change.note) if text)
        rows.append([change.date, change.number, change.kind, len(change.photos), *pairs, remark])
    heads = ["date", "change", "what", "photos", *(label for _, label, _ in FIGURES), "remark"]
    return tabulate(rows, heads) if rows else f"{folder.name} has learned nothing since it was trained."
