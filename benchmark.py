"""The benchmark: every method on every object with every seed, each a cell on disk; then the tables."""

from __future__ import annotations

import argparse
import sys

from utils.errors import exit_code_of


def main(arguments: list[str]) -> int:
    """Run the cells that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--objects", nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--data_dir", default="data/LEGO-3D")
    parser.add_argument("--output_dir", default="output/benchmark")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--random_weights", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    own = parser.parse_args(arguments)
    from study.cells import Cell, Protocol
    from study.run_cell import run_cell

    protocol = Protocol(own.data_dir, own.output_dir, fast=own.fast, random_weights=own.random_weights, quiet=own.quiet)
    for name in own.objects:
        for method in own.methods:
            outcome = run_cell(Cell(name, method, 0, protocol))
            print(outcome.cell.name, outcome.failure or outcome.report.evaluation.overall)  # type: ignore[union-attr]
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
