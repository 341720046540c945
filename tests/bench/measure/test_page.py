"""Sections of the results page."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import profile, results_page
from bench.measure.results_page import HEAD, describe_measurement, write_section
from evaluation.results import QueryResult, write_results
from pipeline.config import Config
from tests.bench.reports import report
from utils.config import values_of
from utils.errors import InputError

ENVIRONMENT = {
    "date": "2026-01-02T03:04:05Z", "commit": "abc123", "device": "cpu", "cpu": "A chip", "cores": 2,
    "python": "3.11.1", "torch": "2.14.1",
}  # fmt: skip


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
    settings = values_of(Config(object_name="pump", data_dir="somewhere", seed=7))
    said = describe_measurement(ENVIRONMENT, settings, "")
    assert all(word in said for word in ("2026-01-02", "abc123", "A chip", "2 cores", "seed 7", "default settings"))
    assert "somewhere" not in said and "but" not in said
    settings = {**settings, "field_steps": 10, "image_size": 96}
    said = describe_measurement({**ENVIRONMENT, "device": "A GPU"}, settings, "Beware.", varied=["image_size"])
    assert "default settings but `field_steps = 10`, seed" in said and "A GPU, A chip" in said
    assert said.endswith("Beware.")


def test_sections_are_not_written_from_a_dirty_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, page = tmp_path / "results.json", tmp_path / "RESULTS.md"
    query = QueryResult("good/0", 1.0, "good", True, None, 1.0, stage_seconds={"render": 1.0})
    made = report("pump", values_of(Config(object_name="pump")), [query])
    write_results(results, replace(made, environment=ENVIRONMENT))
    monkeypatch.setattr(results_page, "is_dirty", lambda: True)
    argv = [str(results), "--page", str(page)]
    with pytest.raises(InputError, match="uncommitted changes"):
        profile.main(argv)
    assert not page.exists()
    assert profile.main([*argv, "--dirty"]) == 0
    assert "with uncommitted changes" in page.read_text()


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
