"""The training of the retrieval network: from the folders of many objects to a file of weights."""

from __future__ import annotations

from pathlib import Path

import torch

from data.folders import find_object
from data.mad import load_views
from data.working_size import USUAL
from pipeline.config import Config
from pipeline.retrieval_training import RetrievalTraining
from retrieval.descriptor_training import RetrievalNet, ViewSet, train_descriptor
from retrieval.encoders import CROP_SCALE
from retrieval.settings import TrainConfig
from utils.backbones import resnet50
from utils.checkpoint import ensure_writable, write_atomically
from utils.device import pick_device
from utils.errors import InputError
from utils.progress import Progress
from utils.weights import Weights

MIN_VIEWS_PER_OBJECT = 8
RESNET50_FEATURES = 2048


def train_network(options: RetrievalTraining, config: TrainConfig) -> None:
    """Train the network on the objects that the options name, write it and print what it gave.

    Raises:
        FileNotFoundError, InputError: for missing data or weights, or a file that exists already.
    """
    out, progress = options.out, Progress(options.quiet)
    if out.exists() and not options.overwrite:
        raise InputError(f"{out} exists already; name another file with --out, or replace it with --overwrite.")
    ensure_writable(out.parent)
    folders = object_folders(options.data_dir, options.objects)
    trunk = resnet50(Weights(options.weights_dir, options.backbone, options.quiet))
    network = RetrievalNet(trunk, RESNET50_FEATURES, config.seed).to(pick_device(options.device))
    view_sets = [load_view_set(folder, config.size) for folder in progress.track(folders, "views")]
    checkpoint = out.with_name(f"{out.name}.unfinished")
    weights, degrees = train_descriptor(view_sets, network, config, checkpoint, progress)

    write_atomically(out, lambda temporary: torch.save(weights, temporary))
    checkpoint.unlink(missing_ok=True)
    views = sum(len(view_set.images) for view_set in view_sets)
    print(f"{out} objects={len(view_sets)} views={views} held_out_error={degrees:.1f}deg")
    progress.info(f"Use it with --retrieval resnet50 --weights_dir {out.parent}")


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
    views = load_views(folder, max(USUAL, round(size * CROP_SCALE)), config.background_rgb)
    if len(views) < MIN_VIEWS_PER_OBJECT:
        raise InputError(
            f"{folder} has {len(views)} views, at least {MIN_VIEWS_PER_OBJECT} are needed for training and held-out "
            f"views; leave the object out with --objects."
        )
    return ViewSet.of(views, size)
