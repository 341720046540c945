"""The rooms form a star: siblings know ``utils`` only, and the scripts compose them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "utils": set(),
    "nerf": {"utils"},
    "inerf": {"utils"},
    "retrieval": {"utils"},
    "scoring": {"utils"},
    "data": {"report", "utils"},
    "baselines": {"data", "scoring", "utils"},
    "evaluation": {"utils"},
    "report": {"evaluation", "utils"},
    "pipeline": {"data", "nerf", "inerf", "retrieval", "scoring", "evaluation", "report", "utils"},
    "bench": {
        "nerf",
        "inerf",
        "retrieval",
        "baselines",
        "data",
        "scoring",
        "evaluation",
        "report",
        "pipeline",
        "utils",
    },
}
ROOMS = set(MAY_IMPORT) | {"tests", "anomaly_nerf_lego", "auroc_test", "detect", "benchmark"}
FILES = sorted(path.relative_to(ROOT) for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    names = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module if node.level == 0 and node.module else path.parts[0])
    return {name.split(".")[0] for name in names} & ROOMS


def test_there_are_files() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=str)
def test_rooms_import_only_what_they_may(path: Path) -> None:
    room = path.parts[0]
    assert imported_rooms(path) <= MAY_IMPORT[room] | {room}


def test_ground_truth_is_read_for_figures_and_pictures_only() -> None:
    readers = {"read_true_poses", "read_mask"}
    users = set()
    for path in [*FILES, Path("anomaly_nerf_lego.py"), Path("auroc_test.py"), Path("detect.py")]:
        for function in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(function, ast.FunctionDef):
                names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
                users |= {f"{path}:{function.name}" for reader in readers if reader in names}
    allowed = {f"pipeline/testing.py:{name}" for name in ("measure", "write_pages", "images_of")}
    allowed |= {"pipeline/comparator_training.py:examples_of"}
    assert users and users <= allowed | {"bench/execute.py:measure", "bench/gallery.py:query_images"}


def test_true_poses_are_opened_in_one_place() -> None:
    places = set()
    for path in FILES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Constant) and node.value == "poses_truth.json" and path.parts[1] != "synthetic":
                places.add(str(path))
    assert places == {"data/mad.py", "bench/measure/cost_shape.py"}  # which copies a sample
