"""Which comparison holds on which object: every score at the same poses, with intervals and false alarms.

    python -m bench.measure.scores data/LEGO-3D/01Gorilla data/LEGO-3D/02Unicorn --work /tmp/scores

The field is trained once and poses are searched once for an object; only calibration and comparison are repeated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.measure.command import add_run_options, object_options, run_options, run_script
from bench.measure.main_table import with_interval
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from scoring.registry import SCORES
from utils.config import Parser
from utils.errors import exit_code_of
from utils.text import format_decimal

BASELINE = "plain"
DEFAULT = [BASELINE, "calibrated"]
Results = dict[str, dict[str, Any]]  # results.json by score


def main(argv: list[str]) -> int:
    """Measure the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="object folders in the MAD layout")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; what is trained there is used")
    parser.add_argument(
        "--scores", nargs="+", choices=SCORES.names, default=["plain", "calibrated"], help="in this order"
    )
    add_run_options(parser)
    add_page_options(parser, "scores")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    options = run_options(args)
    found: dict[str, Results] = {}
    for folder in args.objects:
        found[folder.resolve().name] = measure_object(folder, args.scores, args.work, options)
        write_section(args.page, args.section, scores_section(found, args.scores))  # now: the next may fail
    print(f"Table: {args.page}")
    return 0


def measure_object(folder: Path, scores: Sequence[str], work: Path, options: Sequence[str]) -> Results:
    """Train an object unless it is, and test it with each score at the poses that the first found."""
    argv = [*object_options(folder, work), *options]
    results = {}
    for number, score in enumerate(scores):
        run_script(["anomaly_nerf_lego.py", *argv, "--score", score])
        run_script(["auroc_test.py", *argv, "--score", score, "--rescore" if number else "--overwrite"])
        path = work / "output" / folder.resolve().name / "results.json"
        results[score] = json.loads(path.read_text(encoding="utf-8"))
    return results


def scores_section(found: dict[str, Results], scores: Sequence[str]) -> str:
    """Return the section's Markdown: tables with a row for each object and a column for each score."""
    first = next(iter(found.values()))[scores[0]]
    where = describe_measurement(first["environment"], first["config"], "", varied=["score"])
    tables = [
        f"### {title}\n\n{markdown_table(['object', *scores], rows_of(found, scores, name))}"
        for title, name in (
            ("Image AUROC", "image_auroc"),
            ("Share of good queries above the threshold", "fpr"),
            ("Share of defective queries above it", "recall"),
            ("Pixel AUROC", "pixel_auroc"),
            ("AUPRO", "aupro"),
        )
    ]
    worse = [
        f"{score} on {name}"
        for name, results in found.items()
        for score in scores
        if BASELINE in results and results[score]["image_auroc"] < results[BASELINE]["image_auroc"]
    ]
    remark = f"Below the plain difference: {', '.join(worse) or 'none'}."
    remark += "".join(f" {text}" for text in {one["remark"] for each in found.values() for one in each.values()} - {""})
    head = f"## Scores\n\n`python -m bench.measure.scores` on {', '.join(found)}: {where}"
    return "\n\n".join([head, *tables, f"Intervals are 95 %, by bootstrap over the queries. {remark}"])


def rows_of(found: dict[str, Results], scores: Sequence[str], name: str) -> list[list[str]]:
    """Return the rows of a table, the last with the means over the objects."""
    interval = f"{name}_ci" in next(iter(found.values()))[scores[0]]
    rows = [
        [
            label,
            *(with_interval(one[score], name) if interval else format_decimal(one[score][name], 4) for score in scores),
        ]
        for label, one in found.items()
    ]
    means = [sum(one[score][name] for one in found.values()) / len(found) for score in scores]
    return [*rows, ["mean", *(format_decimal(mean, 4) for mean in means)]]


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
