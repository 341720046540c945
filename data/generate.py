"""``python -m data generate``: pictures of brick toys with defects, in MAD's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.command import command_parser
from data.synthetic.generate import MAD_20, Order, Settings, generate
from data.synthetic.toys import toy_names
from utils.errors import InputError
from utils.progress import Progress

ALL = "all"
PRESETS = ("mad-20",)
PLACES = ("background", "ldraw")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("generate", "Make pictures of brick toys with defects, in MAD's folder layout.")
    what = parser.add_argument_group("what to build (one of these)").add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="print the names of the toys and stop")
    what.add_argument("--toy", help=f"name of a toy, or '{ALL}'")
    what.add_argument("--model", type=Path, help="any LDraw model, .ldr or .mpd")
    what.add_argument("--preset", choices=PRESETS, help="twenty toys with as many pictures each as MAD-Sim has")
    parser.add_argument("--out", type=Path, help="the object's folder; with all toys, the folder of their folders")
    parser.add_argument("--ldraw", type=Path, help="folder of an LDraw library, whose parts and colours are used")
    parser.add_argument("--views", type=int, default=210, help="training views, 1 to 210")
    parser.add_argument("--queries", type=int, default=24, help="test images of each kind of defect")
    parser.add_argument("--good", type=int, help="good test images (default: as many as of each defect)")
    parser.add_argument("--image_size", type=int, default=400, help="pixels a side; MAD-Sim has 800")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gloss", choices=("mild", "glaring", "none"), default="mild", help="how the plastic shines")
    parser.add_argument("--light", choices=("same", "changed"), default="same", help="light on the test images")
    parser.add_argument("--background", type=Path, help="picture or folder of pictures behind the toy")
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--overwrite", action="store_true", help="make pictures anew that are there already")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    own = _parser().parse_args(arguments)
    if own.list:
        print("\n".join(toy_names()))
        return 0
    if own.out is None:
        raise InputError("--out must name the folder to write to; python -m data generate --help lists the options.")
    counts = MAD_20 if own.preset else {"views": own.views, "queries": own.queries, "good": own.good}
    places = {key: str(path.resolve()) if path else "" for key, path in vars(own).items() if key in PLACES}
    common = {key: getattr(own, key) for key in ("image_size", "seed", "gloss", "light")} | places | counts
    if own.preset or own.toy == ALL:
        orders = [Order(Settings(name, **common), own.out / name) for name in toy_names()]
    else:
        orders = [Order(Settings(str(own.model) if own.model else own.toy, **common), own.out)]
    generate(orders, own.workers, own.overwrite, Progress(own.quiet))
    return 0
