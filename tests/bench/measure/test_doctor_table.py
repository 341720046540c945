"""The doctor's table: failures are injected as they are named, and the section says what was found."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.measure import doctor_table
from bench.measure.doctor_table import FAILURES, Diagnosed, doctor_section, inject, main
from data.doctor.frames import read_frame_table
from data.mad import load_views
from data.transforms_file import TransformsFile
from tests.data.test_doctor_fit import quickly  # noqa: F401 - a fixture
from tests.data.toy_views import write_toy

WHITE = (1.0, 1.0, 1.0)


def test_each_failure_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    toy = write_toy(tmp_path / "toy", views=6, size=12)
    good, images = read_frame_table(TransformsFile.read(toy)), load_views(toy, 400, WHITE).images
    for number, failure in enumerate(FAILURES):
        inject(toy, failure, tmp_path / str(number))
        bad = read_frame_table(TransformsFile.read(tmp_path / str(number)))
        np.testing.assert_allclose(bad.matrices, failure.poses(good.matrices))
        assert bad.intrinsics.focal_x == pytest.approx(failure.focal * good.intrinsics.focal_x)
        if failure.name == "mirrored images":
            assert (load_views(tmp_path / str(number), 400, WHITE).images == images.flip(2)).all()
    assert len({failure.name for failure in FAILURES}) == len(FAILURES)


def test_the_section_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_table, "FAILURES", FAILURES[:3])
    toy, page = write_toy(tmp_path / "toy"), tmp_path / "RESULTS.md"
    assert main([str(toy), "--page", str(page), "--dirty", "--quiet"]) == 0
    text = page.read_text()
    assert "3 of 3 verdicts are right" in text and re.search(r"\| injected +\| +toy \|", text)
    assert re.search(r"\| none +\| +silent", text) and re.search(r"\| OpenCV axes +\| +found, mended \(0.00 →", text)


def test_wrong_verdicts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_table, "FAILURES", FAILURES[:2])
    text = doctor_section({"a": [Diagnosed(True, "silent", 1.0), Diagnosed(False, "found nothing", 2.0)]})
    assert "1 of 2 verdicts are right" in text and re.search(r"\| world-to-camera +\| +found nothing \|", text)
