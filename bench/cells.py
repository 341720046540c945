"""A cell of the benchmark: one method on one object with one seed, and its folder on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.results import ObjectReport, read_results
from utils.checkpoint import write_text
from utils.errors import InputError

VERSION = 1  # raise it when a cell's result changes for the same pictures and settings
RESULTS, FAILURE = "results.json", "failure.json"


@dataclass(frozen=True)
class Protocol:
    """What is the same for all methods of a benchmark."""

    data_dir: str = "data/LEGO-3D"  # folder that holds the objects' folders
    output_dir: str = "output/benchmark"  # folder that the cells lie in, shared by all machines
    image_size: int = 400  # longer side in pixels to which larger pictures are averaged down
    background: str = "white"  # "white" or "black": behind transparent pictures
    held_out_every: int = 8  # every n-th view is kept from training: its scores set the threshold
    false_positive_rate: float = 0.05  # share of normal views that the threshold may call defective
    fast: bool = False  # the methods' fast presets
    device: str = "auto"  # "auto", "cpu" or "cuda"
    weights_dir: str = ""  # folder in which pretrained weights are looked for first
    random_weights: bool = False  # random weights in place of pretrained ones; every table says so
    quiet: bool = False  # no bars

    @property
    def background_rgb(self) -> tuple[float, float, float]:
        """The background's RGB in [0, 1]."""
        return (1.0, 1.0, 1.0) if self.background == "white" else (0.0, 0.0, 0.0)

    def of_result(self) -> dict[str, Any]:
        """The settings that a result depends on."""
        apart = {"data_dir", "output_dir", "device", "weights_dir", "quiet"}
        return {key: value for key, value in asdict(self).items() if key not in apart}


@dataclass(frozen=True)
class Cell:
    """One method on one object with one seed; small, so that it can be sent to another machine."""

    object_name: str
    method: str  # as the registry or the command line names it
    seed: int
    protocol: Protocol
    changes: tuple[tuple[str, Any], ...] = ()  # settings of the method that differ from its preset

    @property
    def shown_method(self) -> str:
        """The method's name in tables and folders."""
        return self.method.rpartition(":")[2]

    @property
    def object_dir(self) -> Path:
        """The object's pictures."""
        return Path(self.protocol.data_dir) / self.object_name

    @property
    def folder(self) -> Path:
        """Where the cell's files lie."""
        return Path(self.protocol.output_dir) / self.object_name / self.shown_method / f"seed{self.seed}"

    @property
    def name(self) -> str:
        """The cell's name in messages."""
        return f"{self.object_name}/{self.shown_method}/seed{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What is known of a cell: its report, or why there is none."""

    cell: Cell
    report: ObjectReport | None = None
    failure: str = ""  # one sentence; empty where the cell is done, or was never tried


def read_outcome(cell: Cell) -> Outcome:
    """What lies in a cell's folder."""
    if (cell.folder / RESULTS).is_file():
        return Outcome(cell, read_results(cell.folder / RESULTS))
    path = cell.folder / FAILURE
    if not path.is_file():
        return Outcome(cell)
    try:
        return Outcome(cell, failure=str(json.loads(path.read_text(encoding="utf-8"))["failure"]))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not a whole record of a failed cell; delete it.") from None


def write_failure(cell: Cell, sentence: str) -> None:
    """Keep why a cell has no result."""
    write_text(cell.folder / FAILURE, json.dumps({"failure": sentence}) + "\n")
