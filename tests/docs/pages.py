"""The Markdown pages of the project, for the tests of what they say."""

from __future__ import annotations

import re
from pathlib import Path

from docs.site_pages import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT) for folder in (*FOLDERS, ".github") for path in (ROOT / folder).glob("*.md"))


def read_page(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The lines of indented and fenced blocks, without their comments."""
    lines, fenced = [], False
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(re.sub(r"\s{2,}#.*", "", line).strip())
    return lines
