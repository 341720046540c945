"""Every link from a page of the project to a file or a section of it leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, read_page

LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", read_page(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def local_links(page: Path) -> list[str]:
    links = [link or source for link, source in LINK.findall(read_page(page))]
    return [link for link in links if "://" not in link]


def test_there_are_links() -> None:
    assert sum(len(local_links(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for link in local_links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert (ROOT / target).exists(), f"{page} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page} links to {link}"


def test_readme_is_short_and_shows_three_commands_first() -> None:
    lines = read_page(Path("README.md")).splitlines()
    assert len(lines) <= 200
    first_screen = "\n".join(lines[:30])
    assert "panels.png" in first_screen and "image AUROC" in first_screen
    assert len(re.findall(r"^    python ", first_screen, flags=re.MULTILINE)) == 3
