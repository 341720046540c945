"""The Markdown pages of the project, for the tests of what they say."""

from __future__ import annotations

from pathlib import Path

from docs.site_pages import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT) for folder in (*FOLDERS, ".github") for path in (ROOT / folder).glob("*.md"))


def read_page(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")
