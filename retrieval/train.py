"""Trains the network of ``--retrieval resnet50`` on the normal views of many objects.

    python -m retrieval.train --data_dir data/LEGO-3D

The file that it writes has the form of the paper's ``net_best.pth``. Name its folder with ``--weights_dir`` afterwards.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

import torch

from data.folders import find_object
from data.mad import load_views
from retrieval.descriptor_training import Album, Course, Pupil, train_descriptor
from retrieval.encoders import MARGIN
from utils.backbones import resnet50
from utils.checkpoint import ensure_writable, write_atomically
from utils.config import Config, require
from utils.device import pick_device
from utils.errors import InputError, exit_code_of
from utils.progress import Progress
from utils.weights import Weights

MIN_VIEWS = 8
FEATURES = 2048  # of ResNet-50


def main(arguments: list[str]) -> int:
    """Train and save the network; returns the exit code."""
    own = make_parser().parse_args(arguments)
    progress = Progress(own.quiet)
    course = Course(**{field.name: getattr(own, field.name) for field in fields(Course)})
    check(own)
    folders = object_folders(Path(own.data_dir), own.objects)
    device = pick_device(own.device)
    trunk = resnet50(Weights(own.weights_dir, own.random_weights, own.quiet))
    pupil = Pupil(trunk, FEATURES, own.seed).to(device)
    albums = [album_of(folder, own.size) for folder in progress.track(folders, "views")]
    unfinished = own.out.with_name(f"{own.out.name}.unfinished")
    tensors, degrees = train_descriptor(albums, pupil, course, unfinished, progress)

    write_atomically(own.out, lambda temporary: torch.save(tensors, temporary))
    unfinished.unlink(missing_ok=True)
    views = sum(len(album.pictures) for album in albums)
    print(f"{own.out} objects={len(albums)} views={views} held_out_error={degrees:.1f}deg")
    progress.info(f"Use it with --retrieval resnet50 --weights_dir {own.out.parent}")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--data_dir", default=Config.data_dir, help="folder that holds the objects' folders")
    parser.add_argument("--objects", default="", help="names with commas between them; all of data_dir if left out")
    parser.add_argument("--out", type=Path, default=Path("ckpts/retrieval/net_best.pth"), help="file to write")
    parser.add_argument("--epochs", type=int, default=Course.epochs, help="passes over all views")
    parser.add_argument("--batch_size", type=int, default=Course.batch_size, help="pictures in one step")
    parser.add_argument("--learning_rate", type=float, default=Course.learning_rate, help="Adam's step size at first")
    parser.add_argument("--size", type=int, default=Course.size, help="pixels of a side of the pictures")
    parser.add_argument("--seed", type=int, default=Course.seed, help="seed of every random choice")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute")
    parser.add_argument("--weights_dir", default="", help="folder in which ImageNet's weights are looked for first")
    parser.add_argument("--random_weights", action="store_true", help="start from random weights, not ImageNet's")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if there is one")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def check(own: argparse.Namespace) -> None:
    """Stop before any work at settings that cannot be meant.

    Errors:
        InputError naming the option.
    """
    require(own.epochs >= 1, "epochs", "at least 1", own.epochs)
    require(own.batch_size >= 2, "batch_size", "at least 2", own.batch_size)
    require(own.learning_rate > 0, "learning_rate", "above 0", own.learning_rate)
    require(32 <= own.size <= 4096, "size", "between 32 and 4096 pixels", own.size)
    if own.out.exists() and not own.overwrite:
        raise InputError(f"{own.out} exists already; name another file with --out, or replace it with --overwrite.")
    ensure_writable(own.out.parent)


def object_folders(data_dir: Path, names: str) -> list[Path]:
    """The folders of the objects that are named, or of all objects in ``data_dir``, sorted.

    Errors:
        InputError where there is none, or one is not there.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if wanted:
        return [find_object(data_dir / name) for name in wanted]
    found = sorted(path.parent for path in data_dir.glob("*/transforms.json"))
    if not found:
        raise InputError(
            f"There is no object with a transforms.json in {data_dir}; unpack the data there, or name its folder with "
            f"--data_dir."
        )
    return found


def album_of(folder: Path, size: int) -> Album:
    """An object's views, small."""
    config = Config()
    views = load_views(folder, max(config.image_size, round(size * MARGIN)), config.background_rgb)
    if len(views) < MIN_VIEWS:
        raise InputError(
            f"{folder} has {len(views)} views, at least {MIN_VIEWS} are needed to learn from some and to measure on "
            f"others; leave the object out with --objects."
        )
    return Album.of(views, size)


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
