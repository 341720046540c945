"""Sections of the results page."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.results_page import HEAD, circumstances, write_section
from pipeline.config import Config
from utils.config import values_of
from utils.errors import InputError


def test_sections_are_replaced_and_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    write_section(page, "one", "first body\n")
    write_section(page, "two", "second \\1 body")
    before = page.read_text() + "\nwritten by hand\n"
    page.write_text(before)
    write_section(page, "one", "another body")
    assert page.read_text() == before.replace("first body", "another body")
    assert page.read_text().startswith(HEAD) and "second \\1 body" in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize("spoilt", ["<!-- begin one -->\n", "<!-- end one -->\n<!-- begin one -->\n"])
def test_a_spoilt_page_is_told_and_kept(tmp_path: Path, spoilt: str) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text(spoilt)
    with pytest.raises(InputError, match="one pair of the marks"):
        write_section(page, "one", "body")
    assert page.read_text() == spoilt


def test_circumstances_tell_machine_commit_date_and_settings() -> None:
    environment = {
        "date": "2026-01-02T03:04:05Z", "commit": "abc123", "device": "cpu", "cpu": "A chip", "cores": 2,
        "python": "3.11.1", "torch": "2.14.1",
    }  # fmt: skip
    settings = values_of(Config(object_name="pump", data_dir="somewhere", seed=7))
    said = circumstances(environment, settings, "")
    assert all(word in said for word in ("2026-01-02", "abc123", "A chip", "2 cores", "seed 7", "default settings"))
    assert "somewhere" not in said and "but" not in said
    settings = {**settings, "field_steps": 10, "image_size": 96}
    said = circumstances({**environment, "device": "A GPU"}, settings, "Beware.", varied=["image_size"])
    assert "default settings but `field_steps = 10`, seed" in said and "A GPU, A chip" in said
    assert said.endswith("Beware.")
