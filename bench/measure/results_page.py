"""``RESULTS.md``: sections that one benchmark each writes and that stay when another one runs."""

from __future__ import annotations

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

Measured by the programs in this folder; no figure in a table is typed in by hand. Each section says with which command,
commit, machine and date it was made, and is replaced when its program runs again. Remarks below a table tell where its
objects came from.
"""


def write_section(path: Path, name: str, body: str) -> None:
    """Put ``body`` in the place of the section ``name`` of a Markdown page, or at its end; all else stays as it is.

    Args:
        path: the page, made with a heading where there is none; replaced as a whole or not at all.
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


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column stands left, the others right.

    >>> print(markdown_table(["a", "b"], [["x", "1"]]))
    | a | b |
    |---|---:|
    | x | 1 |
    """
    lines = [head, *rows]
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([text[0], "|---" + "|---:" * (len(head) - 1) + "|", *text[1:]])


def circumstances(
    environment: Mapping[str, Any], settings: Mapping[str, Any], remark: str, varied: Sequence[str] = ()
) -> str:
    """One sentence: when, of which commit, with which settings and where something was measured.

    Args:
        environment: as ``results.json`` keeps it.
        settings: each key with its value, as ``results.json`` keeps them.
        remark: what the figures must not be shown without, as ``results.json`` keeps it.
        varied: keys that the table itself tells of.
    """
    apart = {"object_name", "data_dir", "ckpt_dir", "output_dir", "seed", "device", *RUN_KEYS, *varied}
    defaults = values_of(Config())
    changed = [f"`{key} = {value}`" for key, value in settings.items() if key not in apart and value != defaults[key]]
    told = f"default settings but {', '.join(changed)}" if changed else "default settings"
    where = environment["cpu"] if environment["device"] == "cpu" else f"{environment['device']}, {environment['cpu']}"
    return (
        f"{environment['date'][:10]}, commit {environment['commit'] or 'unknown'}{changes()}, {told}, "
        f"seed {settings['seed']}; {where}, {environment['cores']} cores, Python {environment['python']}, "
        f"torch {environment['torch']}. {remark}"
    ).strip()


def changes() -> str:
    """A remark where tracked files differ from the commit."""
    command = ["git", "status", "--porcelain", "--untracked-files=no"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return " with uncommitted changes" if answer.returncode == 0 and answer.stdout.strip() else ""
