"""The command line that all importers share."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.command import command_parser
from data.layout import Options, Summary
from utils.errors import InputError
from utils.progress import Progress


def make_parser(command: str, description: str) -> argparse.ArgumentParser:
    """A parser with what all importers understand; an importer adds its own to it."""
    parser = command_parser(command, description)
    parser.add_argument("--out", type=Path, required=True, help="folder of the new object, as data/objects/NAME")
    parser.add_argument("--image_size", type=_pixels, default=800, help="longer side of the pictures written, at most")
    parser.add_argument("--masks", type=Path, help="folder of masks, NAME.png for NAME.jpg, 255 = object")
    parser.add_argument("--plain", choices=("white", "black"), default="", help="cut out a background of this colour")
    parser.add_argument("--tolerance", type=int, default=24, help="8-bit steps that count as the plain background")
    parser.add_argument("--test", type=Path, help="folder of query pictures of the same camera, or of folders by kind")
    parser.add_argument("--test_masks", type=Path, help="folder of the queries' masks, or of folders by kind [--masks]")
    parser.add_argument("--fill", choices=("white", "black"), default="white", help="colour where a lens did not look")
    parser.add_argument("--keep_world", action="store_true", help="neither centre nor scale the poses")
    parser.add_argument("--overwrite", action="store_true", help="replace an object that is there")
    return parser


def options_of(found: argparse.Namespace) -> Options:
    """The common options of a parsed command line."""
    for name in ("masks", "test", "test_masks"):
        folder = getattr(found, name)
        if folder is not None and not folder.is_dir():
            raise InputError(f"There is no folder {folder}; correct --{name}.")
    return Options(
        out=found.out,
        image_size=found.image_size,
        masks=found.masks,
        plain=found.plain,
        tolerance=found.tolerance,
        test=found.test,
        test_masks=found.test_masks,
        keep_world=found.keep_world,
        fill=found.fill,
        overwrite=found.overwrite,
        progress=Progress(found.quiet),
    )


def tell(summary: Summary) -> int:
    """Print what was written; returns the exit code."""
    print("\n".join(summary.lines()))
    return 0


def _pixels(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 16 <= value <= 8192:
        raise argparse.ArgumentTypeError(f"must be 16 to 8192 pixels, found {text}")
    return value
