"""A test under way: what is done of it lies beside the last finished test, until it takes that one's place."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from evaluation.results import QueryResult, anomaly_map_path
from utils.images import read_map, write_map


@dataclass
class Journal:
    """Detections and anomaly maps of a test that may be interrupted and gone on with."""

    folder: Path
    done: dict[str, QueryResult] = field(default_factory=dict)  # by query name

    @staticmethod
    def open(result_dir: Path, inputs: str, afresh: bool = False) -> Journal:
        """The journal in ``result_dir``.

        Args:
            result_dir: the object's output folder.
            inputs: hash of all that the test depends on; a journal of other inputs is dropped.
            afresh: drop it in any case.
        """
        folder = result_dir / ".unfinished"
        mark = folder / "inputs.txt"
        if afresh or not mark.is_file() or mark.read_text() != inputs:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(inputs)
        journal = Journal(folder)
        if journal._file.is_file():
            for line in journal._file.read_text().splitlines():
                detection = _read_line(line)
                if detection is not None and anomaly_map_path(folder, detection.name).is_file():
                    journal.done[detection.name] = detection
        return journal

    @property
    def _file(self) -> Path:
        return self.folder / "detections.jsonl"

    def add(self, detection: QueryResult, anomaly_map: Tensor) -> None:
        """Note a finished query and keep its map."""
        write_map(anomaly_map_path(self.folder, detection.name), anomaly_map)
        pose = detection.camera_to_world
        entry = {**asdict(detection), "camera_to_world": None if pose is None else pose.tolist()}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self.done[detection.name] = detection

    def anomaly_map(self, name: str) -> Tensor:
        """The kept map (height, width) of a finished query."""
        return read_map(anomaly_map_path(self.folder, name))

    def publish(self, result_dir: Path) -> None:
        """Put the maps in the place of those of the last test, and end the journal."""
        shutil.rmtree(result_dir / "anomaly_maps", ignore_errors=True)
        (self.folder / "anomaly_maps").rename(result_dir / "anomaly_maps")
        shutil.rmtree(self.folder, ignore_errors=True)


def _read_line(line: str) -> QueryResult | None:
    """A noted detection; None for a line that an interruption cut short."""
    try:
        entry = json.loads(line)
        pose = entry.pop("camera_to_world")
        return QueryResult(**entry, camera_to_world=None if pose is None else torch.tensor(pose))
    except (ValueError, TypeError, KeyError):
        return None
