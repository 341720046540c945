"""Test a trained object on its test folder: metrics, anomaly maps and a report in output/<object>/."""

from __future__ import annotations

import argparse
import sys

from pipeline.config import ALL_OBJECTS, Config, ConfigParser, parse, run_objects
from utils.errors import exit_code_of


def main(argv: list[str]) -> int:
    """Test the objects that the command line names; returns the exit code."""
    parser = ConfigParser(__doc__ or "")
    parser.add_argument("--rescore", action="store_true", help="score again at the poses of the last test")
    code = run_objects(parser, argv, run, saved=True)
    config = parse(parser, argv)[0]
    if config.object_name == ALL_OBJECTS:
        from pipeline.testing import print_means  # noqa: PLC0415  after parsing: --help stays quick

        print_means(config)
    return code


def run(config: Config, args: argparse.Namespace) -> int:
    """Test one object and print its metrics."""
    from pipeline.testing import evaluate_object, print_summary  # noqa: PLC0415  after parsing: --help stays quick

    print_summary(evaluate_object(config, args.rescore), config)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
