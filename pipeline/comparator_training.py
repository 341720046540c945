"""Trains the comparator on generated toys: the one part of the program that is learned across objects.

    python -m pipeline.comparator_training data/toys/beetle data/toys/goose ...

Each folder is an object in the MAD layout with ground truth. Its field and gallery are trained as for any object; its
test images and held-out views, with references at *estimated* poses, are what the comparator learns from. Use toys
made by ``python -m data generate``, never objects that results are reported on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from data.mad import list_queries, load_views
from pipeline.config import Config, read_config
from pipeline.methods import field_method, retrieval_method, run_context
from pipeline.model import ReferenceModel
from pipeline.photos import PhotoReader
from scoring.training import TrainingExample, train_comparator
from utils.checkpoint import save_tensors
from utils.config import require
from utils.errors import exit_code_of
from utils.images import read_mask
from utils.progress import Progress
from utils.views import split_held_out

MIN_STEPS = 20  # of which the first tenth raises the learning rate


def main(argv: list[str]) -> int:
    """Train and save the comparator; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("objects", nargs="+", type=Path, help="folders of generated toys, in the MAD layout")
    parser.add_argument("--out", type=Path, default=Path("comparator.safetensors"), help="file to write")
    parser.add_argument("--config", type=Path, help="settings of fields and poses that differ from the defaults")
    parser.add_argument("--steps", type=int, default=5000, help="optimiser steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    require(args.steps >= MIN_STEPS, "steps", f"at least {MIN_STEPS}", args.steps)
    config = read_config(args.config) if args.config else Config()
    config, progress = replace(config, seed=args.seed, quiet=args.quiet), Progress(args.quiet)
    examples = [example for folder in args.objects for example in examples_of(folder, config, progress)]
    comparator = train_comparator(examples, args.steps, args.seed, progress)
    names = [folder.name for folder in args.objects]
    header = {"kind": "comparator", "toys": names, "steps": args.steps, "seed": args.seed}
    save_tensors(args.out, comparator.state_dict(), header)
    print(f"{args.out}: {len(examples)} images of {', '.join(names)}")
    return 0


def examples_of(folder: Path, config: Config, progress: Progress) -> list[TrainingExample]:
    """All images of an object that its field has not seen, each with its reference."""
    config = replace(config, object_name=folder.name, data_dir=str(folder.parent))
    views = load_views(folder, config.image_size, config.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.val_every))
    context = run_context(config)
    field = field_method(config).train(train, context, None)
    gallery = retrieval_method(config).build(train, field.render, context)
    model = ReferenceModel(config, views.intrinsics, context.device, field, gallery)
    images: list[tuple[str, Tensor, Tensor | None]] = [
        (f"view {index}", held_out.image(index), None) for index in range(len(held_out))
    ]
    photos = PhotoReader(config, views.intrinsics)
    for query in list_queries(folder):
        mask = read_mask(query.mask_path) if query.mask_path else None
        images.append((query.name, photos.read_query(query.path), mask))
    examples = []
    for name, image, mask in progress.track(images, folder.name):
        conditioned = model.condition(image)
        reference = model.reference(conditioned, model.locate(conditioned, name).camera_to_world)
        examples.append(TrainingExample.of(conditioned, reference, mask))
    return examples


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
