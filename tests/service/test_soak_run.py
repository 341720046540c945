"""A soak run, as short as it can be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.measure import soak


def test_a_short_run_writes_its_section(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "run_script", lambda argv: None)  # it is trained
    monkeypatch.setattr(soak, "PART_EVERY", 3)
    shutil.copytree(world / "ckpts", tmp_path / "work/ckpts")
    options = ["--requests", "12", "--clients", "2", "--device", "cpu", "--dirty", "--work", str(tmp_path / "work")]
    assert soak.main([str(world / "balls"), *options, "--page", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text()
    assert "## Soak" in text and "resident memory" in text and "part of 3 photos" in text
    assert int(text.split("200: ")[1].split()[0].strip(" |")) >= 12 and "503" not in text and "500" not in text
