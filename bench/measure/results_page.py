"""``docs/RESULTS.md``: each measurement writes a section, and leaves all others as they are."""

from __future__ import annotations

import argparse
import functools
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import RUN_KEYS, Config
from utils.checkpoint import write_text
from utils.config import values_of
from utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "RESULTS.md"
HEAD = """# Results

Measured by the commands that the sections name; no figure in a table is typed in by hand. Each section says of which
commit, on which machine and when it was made, and is replaced when its command runs again.
"""


def add_page_options(parser: argparse.ArgumentParser, section: str) -> None:
    """Add the options of a command that writes a section: which page and section, and from which tree."""
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write (default: docs/RESULTS.md)")
    parser.add_argument("--section", default=section, help=f"name of the page's section (default: {section})")
    parser.add_argument("--dirty", action="store_true", help="write the section even with uncommitted changes")


def refuse_dirty_tree(args: argparse.Namespace) -> None:
    """Raise an InputError where tracked files differ from the commit, unless ``--dirty`` allows it."""
    if is_dirty() and not args.dirty:
        raise InputError(
            "A section of results names the commit that made it, but tracked files have uncommitted changes; "
            "commit them, or give --dirty, and the section will say so."
        )


@functools.cache
def is_dirty() -> bool:
    """Return whether tracked files differ from the commit at the first call; False where git does not know."""
    command = ["git", "status", "--porcelain", "--untracked-files=no"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and bool(answer.stdout.strip())


def made_text(environment: Mapping[str, Any]) -> str:
    """Return the day and the commit of a measurement, and whether the tree had uncommitted changes."""
    changes = " with uncommitted changes" if is_dirty() else ""
    return f"{environment['date'][:10]}, commit {environment['commit'] or 'unknown'}{changes}"


def write_section(path: Path, name: str, body: str) -> None:
    """Replace the section ``name`` of a Markdown page, or add it at the end; all else stays as it is.

    Args:
        path: the page, made with a heading where there is none; written atomically.
        name: of the section, a word; hidden comments with it mark where the section begins and ends.
        body: Markdown.
    Raises:
        InputError: where the page has the section's beginning without its end, or twice.
    """
    page = path.read_text(encoding="utf-8") if path.is_file() else HEAD
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{body.strip()}\n{end}"
    if (page.count(begin), page.count(end)) == (0, 0):
        write_text(path, f"{page.rstrip()}\n\n{section}\n")
        return
    pieces = re.split(f"{re.escape(begin)}.*?{re.escape(end)}", page, flags=re.DOTALL)
    if len(pieces) != 2:
        raise InputError(f"{path} must have one pair of the marks {begin} and {end}, found others; mend or delete it.")
    write_text(path, section.join(pieces))


def describe_measurement(
    environment: Mapping[str, Any], settings: Mapping[str, Any], remark: str, varied: Sequence[str] = ()
) -> str:
    """Say in one sentence when, of which commit, with which settings and where something was measured.

    Args:
        environment: as ``results.json`` keeps it.
        settings: each key with its value, as ``results.json`` keeps them.
        remark: what the figures must not be shown without, as ``results.json`` keeps it.
        varied: keys that the table itself shows.
    """
    apart = {"object_name", "data_dir", "ckpt_dir", "output_dir", "seed", "device", *RUN_KEYS, *varied}
    defaults = values_of(Config())
    changed = [f"`{key} = {value}`" for key, value in settings.items() if key not in apart and value != defaults[key]]
    kind = f"default settings but {', '.join(changed)}" if changed else "default settings"
    where = environment["cpu"] if environment["device"] == "cpu" else f"{environment['device']}, {environment['cpu']}"
    return (
        f"{made_text(environment)}, {kind}, seed {settings['seed']}; {where}, {environment['cores']} cores, "
        f"Python {environment['python']}, torch {environment['torch']}. {remark}"
    ).strip()
