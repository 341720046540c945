"""Train an object from its posed normal views: field, gallery and calibration in ckpts/<object>/."""

from __future__ import annotations

import argparse
import sys

from pipeline.config import Config, ConfigParser, run_objects
from utils.errors import exit_code_of


def main(argv: list[str]) -> int:
    """Train the objects that the command line names; returns the exit code."""
    return run_objects(ConfigParser(__doc__ or ""), argv, train)


def train(config: Config, _args: argparse.Namespace) -> int:
    """Train one object and print what it gave."""
    from pipeline.training import print_training, train_object  # noqa: PLC0415  after parsing: --help stays quick

    print_training(train_object(config))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
