"""Which comparison holds on which object: every score at the same poses, with intervals and false alarms.

    python -m bench.measure.scores data/LEGO-3D/01Gorilla data/LEGO-3D/02Unicorn --work /tmp/scores

The field is trained once and poses are searched once for an object; only calibration and comparison are repeated.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.measure.command import add_run_options, object_options, run_options, run_script
from bench.measure.main_table import with_interval
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.measure.worst_errors import MOST, error_rows, write_worst_errors
from bench.typeset import markdown_table
from report.figure import Panel
from scoring.registry import SCORES
from utils.config import Parser
from utils.errors import InputError, exit_code_of
from utils.text import format_decimal

BASELINE = "plain"
DEFAULT = "calibrated"  # whose errors are shown
Results = dict[str, dict[str, Any]]  # results.json by score


def main(argv: list[str]) -> int:
    """Measure the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="object folders in the MAD layout")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; what is trained there is used")
    parser.add_argument("--scores", nargs="+", choices=SCORES.names, default=[BASELINE, DEFAULT], help="in this order")
    add_run_options(parser)
    add_page_options(parser, "scores")
    text = f"picture of the worst errors of {DEFAULT} (default: worst_errors.png beside the page)"
    parser.add_argument("--picture", type=Path, metavar="PNG", help=text)
    text = "objects that the picture leaves out, as where their images may not be published"
    parser.add_argument("--no_pictures", nargs="+", default=[], metavar="OBJ", help=text)
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    names = [folder.resolve().name for folder in args.objects]
    if unknown := [name for name in args.no_pictures if name not in names]:
        raise InputError(f"--no_pictures must name objects among {', '.join(names)}, found {', '.join(unknown)}.")
    options, picture = run_options(args), args.picture or args.page.with_name("worst_errors.png")
    found: dict[str, Results] = {}
    rows: list[list[Panel]] = []
    for name, folder in zip(names, args.objects):
        found[name] = {}
        for score, result_dir in tested(folder, args.scores, args.work, options):
            found[name][score] = json.loads((result_dir / "results.json").read_text(encoding="utf-8"))
            if score == DEFAULT and name not in args.no_pictures:
                rows += error_rows(result_dir)
        section = scores_section(found, args.scores, args.section.replace("_", " ").capitalize())
        if rows:
            write_worst_errors(picture, rows)
            link = Path(os.path.relpath(picture, args.page.parent)).as_posix()
            section += f"\n\n{picture_text(link, args.no_pictures)}"
        write_section(args.page, args.section, section)  # now: the next may fail
    print(f"Table: {args.page}{f', picture: {picture}' if rows else ''}")
    return 0


def tested(folder: Path, scores: Sequence[str], work: Path, options: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Train an object unless it is, and test it with each score at the poses that the first found.

    Yields:
        The score and the folder with what it gave, which the next score overwrites.
    """
    argv = [*object_options(folder, work), *options]
    for number, score in enumerate(scores):
        run_script(["anomaly_nerf_lego.py", *argv, "--score", score])
        run_script(["auroc_test.py", *argv, "--score", score, "--rescore" if number else "--overwrite"])
        yield score, work / "output" / folder.resolve().name


def picture_text(link: str, left_out: Sequence[str]) -> str:
    """Return the Markdown that shows the picture of the worst errors and says what is on it."""
    apart = f"; {', '.join(left_out)} left out" if left_out else ""
    return (
        f"![Worst errors: query, reference, anomaly map and ground truth]({link})\n\nUp to {MOST} misjudged queries of "
        f"each object with `{DEFAULT}`, those whose score is farthest on the wrong side of the threshold{apart}."
    )


def scores_section(found: dict[str, Results], scores: Sequence[str], title: str = "Scores") -> str:
    """Return the section's Markdown: tables with a row for each object and a column for each score."""
    first = next(iter(found.values()))[scores[0]]
    where = describe_measurement(first["environment"], first["config"], "", varied=["score"])
    tables = [
        f"### {figure}\n\n{markdown_table(['object', *scores], rows_of(found, scores, name))}"
        for figure, name in (
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
    head = f"## {title}\n\n`python -m bench.measure.scores` on {', '.join(found)}: {where}"
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
