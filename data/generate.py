"""``python -m data generate``: pictures of brick toys with defects, in MAD's layout."""

from __future__ import annotations

import argparse

from data.synthetic.generate import MAD_20, Order, Settings, generate
from data.synthetic.toys import toy_names
from utils.errors import InputError
from utils.progress import Progress

ALL = "all"
PLACES = ("background", "ldraw")


def run(args: argparse.Namespace) -> int:
    """Generate the toys that the command line names; return the exit code."""
    if args.list:
        print("\n".join(toy_names()))
        return 0
    if args.out is None:
        raise InputError("--out must name the folder to write to; python -m data generate --help lists the options.")
    counts = MAD_20 if args.preset else {"views": args.views, "queries": args.queries, "good": args.good}
    places = {key: str(path.resolve()) if path else "" for key, path in vars(args).items() if key in PLACES}
    common = {key: getattr(args, key) for key in ("image_size", "seed", "gloss", "light")} | places | counts
    if args.preset or args.toy == ALL:
        orders = [Order(Settings(name, **common), args.out / name) for name in toy_names()]
    else:
        orders = [Order(Settings(str(args.model) if args.model else args.toy, **common), args.out)]
    generate(orders, args.workers, args.overwrite, Progress(args.quiet))
    return 0
