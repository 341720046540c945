"""A run of the benchmark, one method on one object with one seed, and its folder on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.config import BenchmarkConfig
from evaluation.results import ObjectReport, read_results
from utils.checkpoint import write_text
from utils.errors import InputError

VERSION = 1  # raise it when a run's result changes for the same images and settings
RESULTS, FAILURE, LOCK = "results.json", "failure.json", "run.lock"


@dataclass(frozen=True)
class Run:
    """One method on one object with one seed; small, so that it can be sent to another process."""

    object_name: str
    method: str  # as the registry or the command line names it
    seed: int
    config: BenchmarkConfig
    overrides: tuple[tuple[str, Any], ...] = ()  # settings of the method that differ from its preset
    label: str = ""  # name in tables and folders; empty: the method's

    @property
    def display_name(self) -> str:
        """The name in tables and folders."""
        return self.label or self.method.rpartition(":")[2]

    @property
    def object_dir(self) -> Path:
        """The folder of the object's images."""
        return Path(self.config.data_dir) / self.object_name

    @property
    def folder(self) -> Path:
        """The folder of the run's files."""
        return Path(self.config.output_dir) / self.object_name / self.display_name / f"seed{self.seed}"

    @property
    def name(self) -> str:
        """The run's name in messages."""
        return f"{self.object_name}/{self.display_name}/seed{self.seed}"


@dataclass(frozen=True)
class RunResult:
    """The report of a run, or why there is none."""

    run: Run
    report: ObjectReport | None = None
    failure: str = ""  # one sentence; empty where the run is done or was never tried

    @property
    def pending(self) -> bool:
        """Whether the run is neither done nor failed: never tried, or another process is at it."""
        return self.report is None and not self.failure


def lock_of(run: Run) -> FileLock:
    """Return the lock of a run's folder: entering it raises ``filelock.Timeout`` where another process holds it."""
    run.folder.mkdir(parents=True, exist_ok=True)
    return FileLock(run.folder / LOCK, timeout=0)


def read_result(run: Run) -> RunResult:
    """Read what a run's folder holds."""
    if (run.folder / RESULTS).is_file():
        return RunResult(run, read_results(run.folder / RESULTS))
    path = run.folder / FAILURE
    if not path.is_file():
        return RunResult(run)
    try:
        return RunResult(run, failure=str(json.loads(path.read_text(encoding="utf-8"))["failure"]))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged, expected the record of a failed run; delete it.") from None


def record_failure(run: Run, sentence: str) -> RunResult:
    """Write why a run has no result into its folder."""
    write_text(run.folder / FAILURE, json.dumps({"failure": sentence}) + "\n")
    return RunResult(run, failure=sentence)
