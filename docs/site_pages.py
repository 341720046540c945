"""Gives the site the pages where a Git host shows them, so that one link between two pages serves both.

MkDocs reads one folder; the pages lie beside what they describe. Each keeps its path from the root of the repository,
and so does every file that a page links to.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "docs", "configs", "baselines", "data/synthetic")  # where pages lie
LINK = re.compile(r"\]\(([^)\s#]+)|(?:src|href)=\"([^\"#]+)\"")
STYLE = "docs/site.css"


def site_paths() -> list[str]:
    """List the pages, and the files that they link to, by their paths from the root of the repository."""
    pages = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
    linked = {
        (page.parent / (link or source)).resolve()
        for page in pages
        for link, source in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in (link or source)
    }
    files = sorted(path for path in linked - set(pages) if path.is_file())
    return [path.relative_to(ROOT).as_posix() for path in [*pages, *files]]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what MkDocs found in its folder by the pages of the project (an event of MkDocs)."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in [*site_paths(), STYLE]:
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Leave out the list of a section's pages where a page stands alone (an event of MkDocs)."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
    return markdown
