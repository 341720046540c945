"""The soak run's figures: a slope with its interval, and the section."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.measure.soak import BLOCKS, Soak, form, main, slope_of, soak_section
from utils.errors import InputError


def test_a_line_has_its_slope_and_no_doubt() -> None:
    places = np.linspace(0, 7, 95)
    slope = slope_of(places, 3.0 - 2.0 * places)
    assert slope.value == pytest.approx(-2.0) and slope.low == pytest.approx(-2.0) and slope.high == pytest.approx(-2.0)


def test_the_interval_holds_the_slope_as_often_as_it_says() -> None:
    random, places, hits = np.random.default_rng(0), np.linspace(0, 1, 200), 0
    for _ in range(400):
        slope = slope_of(places, 5.0 + 1.5 * places + random.normal(size=200))
        hits += slope.low <= 1.5 <= slope.high
    assert 0.91 < hits / 400 < 0.98


def test_too_few_values_have_no_slope() -> None:
    assert slope_of(range(2 * BLOCKS - 1), range(2 * BLOCKS - 1)) is None
    assert slope_of(range(30), [float("nan")] * 25 + [1.0] * 5) is None


def test_the_section_says_what_was_measured() -> None:
    found = Soak(codes=Counter({"200": 30, "503": 1, "0": 1}), lasted=60.0)
    found.seconds = {"photo": [0.1] * 98 + [2.0] * 2, "part": []}
    found.memory = [(second, second, 5e8 + 1e6 * second) for second in range(60)]
    args = argparse.Namespace(objects=[Path("pump")], clients=3)
    text = soak_section(found, args, "somewhere")
    assert "on pump, 3 clients, 1.0 minutes: somewhere" in text and "200: 30, 503: 1, none: 1" in text
    assert "0.10 / 2.00 (100 answers)" in text and "a part" not in text.split("Each client")[0]
    assert "512, 559, 559" in text and "3600.00 (3600.00 to 3600.00)" in text and "1000.00 (1000.00 to 1000.00)" in text
    found.memory = []
    assert "not known on this system" in soak_section(found, args, "")


def test_forms_carry_files_whole(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\r\n--\0")
    kind, body = form([("photo", tmp_path / "a.png")], "pump")
    boundary = kind.split("boundary=")[1].encode()
    assert body.count(boundary) == 3 and b'filename="a.png"\r\n\r\n\r\n--\0\r\n' in body and b"\r\n\r\npump\r\n" in body


def test_objects_need_test_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no test images"):
        main([str(tmp_path), "--dirty", "--page", str(tmp_path / "page.md")])
    with pytest.raises(InputError, match="--clients"):
        main([str(tmp_path), "--clients", "0", "--dirty"])
