"""Trains the network of ``--retrieval resnet50`` on the good views of many objects.

    python -m pipeline.retrieval_training --data_dir data/LEGO-3D

The file that it writes has the format of the paper's ``net_best.pth``. Pass its folder as ``--weights_dir`` afterwards.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

import torch

from data.mad import find_object, load_views
from pipeline.config import Config
from retrieval.descriptor_training import RetrievalNet, TrainConfig, ViewSet, train_descriptor
from retrieval.encoders import CROP_SCALE
from utils.backbones import resnet50
from utils.checkpoint import ensure_writable, write_atomically
from utils.config import require
from utils.device import pick_device
from utils.errors import InputError, exit_code_of
from utils.progress import Progress
from utils.weights import Weights

MIN_VIEWS_PER_OBJECT = 8
RESNET50_FEATURES = 2048


def main(argv: list[str]) -> int:
    """Train and save the network; return the exit code."""
    args = make_parser().parse_args(argv)
    progress = Progress(args.quiet)
    config = TrainConfig(**{field.name: getattr(args, field.name) for field in fields(TrainConfig)})
    check_arguments(args)
    folders = object_folders(Path(args.data_dir), args.objects)
    trunk = resnet50(Weights(args.weights_dir, args.random_weights, args.quiet))
    network = RetrievalNet(trunk, RESNET50_FEATURES, config.seed).to(pick_device(args.device))
    view_sets = [load_view_set(folder, config.size) for folder in progress.track(folders, "views")]
    checkpoint = args.out.with_name(f"{args.out.name}.unfinished")
    weights, degrees = train_descriptor(view_sets, network, config, checkpoint, progress)

    write_atomically(args.out, lambda temporary: torch.save(weights, temporary))
    checkpoint.unlink(missing_ok=True)
    views = sum(len(view_set.images) for view_set in view_sets)
    print(f"{args.out} objects={len(view_sets)} views={views} held_out_error={degrees:.1f}deg")
    progress.info(f"Use it with --retrieval resnet50 --weights_dir {args.out.parent}")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--data_dir", default=Config.data_dir, help="folder that contains the objects' folders")
    parser.add_argument("--objects", default="", help="comma-separated names; all objects of data_dir if omitted")
    parser.add_argument("--out", type=Path, default=Path("ckpts/retrieval/net_best.pth"), help="file to write")
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs, help="passes over all views")
    parser.add_argument("--batch_size", type=int, default=TrainConfig.batch_size, help="images per step")
    parser.add_argument("--learning_rate", type=float, default=TrainConfig.learning_rate, help="Adam's, at the start")
    parser.add_argument("--size", type=int, default=TrainConfig.size, help="side of the images in pixels")
    parser.add_argument("--seed", type=int, default=TrainConfig.seed, help="seed of every random choice")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute")
    parser.add_argument("--weights_dir", default="", help="folder that is searched first for ImageNet weights")
    parser.add_argument("--random_weights", action="store_true", help="start from random weights, not ImageNet's")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Raise an InputError for arguments that cannot be meant, before any work."""
    require(args.epochs >= 1, "epochs", "at least 1", args.epochs)
    require(args.batch_size >= 2, "batch_size", "at least 2", args.batch_size)
    require(args.learning_rate > 0, "learning_rate", "above 0", args.learning_rate)
    require(32 <= args.size <= 4096, "size", "between 32 and 4096 pixels", args.size)
    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} exists already; name another file with --out, or replace it with --overwrite.")
    ensure_writable(args.out.parent)


def object_folders(data_dir: Path, names: str) -> list[Path]:
    """Find the folders of the named objects, or of all objects in ``data_dir``, sorted.

    Raises:
        InputError: where there is none, or a named one is missing.
    """
    named = [name.strip() for name in names.split(",") if name.strip()]
    if named:
        return [find_object(data_dir / name) for name in named]
    folders = sorted(path.parent for path in data_dir.glob("*/transforms.json"))
    if not folders:
        raise InputError(
            f"There is no object with a transforms.json in {data_dir}; extract the data there, or name its folder with "
            f"--data_dir."
        )
    return folders


def load_view_set(folder: Path, size: int) -> ViewSet:
    """Load an object's views for training on images of ``size`` pixels."""
    config = Config()
    views = load_views(folder, max(config.image_size, round(size * CROP_SCALE)), config.background_rgb)
    if len(views) < MIN_VIEWS_PER_OBJECT:
        raise InputError(
            f"{folder} has {len(views)} views, at least {MIN_VIEWS_PER_OBJECT} are needed for training and held-out "
            f"views; leave the object out with --objects."
        )
    return ViewSet.of(views, size)


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
