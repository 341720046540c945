"""How time and memory grow with the views, the pictures' side and the queries: a section of ``RESULTS.md``.

    python bench/measure/cost_shape.py --work /tmp/cost

One generated toy, made with the most views and the largest side, serves for all: fewer views are chosen out of it,
smaller pictures are averaged down by the program itself, more queries are the same pictures under more names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.command import Cost, megabytes, places, run_script
from bench.measure.results_page import PAGE, circumstances, markdown_table, write_section
from data.synthetic.viewpoints import spread_views

DISTINCT = 3  # different queries of each kind
KINDS = ("good", "Burrs", "Missing", "Stains")


@dataclass(frozen=True)
class Case:
    """One point at which the cost is measured."""

    views: int
    side: int  # pixels
    queries: int

    @property
    def name(self) -> str:
        """The name of the object's folder."""
        return f"views{self.views}_side{self.side}_queries{self.queries}"


@dataclass(frozen=True)
class Point:
    """What a case cost."""

    case: Case
    training: Cost
    testing: Cost
    results: dict[str, Any]  # results.json


def main(arguments: list[str]) -> int:
    """Measure all cases; returns the exit code."""
    own = parsed(arguments)
    page = own.page or PAGE
    options = ["--device", own.device, *(["--quiet"] if own.quiet else [])]
    options += ["--config", str(own.config.resolve())] if own.config else []
    with tempfile.TemporaryDirectory() as temporary:
        work = own.work or Path(temporary)
        sample = make_sample(own, work)
        points: dict[Case, Point] = {}
        for case in [case for sweep in sweeps(own) for case in sweep]:
            if case not in points:
                points[case] = measure(case, sample, work, options)
    tables = [[points[case] for case in sweep] for sweep in sweeps(own)]
    results = tables[0][0].results
    where = circumstances(results["environment"], results["config"], results["remark"], varied=["image_size"])
    write_section(page, "cost", section(own.toy, tables, where))
    print(f"Table: {page}")
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--toy", default="locomotive", help="toy that the generator makes")
    parser.add_argument("--views", type=int, nargs="+", default=[50, 100, 210], help="numbers of views")
    parser.add_argument("--sides", type=int, nargs="+", default=[200, 400, 800], help="sides of the pictures in pixels")
    parser.add_argument("--queries", type=int, nargs="+", default=[10, 100, 500], help="numbers of queries")
    parser.add_argument("--base_views", type=int, default=100, help="views where something else is varied")
    parser.add_argument("--base_side", type=int, default=400, help="side where something else is varied")
    parser.add_argument("--work", type=Path, help="keep pictures and checkpoints in this folder; else they are deleted")
    parser.add_argument("--config", type=Path, help="settings that differ from the defaults")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="as for the scripts")
    parser.add_argument("--workers", type=int, default=2, help="processes that make the toy's pictures")
    parser.add_argument("--page", type=Path, help="page to write (default: docs/RESULTS.md)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


def sweeps(own: argparse.Namespace) -> list[list[Case]]:
    """The cases of each table: views, sides and queries vary in turn."""
    few = min(own.queries)
    return [
        [Case(views, own.base_side, few) for views in own.views],
        [Case(own.base_views, side, few) for side in own.sides],
        [Case(own.base_views, own.base_side, queries) for queries in own.queries],
    ]


def make_sample(own: argparse.Namespace, work: Path) -> Path:
    """The toy's folder with the most views and the largest side."""
    folder = work.resolve() / "sample"
    views, side = max(*own.views, own.base_views), max(*own.sides, own.base_side)
    settings = {"toy": own.toy, "out": folder, "views": views, "image_size": side, "queries": DISTINCT}
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    run_script(["-m", "data", "generate", *words, "--workers", str(own.workers), *(["--quiet"] if own.quiet else [])])
    return folder


def measure(case: Case, sample: Path, work: Path, options: Sequence[str]) -> Point:
    """Train and test one case, everything from the start."""
    folder = work / "data" / case.name
    lay_out(case, sample, folder)
    words = [*places(folder, work), *options, "--image_size", str(case.side), "--overwrite"]
    training = run_script(["anomaly_nerf_lego.py", *words])
    testing = run_script(["auroc_test.py", *words])
    results = json.loads((work / "output" / case.name / "results.json").read_text(encoding="utf-8"))
    return Point(case, training, testing, results)


def lay_out(case: Case, sample: Path, folder: Path) -> None:
    """An object's folder with as many of the sample's views, and its queries under as many names, as ``case`` says."""
    shutil.rmtree(folder, ignore_errors=True)
    content = json.loads((sample / "transforms.json").read_text(encoding="utf-8"))
    there = spread_views(len(content["frames"]))
    frames = [content["frames"][there.index(number)] for number in spread_views(case.views)]
    copies = [(frame["file_path"], frame["file_path"]) for frame in frames]
    poses, truth = {}, json.loads((sample / "poses_truth.json").read_text(encoding="utf-8"))
    for index in range(case.queries):
        kind, number = KINDS[index % len(KINDS)], index // len(KINDS)
        source = number % DISTINCT
        copies.append((f"test/{kind}/{source}.png", f"test/{kind}/{number}.png"))
        if kind != "good":
            copies.append((f"ground_truth/{kind}/{source}_mask.png", f"ground_truth/{kind}/{number}_mask.png"))
        poses[f"{kind}/{number}"] = truth[f"{kind}/{source}"]
    for source, target in copies:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample / source, folder / target)
    (folder / "transforms.json").write_text(json.dumps({**content, "frames": frames}), encoding="utf-8")
    (folder / "poses_truth.json").write_text(json.dumps(poses), encoding="utf-8")


def section(toy: str, tables: Sequence[Sequence[Point]], where: str) -> str:
    """The section's Markdown: a table for each sweep."""
    head = ["views", "side", "queries", "training", "memory", "PSNR", "test", "query median", "p90", "memory"]
    parts = [
        f"### {title}\n\n{markdown_table(head, [row(point) for point in points])}"
        for title, points in zip(("Views", "Side of the pictures, in pixels", "Queries"), tables)
    ]
    return f"## Shape of the cost\n\n`python bench/measure/cost_shape.py`, toy {toy}: {where}\n\n" + "\n\n".join(parts)


def row(point: Point) -> list[str]:
    """A line of a table: times are those of whole commands, memory is the peak of a command."""
    case, seconds = point.case, point.results["seconds"]
    return [
        *(str(value) for value in (case.views, case.side, case.queries)),
        f"{point.training.seconds:.1f} s",
        megabytes(point.training.peak_bytes),
        f"{point.results['psnr']:.1f} dB",
        f"{point.testing.seconds:.1f} s",
        f"{seconds['query_median']:.3f} s",
        f"{seconds['query_p90']:.3f} s",
        megabytes(point.testing.peak_bytes),
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
