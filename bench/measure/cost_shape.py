"""How time and memory grow with the views, the images' side and the queries.

    python -m bench.measure.cost_shape --work /tmp/cost

One generated toy, with the most views and the largest side, serves for all: fewer views are chosen out of it,
smaller images are averaged down by the program itself, more queries are the same images under more names.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.command import Cost, add_run_options, megabytes, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.synthetic.viewpoints import spread_views
from utils.config import Parser
from utils.errors import exit_code_of

DISTINCT = 3  # different queries of each kind
KINDS = ("good", "Burrs", "Missing", "Stains")
TITLES = ("Views", "Side of the images, in pixels", "Queries")


@dataclass(frozen=True)
class CostCase:
    """One point at which the cost is measured."""

    views: int
    side: int  # pixels
    queries: int

    @property
    def name(self) -> str:
        """The name of the object's folder."""
        return f"views{self.views}_side{self.side}_queries{self.queries}"


@dataclass(frozen=True)
class CostPoint:
    """What a case cost."""

    case: CostCase
    training: Cost
    testing: Cost
    results: dict[str, Any]  # results.json


def main(argv: list[str]) -> int:
    """Measure all cases; return the exit code."""
    args = cost_parser().parse_args(argv)
    refuse_dirty_tree(args)
    options = run_options(args)
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        sample = make_sample(args, work)
        points: dict[CostCase, CostPoint] = {}
        for case in [case for sweep in sweeps(args) for case in sweep]:
            if case not in points:
                points[case] = measure_case(case, sample, work, options)
    tables = [[points[case] for case in sweep] for sweep in sweeps(args)]
    results = tables[0][0].results
    where = describe_measurement(results["environment"], results["config"], results["remark"], varied=["image_size"])
    write_section(args.page, args.section, cost_section(args.toy, tables, where))
    print(f"Table: {args.page}")
    return 0


def cost_parser() -> Parser:
    """Return the command line."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("--toy", default="locomotive", help="toy that the generator makes")
    parser.add_argument("--views", type=int, nargs="+", default=[50, 100, 210], help="numbers of views")
    parser.add_argument("--sides", type=int, nargs="+", default=[200, 400, 800], help="sides of the images in pixels")
    parser.add_argument("--queries", type=int, nargs="+", default=[10, 100, 500], help="numbers of queries")
    parser.add_argument("--base_views", type=int, default=100, help="views where something else is varied")
    parser.add_argument("--base_side", type=int, default=400, help="side where something else is varied")
    parser.add_argument("--work", type=Path, help="keep images and checkpoints in this folder; else they are deleted")
    add_run_options(parser)
    parser.add_argument("--workers", type=int, default=2, help="processes that render the toy")
    add_page_options(parser, "cost")
    return parser


def sweeps(args: argparse.Namespace) -> list[list[CostCase]]:
    """Return the cases of each table: views, sides and queries vary in turn."""
    few = min(args.queries)
    return [
        [CostCase(views, args.base_side, few) for views in args.views],
        [CostCase(args.base_views, side, few) for side in args.sides],
        [CostCase(args.base_views, args.base_side, queries) for queries in args.queries],
    ]


def make_sample(args: argparse.Namespace, work: Path) -> Path:
    """Make the toy with the most views and the largest side; return its folder."""
    folder = work.resolve() / "sample"
    views, side = max(*args.views, args.base_views), max(*args.sides, args.base_side)
    settings = {"toy": args.toy, "out": folder, "views": views, "image_size": side, "queries": DISTINCT}
    options = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    run_script(
        ["-m", "data", "generate", *options, "--workers", str(args.workers), *(["--quiet"] if args.quiet else [])]
    )
    return folder


def measure_case(case: CostCase, sample: Path, work: Path, options: Sequence[str]) -> CostPoint:
    """Train and test one case from the start."""
    folder = work / "data" / case.name
    lay_out(case, sample, folder)
    argv = [*object_options(folder, work), *options, "--image_size", str(case.side), "--overwrite"]
    training = run_script(["anomaly_nerf_lego.py", *argv])
    testing = run_script(["auroc_test.py", *argv])
    results = json.loads((work / "output" / case.name / "results.json").read_text(encoding="utf-8"))
    return CostPoint(case, training, testing, results)


def lay_out(case: CostCase, sample: Path, folder: Path) -> None:
    """Write an object with as many of the sample's views, and its queries under as many names, as ``case`` says."""
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


def cost_section(toy: str, tables: Sequence[Sequence[CostPoint]], where: str) -> str:
    """Return the section's Markdown: a table for each sweep."""
    head = ["views", "side", "queries", "training", "memory", "PSNR", "test", "query median", "p90", "memory"]
    parts = []
    for title, varied, points in zip(TITLES, ("views", "side", "queries"), tables):
        rows = [*(point_row(point) for point in points), exponent_row(points, varied)]
        parts.append(f"### {title}\n\n{markdown_table(head, rows)}")
    explained = "Last rows: the power of what is varied with which a cost grows, by least squares of logarithms."
    where = f"`python -m bench.measure.cost_shape`, toy {toy}: {where}"
    return "\n\n".join(["## Shape of the cost", where, *parts, explained])


def exponent_row(points: Sequence[CostPoint], varied: str) -> list[str]:
    """Return the row with the exponents at which costs grow with the field ``varied`` of the cases."""
    sizes = [getattr(point.case, varied) for point in points]
    costs: dict[str, list[float]] = {
        "training": [point.training.seconds for point in points],
        "training memory": [point.training.peak_bytes or math.nan for point in points],
        "test": [point.testing.seconds for point in points],
        "median": [point.results["seconds"]["query_median"] for point in points],
        "p90": [point.results["seconds"]["query_p90"] for point in points],
        "test memory": [point.testing.peak_bytes or math.nan for point in points],
    }
    powers = {name: f"{growth_exponent(sizes, values):.2f}" for name, values in costs.items()}
    training, memory, *test = powers.values()
    return ["exponent", "", "", training, memory, "", *test]


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of log(cost) over log(size); not a number where the size does not vary.

    >>> round(growth_exponent([1, 2, 4], [3.0, 12.0, 48.0]), 3)
    2.0
    """
    if len(set(sizes)) < 2:
        return math.nan
    return statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs]).slope


def point_row(point: CostPoint) -> list[str]:
    """Return a row of a table: times are those of whole commands, memory is the peak of a command."""
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
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
