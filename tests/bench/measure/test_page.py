"""Sections of the results page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.measure import published_correlation, results_page
from bench.measure.results_page import HEAD, describe_measurement, write_section
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


@pytest.mark.parametrize("damaged", ["<!-- begin one -->\n", "<!-- end one -->\n<!-- begin one -->\n"])
def test_a_damaged_page_is_an_error_and_kept(tmp_path: Path, damaged: str) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text(damaged)
    with pytest.raises(InputError, match="one pair of the marks"):
        write_section(page, "one", "body")
    assert page.read_text() == damaged


def test_circumstances_name_machine_commit_date_and_settings() -> None:
    environment = {
        "date": "2026-01-02T03:04:05Z", "commit": "abc123", "device": "cpu", "cpu": "A chip", "cores": 2,
        "python": "3.11.1", "torch": "2.14.1",
    }  # fmt: skip
    settings = values_of(Config(object_name="pump", data_dir="somewhere", seed=7))
    said = describe_measurement(environment, settings, "")
    assert all(word in said for word in ("2026-01-02", "abc123", "A chip", "2 cores", "seed 7", "default settings"))
    assert "somewhere" not in said and "but" not in said
    settings = {**settings, "field_steps": 10, "image_size": 96}
    said = describe_measurement({**environment, "device": "A GPU"}, settings, "Beware.", varied=["image_size"])
    assert "default settings but `field_steps = 10`, seed" in said and "A GPU, A chip" in said
    assert said.endswith("Beware.")


def test_sections_are_not_written_from_a_dirty_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, argv = tmp_path / "RESULTS.md", ["--page", str(tmp_path / "RESULTS.md"), "--docs", str(tmp_path)]
    monkeypatch.setattr(results_page, "is_dirty", lambda: True)
    with pytest.raises(InputError, match="uncommitted changes"):
        published_correlation.main(argv)
    assert not page.exists()
    assert published_correlation.main([*argv, "--dirty"]) == 0
    text = page.read_text()
    assert "with uncommitted changes" in text and text.count("shape complexity, pixel AUROC") == 11
    assert (tmp_path / published_correlation.FIGURE).stat().st_size > 10_000


def test_a_dirty_tree_is_known_by_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_page, "ROOT", tmp_path)
    is_dirty = results_page.is_dirty.__wrapped__
    assert not is_dirty()  # no repository
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "file").write_text("one")
    assert not is_dirty()  # untracked files do not count
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    assert not is_dirty()
    (tmp_path / "file").write_text("two")
    assert is_dirty()
