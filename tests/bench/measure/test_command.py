"""Commands run for their cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure.command import ROOT, object_options, run_script
from utils.errors import InputError


def test_seconds_and_memory_are_those_of_the_command() -> None:
    work = "import time; a = bytearray(b'x') * 300_000_000; time.sleep(0.2)"
    own = f"from bench.measure.command import run_script; print(run_script(['-c', {work!r}]))"
    # from a small process: Linux counts what the process that starts a command had itself
    answer = subprocess.run([sys.executable, "-c", own], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    seconds, peak = (text.split("=")[1] for text in answer.strip().strip(")").split(", "))
    assert float(seconds.removeprefix("Cost(")) > 0.2
    if peak == "None":
        pytest.skip("this system does not tell the memory of a process")
    assert 300e6 < int(peak) < 600e6


def test_results_of_the_command_go_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    run_script(["-c", "print('results')"])
    assert capfd.readouterr().out == ""


def test_failure_is_an_error() -> None:
    with pytest.raises(InputError, match="exited with code 3"):
        run_script(["-c", "raise SystemExit(3)"])


def test_options_name_the_object_and_fresh_folders(tmp_path: Path) -> None:
    options = object_options(tmp_path / "data" / "pump", tmp_path / "work")
    assert options[options.index("--obj") + 1] == "pump"
    assert options[options.index("--data_dir") + 1] == str(tmp_path / "data")
    assert options[options.index("--ckpt_dir") + 1] == str(tmp_path / "work/ckpts")
