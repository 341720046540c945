"""The documentation builds into a site that has every page, and that a browser shows without asking any other host."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from docs.site_pages import STYLE, site_paths
from tests.docs.pages import PAGES, ROOT

# What a browser fetches by itself: links that a reader follows are not among it.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|url\([\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    yield folder
    shutil.rmtree(folder)


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    shown = [page.as_posix() for page in PAGES if ".github" not in page.parts]
    assert set(shown) <= set(site_paths()) and len(shown) > 12
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in shown:
        path = re.sub(r"README\.html$", "index.html", page.replace(".md", ".html"))
        assert (site / path).is_file(), page
        assert f'href="{path}"' in start or path == "index.html", f"{page} is not in the navigation of the start"


def test_the_start_shows_the_picture_and_the_numbers_first(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    picture, numbers, commands = (start.index(text) for text in ("docs/panels.png", "image AUROC", "python -m data"))
    assert picture < numbers < commands
    assert (site / "docs/panels.png").is_file()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    texts = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(texts) > 15
    for path in texts:
        assert not FETCHED.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.b/c.js">',
        "<link rel=stylesheet href='//a.b/c.css'>",
        "x { background: url(https://a.b/c.png) }",
        '<img alt="" src="http://a.b/c.png">',
    ],
)
def test_what_would_be_fetched_is_seen(text: str) -> None:
    assert FETCHED.search(text) and not FETCHED.search('<a href="https://a.b">')


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the site is built from."""
    for path in [*site_paths(), "mkdocs.yml", "docs/site_pages.py", STYLE]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def build_with(copy: Path, line: str) -> None:
    """Build the site with a line more on one page."""
    with (copy / "SECURITY.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{line}\n")
    build(load_config(str(copy / "mkdocs.yml"), site_dir=str(copy / "site")))


@pytest.mark.parametrize("place", ["nothing.md", "CONTRIBUTING.md#nothing", "#nothing", "nothing.py"])
def test_a_broken_link_stops_the_build(place: str, copy: Path) -> None:
    with pytest.raises(Abort):
        build_with(copy, f"[x]({place})")


def test_a_link_to_a_section_of_another_page_does_not(copy: Path) -> None:
    build_with(copy, "[x](CONTRIBUTING.md#set-up)")
    assert 'href="CONTRIBUTING.html#set-up"' in (copy / "site/SECURITY.html").read_text(encoding="utf-8")
