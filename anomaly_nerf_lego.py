"""Train an object from its posed normal views, in ckpts/<object>/; or let a trained one learn on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.config import Config, ConfigParser, run_objects
from utils.errors import InputError, exit_code_of


def main(argv: list[str]) -> int:
    """Train the objects that the command line names, or let one learn on; returns the exit code."""
    parser = ConfigParser(__doc__ or "")
    options = parser.add_argument_group("learning on, of a trained object")
    tasks = options.add_mutually_exclusive_group()
    tasks.add_argument("--add", type=Path, metavar="FOLDER", help="add photos of good specimens; their poses are found")
    text = "these photos show good parts: false alarms, or with --whole_lot all of a lot"
    tasks.add_argument("--confirm_good", type=Path, nargs="+", metavar="PHOTO", help=text)
    tasks.add_argument("--undo", action="store_true", help="take the last change back")
    tasks.add_argument("--learned", action="store_true", help="print the journal of changes")
    text = "folder of the photos' masks, NAME.png for NAME.jpg, 255 = object; auto: found by a network and the pose"
    options.add_argument("--masks", type=Path, help=text)
    text = "the confirmed photos are all good ones of a lot, whichever verdict they got"
    options.add_argument("--whole_lot", action="store_true", help=text)
    options.add_argument("--note", default="", help="who learns, or why; kept in the journal")
    known, _ = parser.parse_known_args(argv)
    task = next((name for name in ("add", "confirm_good", "undo", "learned") if getattr(known, name)), None)
    return run_objects(parser, argv, learn if task else train, saved=task is not None)


def train(config: Config, args: argparse.Namespace) -> int:
    """Train one object and print what it gave."""
    if args.masks or args.whole_lot or args.note:
        raise InputError(
            "--masks, --whole_lot and --note belong to --add or --confirm_good; name one, or leave them out."
        )
    from pipeline.training import print_training, train_object  # noqa: PLC0415  after parsing: --help stays quick

    print_training(train_object(config))
    return 0


def learn(config: Config, args: argparse.Namespace) -> int:
    """Let one object learn on, and print what it gave."""
    from pipeline import learning, learning_table  # noqa: PLC0415  as above

    if args.learned:
        print(learning_table.journal_table(config))
    elif args.undo:
        learning_table.print_change(config, learning.undo(config, args.note))
    elif args.add:
        learning_table.print_change(config, learning.add(config, args.add, args.masks, args.note))
    else:
        change = learning.confirm_good(config, args.confirm_good, args.masks, args.note, args.whole_lot)
        learning_table.print_change(config, change)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
