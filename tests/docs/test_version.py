"""The version stands in one place; what must repeat it says the same."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import read_page
from utils.version import __version__


def test_citation_has_the_version() -> None:
    assert f"\nversion: {__version__}\n" in read_page(Path("CITATION.cff"))


def test_changelog_has_the_version_or_announces_it() -> None:
    changelog = read_page(Path("CHANGELOG.md"))
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, flags=re.MULTILINE)
    assert released and (__version__ in released or f"next version is {__version__}." in changelog)
