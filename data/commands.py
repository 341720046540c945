"""Command lines of the data room; the modules that do the work are imported when a command runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.command import command_parser
from data.import_options import CaptureOptions, ImportOptions, PoseTableOptions
from data.mad_facts import SOURCES, STRUCTURES
from data.settings import BACKGROUNDS
from data.synthetic.config import SpecimenConfig, ToyConfig, toy_jobs, toy_names
from utils.config import Parser, add_options, from_args
from utils.errors import InputError


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
    parser.add_argument("source", type=Path, help="a folder of photos, or a video")
    add_options(parser, CaptureOptions)
    args, options = _parse(parser, argv)
    from data.capture import capture  # noqa: PLC0415  heavy, --help stays fast

    return _report(capture(args.source, from_args(CaptureOptions, args), options, args.quiet).lines())


def masks_command(argv: list[str]) -> int:
    """Run ``python -m data masks``."""
    parser = command_parser("masks", "Make foreground masks for the photos of an object's folder, poses being known.")
    parser.add_argument("folder", type=Path, help="the object's folder, with transforms.json and train/good")
    parser.add_argument("--overwrite", action="store_true", help="replace the masks that are there")
    args = parser.parse_args(argv)
    from data.mask_command import make_masks  # noqa: PLC0415  heavy, --help stays fast
    from utils.progress import Progress  # noqa: PLC0415  heavy, --help stays fast

    return _report(make_masks(args.folder, args.overwrite, Progress(args.quiet)))


def doctor_command(argv: list[str]) -> int:
    """Run ``python -m data doctor``: 0 good, 1 something to fix (2: the folder cannot be read)."""
    parser = command_parser("doctor", "Prove, before any training, that an object's folder can be trained on.")
    parser.add_argument("folder", type=Path, help="the object's folder, as data/LEGO-3D/01Gorilla")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="a mask for each image, 255 = object")
    parser.add_argument("--background", choices=tuple(BACKGROUNDS), default="white", help="behind the object")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write a fixed copy to this new folder")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the report as an HTML page")
    args = parser.parse_args(argv)
    from data.doctor.examine import run_doctor  # noqa: PLC0415  heavy, --help stays fast

    return run_doctor(args)


def download_command(argv: list[str]) -> int:
    """Run ``python -m data download``."""
    parser = command_parser("download", "Fetch MAD-Sim, MAD-Real or the paper's weights from their authors' drive.")
    parser.add_argument("what", choices=SOURCES, help="the archive")
    parser.add_argument("--out", type=Path, default=Path("data"), help="parent of the content's folder")
    parser.add_argument("--zip", type=Path, help="an archive downloaded by hand")
    parser.add_argument("--keep", action="store_true", help="keep the downloaded archive in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    args = parser.parse_args(argv)
    from data.download import run_download  # noqa: PLC0415  heavy, --help stays fast

    return run_download(args)


def verify_command(argv: list[str]) -> int:
    """Run ``python -m data verify``: 0 where a data set is as it should be, else 1."""
    parser = command_parser("verify", "Check an unpacked MAD data set against its known structure.")
    parser.add_argument("root", type=Path, help="folder that holds the classes' folders")
    parser.add_argument("--expect", choices=STRUCTURES, default="mad-sim", help="what it should be")
    args = parser.parse_args(argv)
    from data.verify import run_verify  # noqa: PLC0415  heavy, --help stays fast

    return run_verify(args)


def generate_command(argv: list[str]) -> int:
    """Run ``python -m data generate``."""
    parser = command_parser("generate", "Render images of brick toys with defects, in MAD's folder layout.")
    parser.add_argument("--list", action="store_true", help="print the names of the toys and stop")
    parser.add_argument("--model", type=Path, help="any LDraw model, .ldr or .mpd, in place of a toy")
    parser.add_argument("--preset", choices=("mad-20",), help="twenty toys with as many images each as MAD-Sim has")
    parser.add_argument("--out", type=Path, help="the object's folder; with all toys, the folder of their folders")
    photos = "write photos of a toy in a room, as a phone takes them, to this folder, and new ones to DIR_new"
    parser.add_argument("--photos", type=Path, metavar="DIR", help=photos)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--overwrite", action="store_true", help="render existing images again")
    add_options(parser, ToyConfig)
    add_options(parser, SpecimenConfig)
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(toy_names()))
        return 0
    config = from_args(ToyConfig, args)
    if args.photos is not None and (args.out or config.background):
        raise InputError("--photos takes the place of --out, and its room that of --background; leave them out.")
    jobs = toy_jobs(config, args.model, args.preset, args.photos or args.out)
    from utils.progress import Progress  # noqa: PLC0415  heavy, --help stays fast

    if args.photos is not None:
        from data.synthetic.photo_walk import write_photos  # noqa: PLC0415  heavy, --help stays fast

        for job in jobs:
            write_photos(job.config, job.folder, Progress(args.quiet), args.overwrite)
        return 0
    from data.synthetic.generate import generate  # noqa: PLC0415  heavy, --help stays fast
    from data.synthetic.specimens import generate_specimens  # noqa: PLC0415  heavy, --help stays fast

    generate(jobs, args.workers, args.overwrite, Progress(args.quiet))
    specimens = from_args(SpecimenConfig, args)
    generate_specimens(jobs, specimens, args.workers, args.overwrite, Progress(args.quiet))
    return 0


def attributes_command(argv: list[str]) -> int:
    """Run ``python -m data attributes``."""
    parser = command_parser("attributes", "Measure shape complexity and colour contrast of objects.")
    parser.add_argument("objects", nargs="+", type=Path, help="folders of objects")
    parser.add_argument("--background", choices=("white", "black"), default="white", help="colour behind the objects")
    parser.add_argument("--mesh", action="append", default=[], type=_mesh, help="OBJECT=FILE: a mesh or LDraw model")
    parser.add_argument("--csv", type=Path, help="write the table to this file")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    args = parser.parse_args(argv)
    from data.attributes import run_attributes  # noqa: PLC0415  heavy, --help stays fast

    return run_attributes(args)


def _mesh(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"must read OBJECT=FILE, found {text!r}")
    return name, Path(path)


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
