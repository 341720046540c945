"""The main table: objects trained and tested through the command line, figures and costs in ``RESULTS.md``.

python bench/measure/main_table.py data/LEGO-3D/01Gorilla data/LEGO-3D/02Unicorn
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.command import Cost, megabytes, places, run_script
from bench.measure.results_page import PAGE, circumstances, markdown_table, write_section
from utils.errors import InputError
from utils.text import MISSING, format_decimal


@dataclass(frozen=True)
class Measured:
    """An object's results and what they cost."""

    results: dict[str, Any]  # results.json
    views: int
    training: Cost
    testing: Cost


def main(arguments: list[str]) -> int:
    """Measure the objects that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="object folders in the MAD layout")
    parser.add_argument("--work", type=Path, help="keep checkpoints and reports in this folder; else they are deleted")
    parser.add_argument("--config", type=Path, help="settings that differ from the defaults")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="as for the scripts")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument("--page", type=Path, help="page to write (default: docs/RESULTS.md)")
    parser.add_argument("--section", default="main", help="name of the page's section to write")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    own = parser.parse_args(arguments)
    names = [folder.resolve().name for folder in own.objects]
    if len(set(names)) < len(names):
        raise InputError(f"Objects must differ in their folders' names, found {', '.join(names)}; rename one.")
    options = ["--device", own.device, "--seed", str(own.seed), *(["--quiet"] if own.quiet else [])]
    options += ["--config", str(own.config.resolve())] if own.config else []
    with tempfile.TemporaryDirectory() as temporary:
        measured = [measure(folder, own.work or Path(temporary), options) for folder in own.objects]
    page = own.page or PAGE
    write_section(page, own.section, section(measured))
    print(f"Table: {page}")
    return 0


def measure(object_dir: Path, work: Path, options: Sequence[str]) -> Measured:
    """Train and test one object, everything from the start."""
    words = [*places(object_dir, work), *options, "--overwrite"]
    training = run_script(["anomaly_nerf_lego.py", *words])
    testing = run_script(["auroc_test.py", *words])
    name = object_dir.resolve().name
    results = json.loads((work / "output" / name / "results.json").read_text(encoding="utf-8"))
    record = json.loads((work / "ckpts" / name / "training.json").read_text(encoding="utf-8"))
    return Measured(results, record["views"], training, testing)


def section(measured: Sequence[Measured]) -> str:
    """The section's Markdown: circumstances, and a table with a column for each object."""
    names = [one.results["object_name"] for one in measured]
    kinds = list(dict.fromkeys(kind for one in measured for kind in one.results["per_defect"]))
    rows = [[label, *(value(one) for one in measured)] for label, value in [*figures(kinds), *costs()]]
    where = circumstances(
        measured[0].results["environment"], measured[0].results["config"], measured[0].results["remark"]
    )
    return (
        f"## Whole path\n\n`python bench/measure/main_table.py` on {', '.join(names)}: {where}\n\n"
        f"{markdown_table(['', *names], rows)}\n\n"
        "Intervals are 95 %, by bootstrap over the queries; where every query is ranked rightly the interval has no "
        "width. Pose errors are against the queries' true poses, where the object's folder has them. A query's seconds "
        "are those of retrieval, refinement, rendering and comparison; whole commands include start, reading, figures "
        "and report."
    )


def figures(kinds: Sequence[str]) -> list[tuple[str, Callable[[Measured], str]]]:
    """The rows that say how good the results are."""
    return [
        ("training views", lambda one: str(one.views)),
        ("queries, defective + good", lambda one: f"{one.results['queries_defective']} + {good_queries(one)}"),
        ("image AUROC", lambda one: with_interval(one.results, "image_auroc")),
        *((f"image AUROC, {kind}", lambda one, kind=kind: of_kind(one, kind)) for kind in kinds),
        ("pixel AUROC", lambda one: format_decimal(one.results["pixel_auroc"], 5)),
        ("AUPRO (FPR ≤ 0.3)", lambda one: format_decimal(one.results["aupro"], 4)),
        ("F1 at the stored threshold", lambda one: with_interval(one.results, "image_f1")),
        ("false-positive rate at it", lambda one: with_interval(one.results, "fpr")),
        ("poses found", lambda one: percent(one.results["pose"]["found"])),
        ("poses within 1° and 0.05", lambda one: percent(one.results["pose"]["within"])),
        ("rotation error, median / p90 / max", lambda one: spread(one.results["pose"]["rotation_deg"], "°")),
        ("translation error, median / p90 / max", lambda one: spread(one.results["pose"]["translation"], "")),
        ("held-out PSNR, whole frame", lambda one: format_decimal(one.results["psnr"], 2, " dB")),
    ]


def costs() -> list[tuple[str, Callable[[Measured], str]]]:
    """The rows that say what the results cost."""

    def stage(name: str) -> Callable[[Measured], str]:
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


def good_queries(one: Measured) -> int:
    """How many of an object's queries are good."""
    return sum(query["defect_type"] == "good" for query in one.results["queries"])


def of_kind(one: Measured, kind: str) -> str:
    """The image AUROC of one kind of defect."""
    return (
        with_interval(one.results["per_defect"][kind], "image_auroc") if kind in one.results["per_defect"] else MISSING
    )


def with_interval(entry: dict[str, Any], name: str) -> str:
    """A figure with its 95 % interval.

    >>> with_interval({"fpr": 0.5, "fpr_ci": [0.25, 0.75]}, "fpr")
    '0.500 (0.250 to 0.750)'
    """
    if entry[name] is None:
        return MISSING
    low, high = entry[f"{name}_ci"]
    return f"{entry[name]:.3f} ({low:.3f} to {high:.3f})"


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal, or a dash."""
    return MISSING if share is None else f"{100 * share:.1f} %"


def spread(entry: dict[str, float] | None, unit: str) -> str:
    """Median, 90th percentile and maximum, or a dash."""
    if entry is None:
        return MISSING
    return " / ".join(f"{entry[name]:.3f}{unit}" for name in ("median", "p90", "max"))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
