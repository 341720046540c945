"""The Markdown pages of the project, for the tests of what they say."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".", "docs", "configs", "baselines", "data/synthetic", "scoring/weights", ".github")
PAGES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))


def read_page(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")
