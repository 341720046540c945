"""The program's own scripts, run as a user runs them: seconds and peak memory of a whole command."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import InputError
from utils.text import MISSING

ROOT = Path(__file__).resolve().parents[2]
KILOBYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss in bytes


@dataclass(frozen=True)
class Cost:
    """What a command cost."""

    seconds: float  # wall clock, from start to exit
    peak_bytes: int | None  # largest resident memory of the process; None where it is not known (Windows)


def run_script(argv: Sequence[str]) -> Cost:
    """Run ``python ARGV`` in the repository's folder; its messages go to this program's stderr, its results nowhere.

    Raises:
        InputError: where it exits with another code than 0.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *argv], cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = None
    try:
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss * KILOBYTES
        else:
            process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    seconds = time.perf_counter() - start
    if process.returncode:
        raise InputError(f"{script_name(argv)} exited with code {process.returncode}; its message stands above.")
    return Cost(seconds, peak)


def script_name(argv: Sequence[str]) -> str:
    """Return what is run: the script, or the module behind ``-m``.

    >>> script_name(["-m", "data", "generate", "--list"])
    'data'
    """
    return argv[1] if argv[0] == "-m" else argv[0]


def object_options(object_dir: Path, work: Path) -> list[str]:
    """Return the options that name an object, and fresh folders under ``work`` for what is written about it."""
    folder = object_dir.resolve()
    options = {
        "--obj": folder.name,
        "--data_dir": str(folder.parent),
        "--ckpt_dir": str(work.resolve() / "ckpts"),
        "--output_dir": str(work.resolve() / "output"),
    }
    return [word for pair in options.items() for word in pair]


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are passed on to the scripts, see ``run_options``."""
    parser.add_argument("--config", type=Path, help="settings that differ from the defaults")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run_options(args: argparse.Namespace) -> list[str]:
    """Return the options of ``add_run_options`` as the scripts take them."""
    options = ["--device", args.device, *(["--quiet"] if args.quiet else [])]
    return options + (["--config", str(args.config.resolve())] if args.config else [])


def megabytes(peak_bytes: int | None) -> str:
    """Format memory in megabytes (10⁶ bytes).

    >>> megabytes(1_234_567_890), megabytes(None)
    ('1235 MB', '–')
    """
    return MISSING if peak_bytes is None else f"{peak_bytes / 1e6:.0f} MB"
