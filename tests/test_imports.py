"""The import graph: siblings know ``utils`` only, ``pipeline`` composes them, doors stand on top, nothing circles."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".venv", "tests", "build"}
METHOD = {"data", "nerf", "inerf", "retrieval", "scoring"}
MAY_IMPORT = {
    "utils": set(),
    "nerf": {"utils"},
    "inerf": {"utils"},
    "retrieval": {"utils"},
    "scoring": {"utils"},
    "data": {"report", "utils"},  # the doctor draws its page
    "evaluation": {"utils"},
    "report": {"evaluation", "utils"},
    "baselines": {"data", "scoring", "utils"},
    "pipeline": METHOD | {"evaluation", "report", "utils"},
    "bench": METHOD | {"baselines", "pipeline", "evaluation", "report", "utils"},
    "service": {"data", "evaluation", "pipeline", "report", "utils"},
    "docs": {"omniposead", "pipeline", "utils"},
    "examples": {"omniposead", "baselines", "utils"},
    "omniposead": {"pipeline", "scoring", "utils"},
    "anomaly_nerf_lego": {"pipeline", "utils"},
    "auroc_test": {"pipeline", "utils"},
    "detect": {"pipeline", "utils"},
    "benchmark": {"bench", "utils"},
    "serve": {"service", "utils"},
}
FILES = sorted(
    path.relative_to(ROOT)
    for path in ROOT.rglob("*.py")
    if not SKIPPED & set(path.relative_to(ROOT).parts) and not path.relative_to(ROOT).parts[0].startswith(".")
)
MODULES = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def room_of(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else path.stem


@functools.cache
def imported_modules(path: Path, nested: bool = True) -> frozenset[str]:
    """The program's modules that a file imports; without ``nested`` only those that are imported with it."""
    tree = ast.parse((ROOT / path).read_text())
    found = set()
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return frozenset(name for name in found if name in MODULES or name.split(".")[0] in MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_rooms_import_only_what_they_may(path: Path) -> None:
    rooms = {name.split(".")[0] for name in imported_modules(path)}
    assert rooms <= MAY_IMPORT[room_of(path)] | {room_of(path)}


def test_nothing_circles_and_no_type_checking_block_hides_it() -> None:
    graph = {name: imported_modules(path, nested=False) & MODULES.keys() - {name} for name, path in MODULES.items()}
    while leaves := {name for name, imports in graph.items() if not imports & graph.keys()}:
        graph = {name: imports for name, imports in graph.items() if name not in leaves}
    assert not graph, f"circles among {sorted(graph)}"
    assert [str(path) for path in FILES if "TYPE_CHECKING" in (ROOT / path).read_text()] == []


def test_ground_truth_is_read_for_figures_and_pictures_only() -> None:
    readers = {"read_true_poses", "read_mask", "read_specimen_truths"}
    users = set()
    for path in FILES:
        for function in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(function, ast.FunctionDef):
                names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
                users |= {f"{path}:{function.name}" for reader in readers if reader in names}
    assert users == {
        "bench/execute.py:evaluate_run",
        "bench/gallery.py:query_images",
        "bench/measure/clutter.py:measure_object",
        "bench/measure/parts.py:measure_object",
        "bench/measure/worst_errors.py:error_rows",
        "data/import_queries.py:read_truth",  # which copies it
        "data/mad.py:check_ground_truth",
        "data/verify.py:_mask_fault",
        "pipeline/testing.py:measure",
        "pipeline/testing.py:query_images",
    }


def test_true_poses_are_opened_in_one_place() -> None:
    places = set()
    for path in FILES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Constant) and node.value == "poses_truth.json" and path.parts[1] != "synthetic":
                places.add(str(path))
    assert places == {"data/mad.py", "bench/measure/cost_shape.py"}  # which copies a sample
