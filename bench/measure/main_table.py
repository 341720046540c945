"""The main table: objects trained and tested through the command line, with figures and costs.

python -m bench.measure.main_table data/LEGO-3D/01Gorilla data/LEGO-3D/02Unicorn
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.command import Cost, add_run_options, megabytes, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from utils.config import Parser
from utils.errors import InputError, exit_code_of
from utils.text import MISSING, format_decimal


@dataclass(frozen=True)
class ObjectCost:
    """An object's results and what they cost."""

    results: dict[str, Any]  # results.json
    views: int
    training: Cost
    testing: Cost


def main(argv: list[str]) -> int:
    """Measure the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="object folders in the MAD layout")
    parser.add_argument("--work", type=Path, help="keep checkpoints and reports in this folder; else they are deleted")
    add_run_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    add_page_options(parser, "main")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    names = [folder.resolve().name for folder in args.objects]
    if len(set(names)) < len(names):
        raise InputError(f"Objects must differ in their folders' names, found {', '.join(names)}; rename one.")
    options = [*run_options(args), "--seed", str(args.seed)]
    with tempfile.TemporaryDirectory() as temporary:
        measured = [measure_object(folder, args.work or Path(temporary), options) for folder in args.objects]
    write_section(args.page, args.section, main_section(measured))
    print(f"Table: {args.page}")
    return 0


def measure_object(object_dir: Path, work: Path, options: Sequence[str]) -> ObjectCost:
    """Train and test one object from the start."""
    argv = [*object_options(object_dir, work), *options, "--overwrite"]
    training = run_script(["anomaly_nerf_lego.py", *argv])
    testing = run_script(["auroc_test.py", *argv])
    name = object_dir.resolve().name
    results = json.loads((work / "output" / name / "results.json").read_text(encoding="utf-8"))
    record = json.loads((work / "ckpts" / name / "training.json").read_text(encoding="utf-8"))
    return ObjectCost(results, record["views"], training, testing)


def main_section(measured: Sequence[ObjectCost]) -> str:
    """Return the section's Markdown: circumstances, and a table with a column for each object."""
    names = [one.results["object_name"] for one in measured]
    kinds = list(dict.fromkeys(kind for one in measured for kind in one.results["per_defect"]))
    rows = [[label, *(value(one) for one in measured)] for label, value in [*figure_rows(kinds), *cost_rows()]]
    where = describe_measurement(
        measured[0].results["environment"], measured[0].results["config"], measured[0].results["remark"]
    )
    return (
        f"## Whole path\n\n`python -m bench.measure.main_table` on {', '.join(names)}: {where}\n\n"
        f"{markdown_table(['', *names], rows)}\n\n"
        "Intervals are 95 %, by bootstrap over the queries; where every query is ranked rightly the interval has no "
        "width. Pose errors are against the queries' true poses, where the object's folder has them. A query's seconds "
        "are those of retrieval, refinement, rendering and comparison; whole commands include start, reading, figures "
        "and report."
    )


def figure_rows(kinds: Sequence[str]) -> list[tuple[str, Callable[[ObjectCost], str]]]:
    """Return the rows on how good the results are."""
    return [
        ("training views", lambda one: str(one.views)),
        ("queries, defective + good", lambda one: f"{one.results['queries_defective']} + {good_queries(one)}"),
        ("image AUROC", lambda one: with_interval(one.results, "image_auroc")),
        *((f"image AUROC, {kind}", lambda one, kind=kind: defect_text(one, kind)) for kind in kinds),
        ("pixel AUROC", lambda one: format_decimal(one.results["pixel_auroc"], 5)),
        ("AUPRO (FPR ≤ 0.3)", lambda one: format_decimal(one.results["aupro"], 4)),
        ("AUPIMO (FPR 1e-5 to 1e-4)", lambda one: format_decimal(one.results["aupimo"], 3)),
        ("F1 at the stored threshold", lambda one: with_interval(one.results, "image_f1")),
        ("false-positive rate at it", lambda one: with_interval(one.results, "fpr")),
        ("poses found", lambda one: share_text(one.results["pose"]["found"])),
        ("poses within 1° and 0.05", lambda one: share_text(one.results["pose"]["within"])),
        ("rotation error, median / p90 / max", lambda one: spread_text(one.results["pose"]["rotation_deg"], "°")),
        ("translation error, median / p90 / max", lambda one: spread_text(one.results["pose"]["translation"], "")),
        ("held-out PSNR, whole frame", lambda one: format_decimal(one.results["psnr"], 2, " dB")),
    ]


def cost_rows() -> list[tuple[str, Callable[[ObjectCost], str]]]:
    """Return the rows on what the results cost."""

    def stage(name: str) -> Callable[[ObjectCost], str]:
        return lambda one: format_decimal(one.results["seconds"].get(name), 1, " s")

    return [
        ("training, the whole command", lambda one: f"{one.training.seconds:.1f} s"),
        ("– field", stage("train")),
        ("– gallery", stage("gallery")),
        ("– calibration", stage("calibrate")),
        ("test, the whole command", lambda one: f"{one.testing.seconds:.1f} s"),
        ("one query, median", lambda one: format_decimal(one.results["seconds"]["query_median"], 3, " s")),
        ("one query, p90", lambda one: format_decimal(one.results["seconds"]["query_p90"], 3, " s")),
        ("peak memory, training", lambda one: megabytes(one.training.peak_bytes)),
        ("peak memory, test", lambda one: megabytes(one.testing.peak_bytes)),
    ]


def good_queries(one: ObjectCost) -> int:
    """Return how many of an object's queries are good."""
    return sum(query["defect_type"] == "good" for query in one.results["queries"])


def defect_text(one: ObjectCost, kind: str) -> str:
    """Format the image AUROC of one type of defect."""
    return (
        with_interval(one.results["per_defect"][kind], "image_auroc") if kind in one.results["per_defect"] else MISSING
    )


def with_interval(entry: dict[str, Any], name: str) -> str:
    """Format a figure with its 95 % interval.

    >>> with_interval({"fpr": 0.5, "fpr_ci": [0.25, 0.75]}, "fpr")
    '0.500 (0.250 to 0.750)'
    """
    if entry[name] is None:
        return MISSING
    low, high = entry[f"{name}_ci"]
    return f"{entry[name]:.3f} ({low:.3f} to {high:.3f})"


def share_text(share: float | None) -> str:
    """Format a share as a percentage with one decimal, or a dash."""
    return MISSING if share is None else f"{100 * share:.1f} %"


def spread_text(entry: dict[str, float] | None, unit: str) -> str:
    """Format median, 90th percentile and maximum, or a dash."""
    if entry is None:
        return MISSING
    return " / ".join(f"{entry[name]:.3f}{unit}" for name in ("median", "p90", "max"))


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
