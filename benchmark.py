"""Benchmark: every method on every object with every seed; finished runs are skipped; then tables and a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.config import BenchmarkConfig
from utils.config import Parser, add_options, from_args
from utils.errors import exit_code_of


def make_parser() -> argparse.ArgumentParser:
    """Return the command line: what to run, and the fields of BenchmarkConfig with their comments as help."""
    parser = Parser(__doc__ or "")
    add = parser.add_argument
    methods = "registered methods, or file.py:Class (default: all)"
    add("--objects", nargs="+", default=["all"], metavar="NAME", help="folders of data_dir (default: all)")
    add("--methods", nargs="+", default=["all"], metavar="NAME", help=methods)
    add("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1 (default: 1)")
    add("--set", nargs="+", default=[], metavar="METHOD.KEY=VALUE", dest="overrides", help="settings of methods")
    add("--import_maps", nargs="+", default=[], metavar="NAME=DIR", help="anomaly maps that another program wrote")
    add("--overwrite", action="store_true", help="redo runs that are done already")
    add("--dry_run", action="store_true", help="print what would run, and how long it takes by earlier timings")
    add("--engine", choices=("in_process", "ray"), default="in_process", help="what does the runs")
    add("--ray_address", default="", help="address of a Ray cluster (default: Ray on this machine)")
    add("--cpus", type=int, default=1, help="cores of a run under Ray (default: 1)")
    add("--ablation", action="store_true", help="run OmniposeAD with every field, retrieval, refinement and score")
    add("--figure", nargs="*", metavar="QUERY", help="heat maps side by side, of queries like 01Gorilla/Burrs/3")
    add("--page", type=Path, metavar="FILE", help="write the tables into a section of FILE, too, as docs/RESULTS.md")
    add("--dirty", action="store_true", help="write that section even with uncommitted changes")
    add_options(parser, BenchmarkConfig, {"val_every": ("held_out_every",)})
    return parser


def main(argv: list[str]) -> int:
    """Run the benchmark that the command line describes; return the exit code."""
    args = make_parser().parse_args(argv)
    from bench.benchmark import run_benchmark  # noqa: PLC0415  loads torch, which --help does not need

    return run_benchmark(from_args(BenchmarkConfig, args), args)


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
