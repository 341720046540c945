"""Judge photos of a trained object: 0 where all are good, 1 where one is defective, 2 after an error."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.config import ConfigParser, parse, require_object
from utils.errors import InputError, exit_code_of


def main(argv: list[str]) -> int:
    """Inspect the photos that the command line names; returns the exit code."""
    parser = ConfigParser(__doc__ or "")
    parser.add_argument("photos", nargs="*", type=Path, metavar="photo", help="image files, or folders of them")
    part = "folder of photos of one specimen, which get one verdict and a page, in place of single photos"
    parser.add_argument("--part", type=Path, metavar="DIR", help=part)
    masks = "folder of the photos' masks, NAME.png for NAME.jpg, 255 = object; auto: found by a network and the pose"
    parser.add_argument("--masks", type=Path, help=masks)
    config, args, warnings = parse(parser, argv, saved=True)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    require_object(config)
    if (args.part is None) == (not args.photos):
        raise InputError("Name photos to judge each of them, or one specimen's folder with --part, not both.")
    if args.part is not None:
        from pipeline.part_inspection import inspect_part  # noqa: PLC0415  after parsing: --help stays quick

        return inspect_part(config, args.part, args.masks)
    from pipeline.inspection import inspect_photos  # noqa: PLC0415  after parsing: --help stays quick

    return inspect_photos(config, args.photos, args.masks)


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
