"""The page of the Python interface says what the docstrings say."""

from __future__ import annotations

import omniposead
from docs.build_api import NAMES, PAGE, api_text


def test_every_public_name_has_a_section() -> None:
    assert {*NAMES, "__version__"} == set(omniposead.__all__)


def test_api_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == api_text(), "run: python -m docs.build_api"
