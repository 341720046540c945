"""What the comparator is trained on: images of generated toys, each with the reference at its estimated pose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from data.mad import list_queries, load_views
from pipeline.config import Config
from pipeline.methods import field_method, retrieval_method, run_context
from pipeline.model import ReferenceModel
from pipeline.photos import PhotoReader
from scoring.training import TrainingExample, train_comparator
from utils.checkpoint import save_tensors
from utils.images import read_mask
from utils.progress import Progress
from utils.views import split_held_out


def train_on_toys(folders: list[Path], config: Config, steps: int, out: Path) -> int:
    """Train the comparator on generated toys and write it to ``out``; return the number of images it saw."""
    progress = Progress(config.quiet)
    examples = [example for folder in folders for example in examples_of(folder, config, progress)]
    comparator = train_comparator(examples, steps, config.seed, progress)
    names = [folder.name for folder in folders]
    save_tensors(
        out, comparator.state_dict(), {"kind": "comparator", "toys": names, "steps": steps, "seed": config.seed}
    )
    return len(examples)


def examples_of(folder: Path, config: Config, progress: Progress) -> list[TrainingExample]:
    """All images of an object that its field has not seen, each with its reference."""
    config = replace(config, object_name=folder.name, data_dir=str(folder.parent))
    views = load_views(folder, config.image_size, config.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.val_every))
    context = run_context(config)
    field = field_method(config).train(train, context, None)
    gallery = retrieval_method(config).build(train, field.render, context)
    model = ReferenceModel(config, views.intrinsics, context, field, gallery)
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
        found = model.locate(conditioned, name)
        reference = model.reference(conditioned, found.camera_to_world, found.rendering)
        examples.append(TrainingExample.of(conditioned, reference, mask))
    return examples
