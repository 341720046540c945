"""What an object learned after its training: a journal of changes, and the states before them, to which undo returns.

A change writes its files into ``history/N``, among them the record of training that names them, and takes effect when
that record replaces ``training.json``: one rename, so that an interruption leaves the state before or the one after.
Undo puts the record of the state before back, byte for byte; its files were never touched. ``learning.jsonl`` has a
line for each change; one that an interruption left out is added by the next.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from pipeline.record import FILE, STEP_FILES, TrainingRecord
from utils.checkpoint import write_atomically, write_text
from utils.errors import InputError
from utils.text import utc_text

HISTORY, JOURNAL, CHANGE, PHOTOS = "history", "learning.jsonl", "change.json", "learned"
MAX_BYTES = 1_000_000_000  # of files that only undo needs
WAIT = 600.0  # seconds for another process that learns the same object


class Saveable(Protocol):
    """A result that has a file."""

    def save(self, path: Path) -> None: ...


@dataclass(frozen=True)
class Change:
    """A line of the journal."""

    number: int  # of the state that it made, or that undo took back
    kind: str  # "add", "confirm_good", "undo" or "train"
    date: str = ""
    kept: bool = True  # whether the new state counts; False where it was worse, and the old one stayed
    photos: list[dict[str, Any]] = field(default_factory=list)  # name, sha256, source; for some a remark
    before: dict[str, float] = field(default_factory=dict)  # figures of the state before, by name
    after: dict[str, float] = field(default_factory=dict)  # of the new one
    note: str = ""  # who, or why
    remark: str = ""
    seconds: float = 0.0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a trained object; one that does is waited for.

    Raises:
        InputError: where that takes longer than ``WAIT``.
    """
    try:
        with FileLock(str(folder / ".learning.lock"), timeout=WAIT):
            yield
    except Timeout:
        raise InputError(
            f"Another process has been changing {folder} for {WAIT:.0f} s; try again when it is done."
        ) from None


def read_journal(folder: Path) -> list[Change]:
    """Read the journal, oldest change first, without a last line that an interruption cut short."""
    path, changes = folder / JOURNAL, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            changes.append(Change(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return changes


def append_change(folder: Path, change: Change) -> None:
    """Add a line to the journal."""
    path = folder / JOURNAL
    lines = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines += "" if not lines or lines.endswith("\n") else "\n"
    write_text(path, lines + json.dumps(asdict(change)) + "\n")


def complete_journal(folder: Path, learned: int) -> None:
    """Add the line of a change that was interrupted after it took effect.

    Args:
        learned: number of the object's state.
    """
    state = 0
    for change in read_journal(folder):
        if change.kept:
            state = {"undo": change.number - 1, "train": 0}.get(change.kind, change.number)
    path = folder / HISTORY / str(learned) / CHANGE
    if learned > state and path.is_file():
        append_change(folder, Change(**json.loads(path.read_text(encoding="utf-8"))))
    elif learned < state:
        late = "its line is written late, after an interruption"
        append_change(folder, Change(state, "undo", utc_text(), remark=late))


def take_effect(folder: Path, record: TrainingRecord, results: Mapping[str, Saveable], change: Change) -> None:
    """Write a new state and make it the object's.

    Args:
        folder: of the checkpoint.
        record: of the new state, but for number and files.
        results: of the steps that it makes again.
        change: what made it.
    """
    before, number = folder / HISTORY / str(record.learned), record.learned + 1
    if not (before / FILE).is_file():
        copy_record(folder, before)
    place = folder / HISTORY / str(number)
    shutil.rmtree(place, ignore_errors=True)  # of a change that was undone or interrupted
    for step, result in results.items():
        result.save(place / STEP_FILES[step])
        record.files = {**record.files, step: f"{HISTORY}/{number}/{STEP_FILES[step]}"}
    record.learned = number
    write_text(place / CHANGE, json.dumps(asdict(change)) + "\n")
    record.write(place)
    copy_record(place, folder)  # from here on the new state is the object's
    append_change(folder, change)
    prune(folder)


def take_back(folder: Path, note: str = "") -> Change:
    """Return to the state before the last change.

    Raises:
        InputError: where there is none, or its files were removed.
    """
    number = TrainingRecord.read(folder).learned
    complete_journal(folder, number)
    if number == 0:
        raise InputError(f"{folder.name} has learned nothing since it was trained; there is nothing to undo.")
    before = folder / HISTORY / str(number - 1)
    if not (before / FILE).is_file():
        raise InputError(
            f"The state of {folder.name} before change {number} was removed to save space; it cannot be undone."
        )
    copy_record(before, folder)
    change = Change(number, "undo", utc_text(), note=note)
    append_change(folder, change)
    return change


def copy_record(source: Path, target: Path) -> None:
    """Put the record of one folder into another, byte for byte, by one rename."""
    content = (source / FILE).read_bytes()
    write_atomically(target / FILE, lambda temporary: temporary.write_bytes(content))


def prune(folder: Path) -> None:
    """Remove what no state needs that can be returned to, and the oldest states where they take too much space."""
    history, learned = folder / HISTORY, TrainingRecord.read(folder).learned
    needed, extra, photos = files_of(folder, folder), 0, photos_of(folder)
    for number in range(learned - 1, -1, -1):
        place = history / str(number)
        if not (place / FILE).is_file():
            break
        more = files_of(place, folder) - needed
        extra += sum(path.stat().st_size for path in more if path.is_file())
        if extra > MAX_BYTES and number < learned - 1:  # the last change can always be undone
            for old in range(number, -1, -1):
                (history / str(old) / FILE).unlink(missing_ok=True)
            print(
                f"note: states before change {number + 1} of {folder.name} were removed to save space.", file=sys.stderr
            )
            break
        needed |= more
        photos |= photos_of(place)
    for path in [*history.glob("*/*.safetensors"), *(folder / name for name in STEP_FILES.values())]:
        if path not in needed:
            path.unlink(missing_ok=True)
    for path in history.iterdir():
        if path.name.isdigit() and int(path.name) > learned:
            shutil.rmtree(path, ignore_errors=True)
    for path in (folder / PHOTOS).glob("*.png"):
        if path.stem not in photos:
            path.unlink()


def files_of(place: Path, folder: Path) -> set[Path]:
    """Return the files of the steps' results that the record in ``place`` names."""
    record = TrainingRecord.read(place)
    return {record.file(step, folder) for step in STEP_FILES}


def photos_of(place: Path) -> set[str]:
    """Return the names of the added photos that the record in ``place`` names."""
    return {photo["name"] for photo in TrainingRecord.read(place).photos}


def forget_learned(folder: Path) -> None:
    """Remove the states of an object that is trained anew; its journal and the added photos stay, which is said."""
    record = TrainingRecord.read(folder)
    if not (folder / HISTORY).is_dir():
        return
    with locked(folder):
        complete_journal(folder, record.learned)
        if record.learned:
            kept = f"; --add {set_aside(folder, record)} adds its photos again" if record.photos else ""
            print(f"warning: what {folder.name} has learned since it was trained is left out{kept}.", file=sys.stderr)
        append_change(folder, Change(0, "train", utc_text()))
        TrainingRecord().write(folder)
        shutil.rmtree(folder / HISTORY)


def set_aside(folder: Path, record: TrainingRecord) -> Path:
    """Move the added photos, with their poses, where another training does not touch them; return their folder."""
    number = 1
    while (place := folder / f"{PHOTOS}_before_{number}").exists():
        number += 1
    frames = [{"file_path": f"{one['name']}.png", "transform_matrix": one["transform_matrix"]} for one in record.photos]
    write_text(folder / PHOTOS / "transforms.json", json.dumps({"frames": frames}, indent=1) + "\n")
    (folder / PHOTOS).rename(place)
    return place
