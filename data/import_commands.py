"""Command lines of the importers and of capture; the modules that do the work are imported when a command runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.command import command_parser
from data.import_options import CaptureOptions, ImportOptions, PoseTableOptions
from utils.config import Parser, add_options, from_args


def transforms_command(argv: list[str]) -> int:
    """Run ``python -m data import-transforms``."""
    parser = command_parser("import-transforms", "Import a nerfstudio, instant-ngp or Blender transforms.json.")
    parser.add_argument("source", type=Path, help="the transforms.json, or the folder that holds it")
    parser.add_argument("--images", type=Path, help="folder of the images, if they are not where the file says")
    args, options = _parse(parser, argv)
    from data.import_transforms import import_transforms  # noqa: PLC0415  heavy, --help stays fast

    return _report(import_transforms(args.source, args.images, options, args.quiet).lines())


def colmap_command(argv: list[str]) -> int:
    """Run ``python -m data import-colmap``."""
    parser = command_parser("import-colmap", "Import a COLMAP model with its images.")
    parser.add_argument("source", type=Path, help="folder of the model, or one with sparse/0, sparse/1, ... in it")
    parser.add_argument("--images", type=Path, help="folder of the images; without it, images/ beside the model")
    args, options = _parse(parser, argv)
    from data.import_colmap import import_colmap  # noqa: PLC0415  heavy, --help stays fast

    return _report(import_colmap(args.source, args.images, options, args.quiet).lines())


def poses_command(argv: list[str]) -> int:
    """Run ``python -m data import-poses``."""
    parser = command_parser("import-poses", "Import a table of camera poses, as a robot or a tracker writes it.")
    parser.add_argument("source", type=Path, help="the CSV file: file, and x y z qw qx qy qz, or rx ry rz, or m00 ...")
    add_options(parser, PoseTableOptions)
    args, options = _parse(parser, argv)
    table = from_args(PoseTableOptions, args)
    from data.import_poses import import_poses  # noqa: PLC0415  heavy, --help stays fast

    return _report(import_poses(args.source, table, options, args.quiet).lines())


def capture_command(argv: list[str]) -> int:
    """Run ``python -m data capture``."""
    parser = command_parser("capture", "Find the poses of photos or a video with COLMAP and write the object.")
    parser.add_argument("source", type=Path, help="a folder of photos (PNG, JPEG), or a video")
    add_options(parser, CaptureOptions)
    args, options = _parse(parser, argv)
    from data.capture import capture  # noqa: PLC0415  heavy, --help stays fast

    return _report(capture(args.source, from_args(CaptureOptions, args), options, args.quiet).lines())


def _parse(parser: Parser, argv: list[str]) -> tuple[argparse.Namespace, ImportOptions]:
    """Parse a command line that also has the options of all importers."""
    add_options(parser, ImportOptions)
    args = parser.parse_args(argv)
    options = from_args(ImportOptions, args)
    options.check_folders()
    return args, options


def _report(lines: list[str]) -> int:
    print("\n".join(lines))
    return 0
