"""Train the comparator on generated toys: the one part of the program that is learned across objects.

    python -m pipeline.comparator_training data/toys/beetle data/toys/goose ...

Each folder is an object in the MAD layout with ground truth. Its field and gallery are trained as for any object; its
test images and held-out views, with references at *estimated* poses, are what the comparator learns from. Use toys
made by ``python -m data generate``, never objects that results are reported on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import Config, read_config
from utils.config import Parser, add_options, from_args, require
from utils.errors import exit_code_of

MIN_STEPS = 20  # of which the first tenth raises the learning rate


@dataclass(frozen=True)
class ComparatorTraining:
    """Options of the training."""

    out: Path = Path("comparator.safetensors")  # file to write
    config: Path | None = None  # settings of fields and poses that differ from the defaults
    steps: int = 5000  # optimiser steps
    seed: int = 0  # seed of every random choice
    quiet: bool = False  # no progress

    def __post_init__(self) -> None:
        require(self.steps >= MIN_STEPS, "steps", f"at least {MIN_STEPS}", self.steps)


def main(argv: list[str]) -> int:
    """Train and save the comparator; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, help="folders of generated toys, in the MAD layout")
    add_options(parser, ComparatorTraining)
    args = parser.parse_args(argv)
    options = from_args(ComparatorTraining, args)
    config = replace(
        read_config(options.config) if options.config else Config(), seed=options.seed, quiet=options.quiet
    )
    from pipeline.comparator_examples import train_on_toys  # noqa: PLC0415  after parsing: --help stays quick

    images = train_on_toys(args.objects, config, options.steps, options.out)
    print(f"{options.out}: {images} images of {', '.join(folder.name for folder in args.objects)}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
