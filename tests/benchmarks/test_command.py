"""Commands run for their cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.command import places, run_script
from utils.errors import InputError


def test_seconds_and_memory_are_those_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    small = run_script(["-c", "print('results')"])
    large = run_script(["-c", "import time; a = bytearray(b'x') * 300_000_000; time.sleep(0.2)"])
    assert large.seconds > 0.2 and capfd.readouterr().out == ""
    if small.peak_bytes is None or large.peak_bytes is None:
        pytest.skip("this system does not tell the memory of a process")
    assert 300e6 < large.peak_bytes < 2e9


def test_failure_is_told() -> None:
    with pytest.raises(InputError, match="ended with code 3"):
        run_script(["-c", "raise SystemExit(3)"])


def test_places_name_the_object_and_fresh_folders(tmp_path: Path) -> None:
    words = places(tmp_path / "data" / "pump", tmp_path / "work")
    assert words[words.index("--obj") + 1] == "pump"
    assert words[words.index("--data_dir") + 1] == str(tmp_path / "data")
    assert words[words.index("--ckpt_dir") + 1] == str(tmp_path / "work/ckpts")
