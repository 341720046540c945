"""Trains the comparator on generated toys: the one part of the program that is learned across objects.

    python train_comparator.py data/toys/beetle data/toys/goose ...

Each folder is an object in the MAD layout with ground truth. Its field and gallery are trained as for any object; its
test pictures and held-out views, with references at *estimated* poses, are what the comparator learns from. Use toys
made by ``python -m data generate``, never objects that results are reported on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from utils.config import Config
from utils.errors import exit_code_of
from utils.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from auroc_test import Faultless
    from scoring.learn import Example


def main(arguments: list[str]) -> int:
    """Train and save the comparator; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("objects", nargs="+", type=Path, help="folders of generated toys, in the MAD layout")
    parser.add_argument("--out", type=Path, default=Path("ckpts/comparator.safetensors"), help="file to write")
    parser.add_argument("--steps", type=int, default=5000, help="optimiser steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    own = parser.parse_args(arguments)
    progress = Progress(own.quiet)
    from scoring.learn import learn
    from utils.checkpoint import save_tensors

    examples = [example for folder in own.objects for example in examples_of(folder, own.seed, progress)]
    comparator = learn(examples, own.steps, own.seed, progress)
    names = [folder.name for folder in own.objects]
    save_tensors(own.out, comparator.state(), {"kind": "comparator", "toys": names, "steps": own.steps})
    print(f"{own.out}: {len(examples)} pictures of {', '.join(names)}")
    return 0


def examples_of(folder: Path, seed: int, progress: Progress) -> list[Example]:
    """All pictures of an object that the field has not seen, with their references."""
    import torch

    from auroc_test import Faultless, read_query
    from data.mad import list_queries, load_views
    from nerf.train import train_field
    from retrieval.gallery import build_gallery
    from utils.images import read_mask
    from utils.views import split_held_out

    config = Config(object_name=folder.name, data_dir=str(folder.parent), seed=seed)
    views = load_views(folder, config.image_size, config.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.held_out_every))
    device = torch.device("cpu")
    field = train_field(train, config.field, device, seed, None, progress)
    gallery = build_gallery(train, field.render, config.retrieval)
    model = Faultless(config, views.intrinsics, device, field, gallery)
    examples = [example(held_out.image(index), f"view {index}", None, model) for index in range(len(held_out))]
    for query in progress.track(list_queries(folder), folder.name):
        mask = read_mask(query.mask_path) if query.mask_path else None
        examples.append(example(read_query(query.path, model), query.name, mask, model))
    return examples


def example(query: Tensor, name: str, mask: Tensor | None, model: Faultless) -> Example:
    """What one picture (height, width, 3) teaches, at the pose found for it."""
    from auroc_test import find_reference
    from scoring.learn import Example
    from utils.restore import restored
    from utils.stopwatch import Stopwatch

    query = restored(query, model.config.background_rgb)
    _, _, reference = find_reference(query, name, model, Stopwatch(model.device))
    return Example.of(query, reference, mask)


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
