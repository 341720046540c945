"""pyproject.toml names the packages that the program imports, each in the extra of the rooms that import it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 brings it")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "prometheus_client": "prometheus-client",
}
INDIRECT = {"manifold3d", "freia", "python-multipart"}  # trimesh, anomalib and fastapi import them
SERVICE_ROOMS = {"service", "serve"}
BENCHMARK_ROOMS = {"bench", "baselines", "benchmark"}
OWN = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/*.py")}


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[]", requirement)[0].lower() for requirement in requirements}


def imported(path: Path) -> set[str]:
    """Return the distributions whose packages a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.partition(".")[0])
    return {DISTRIBUTIONS.get(name, name).lower() for name in modules - OWN - set(sys.stdlib_module_names)}


def extra_of(room: str) -> str:
    """Return the extra whose packages a room may import, besides those of every installation."""
    return "benchmark" if room in BENCHMARK_ROOMS else "serve" if room in SERVICE_ROOMS else room


def product_files() -> list[Path]:
    found = [*ROOT.glob("*.py"), *(path for room in OWN - {"tests", "docs"} for path in (ROOT / room).rglob("*.py"))]
    return [path.relative_to(ROOT) for path in found]


def test_every_package_is_named_where_it_is_needed() -> None:
    extras = {name: named(requirements) for name, requirements in PROJECT["optional-dependencies"].items()}
    base, used = named(PROJECT["dependencies"]), set[str]()
    for path in product_files():
        room = path.parts[0].removesuffix(".py")
        assert imported(path) <= base | extras.get(extra_of(room), set()), path
        used |= imported(path)
    assert base | extras["benchmark"] | extras["data"] | extras["serve"] == used | INDIRECT
