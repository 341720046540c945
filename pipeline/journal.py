"""A resumable test run: its results stay in a side folder and replace the previous run's when it completes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from evaluation.results import QueryResult, anomaly_map_path, query_from_json, query_to_json
from utils.images import read_map, write_map


@dataclass
class Journal:
    """Results and anomaly maps of a run that can be interrupted and resumed."""

    folder: Path
    done: dict[str, QueryResult] = field(default_factory=dict)  # by query name

    @staticmethod
    def open(result_dir: Path, inputs: str, afresh: bool = False) -> Journal:
        """Open the journal in ``result_dir``, or begin one.

        Args:
            result_dir: the object's output folder.
            inputs: hash of all that the test depends on; a journal of other inputs is deleted.
            afresh: delete it in any case.
        """
        folder = result_dir / ".unfinished"
        mark = folder / "inputs.txt"
        if afresh or not mark.is_file() or _text_of(mark) != inputs:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(inputs, encoding="utf-8")
        journal = Journal(folder)
        if journal._file.is_file():
            for line in _text_of(journal._file).splitlines():
                result = _read_line(line)
                if result is not None and anomaly_map_path(folder, result.name).is_file():
                    journal.done[result.name] = result
        return journal

    @property
    def _file(self) -> Path:
        return self.folder / "detections.jsonl"

    def add(self, result: QueryResult, anomaly_map: Tensor) -> None:
        """Record a finished query and its map."""
        write_map(anomaly_map_path(self.folder, result.name), anomaly_map)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(query_to_json(result)) + "\n")
        self.done[result.name] = result

    def anomaly_map(self, name: str) -> Tensor:
        """Read the recorded map (height, width) of a finished query."""
        return read_map(anomaly_map_path(self.folder, name))

    def publish(self, result_dir: Path) -> None:
        """Replace the previous run's maps by this one's, and delete the journal."""
        shutil.rmtree(result_dir / "anomaly_maps", ignore_errors=True)
        (self.folder / "anomaly_maps").rename(result_dir / "anomaly_maps")
        shutil.rmtree(self.folder, ignore_errors=True)


def _text_of(path: Path) -> str:
    """Read a file whose end an interruption may have spoilt."""
    return path.read_text(encoding="utf-8", errors="replace")


def _read_line(line: str) -> QueryResult | None:
    """Read one recorded result; None for a line that an interruption cut short."""
    try:
        return query_from_json(json.loads(line))
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError):
        return None
