"""Training: an object's posed views become a field, a gallery and a calibration in ``ckpts/<object>/``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from utils.config import Config
from utils.errors import InputError, exit_code_of
from utils.options import config_text, make_parser, run_objects
from utils.progress import Progress

if TYPE_CHECKING:
    from auroc_test import Faultless
    from retrieval.galleries import Gallery
    from utils.rendering import Field
    from utils.stopwatch import Stopwatch
    from utils.training_record import TrainingRecord
    from utils.views import Views

MIN_VIEWS = 8
MAX_PSNR = 100.0  # dB; stands for infinity, where two pictures are equal
BETTER_THAN_BLANK = 6.0  # dB by which a field must beat a picture that shows the bare background


def main(arguments: list[str]) -> int:
    """Train the objects that the command line names; returns the exit code."""
    parser = make_parser(
        "Train an object from its posed normal views: field, gallery and calibration in ckpts/<object>/."
    )
    return run_objects(parser, arguments, train_object)


def train_object(config: Config, own: argparse.Namespace) -> int:
    """All steps for one object; a step already done with the same data and settings is skipped."""
    from data.mad import find_object, fingerprint
    from utils.checkpoint import make_writable, write_text
    from utils.device import pick_device
    from utils.environment import environment
    from utils.training_record import TrainingRecord, step_fingerprints
    from utils.weights import needed, obtain, weights_of

    config = replace(config, inerf=replace(config.inerf, save_video=False))  # videos are of queries
    progress, folder = Progress(config.quiet), config.checkpoint_dir
    data = fingerprint(find_object(config.object_dir))
    prints = step_fingerprints(config, data)
    record = TrainingRecord() if config.overwrite else TrainingRecord.read(folder)
    if all(record.done(step, prints[step], folder) for step in prints):
        progress.say(f"{config.object_name} is trained already; --overwrite trains it again.")
    else:
        for name in needed(config):
            obtain(name, weights_of(config))  # missing weights are told now, not after hours
        warn_of_data(config)
        make_writable(folder)
        record.data = data
        write_text(folder / "config.txt", config_text(config))
        run_steps(config, record, prints, progress)
        record.environment = environment(pick_device(config.device))
        record.write(folder)
    seconds = " ".join(f"{name}={value:.1f}s" for name, value in record.seconds.items())
    print(f"{config.object_name} psnr={record.psnr:.2f}dB {seconds} checkpoint={folder}")
    return 0


def warn_of_data(config: Config) -> None:
    """One line for each thing about files and cameras that the doctor finds wrong without looking at a pixel."""
    from data.checks.quick import BAD_VERDICT, quick_checks

    for check in quick_checks(config.object_dir):
        if check.verdict == BAD_VERDICT:
            where = f"python -m data doctor {config.object_dir}"
            print(f"warning: {check.name}: {check.advice} ({where} tells more)", file=sys.stderr)


def run_steps(config: Config, record: TrainingRecord, prints: dict[str, str], progress: Progress) -> None:
    """Views → field → gallery → calibration; each step is on record as soon as it is done."""
    from auroc_test import Faultless
    from data.mad import load_views, read_transforms
    from data.splits import study_views
    from utils.device import pick_device
    from utils.stopwatch import Stopwatch
    from utils.views import split_held_out

    folder, device = config.checkpoint_dir, pick_device(config.device)
    clock = Stopwatch(device)
    views = load_views(config.object_dir, config.image_size, config.background_rgb)
    check_count(len(views), config)
    views = study_views(views, config.study, config.seed)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.held_out_every))
    record.views, record.intrinsics = len(views), asdict(views.intrinsics)
    record.photo_camera = read_transforms(config.object_dir).get("photo_camera")

    def finish(step: str, name: str) -> None:
        record.steps[step], record.seconds[name] = prints[step], round(clock.seconds[name], 3)
        record.write(folder)

    field = make_field(train, config, record, prints["field"], clock, progress)
    if not record.done("field", prints["field"], folder):
        record.psnr, record.blank_psnr = measure_field(field, held_out)
        finish("field", "train")
    check_field(config, record)
    gallery = make_gallery(train, field, config, record, prints["gallery"], clock, progress)
    if not record.done("gallery", prints["gallery"], folder):
        finish("gallery", "gallery")
    if not record.done("calibration", prints["calibration"], folder):
        model = Faultless(config, views.intrinsics, device, field, gallery)
        make_calibration(held_out, model, clock, progress)
        finish("calibration", "calibrate")


def check_count(views: int, config: Config) -> None:
    """A field needs views to learn from, and others to be measured on."""
    if views < MIN_VIEWS:
        raise InputError(
            f"{config.object_dir} has {views} training views, at least {MIN_VIEWS} are needed, and some 60 from all "
            f"sides are a good number; take more photos."
        )


def make_field(
    views: Views, config: Config, record: TrainingRecord, wanted: str, clock: Stopwatch, progress: Progress
) -> Field:
    """The field, read where it is done, else trained, from where an interrupted training stopped."""
    from nerf import fields
    from utils.checkpoint import as_checkpoint
    from utils.training_record import STEP_FILES

    folder = config.checkpoint_dir
    if record.done("field", wanted, folder):
        with as_checkpoint(folder / STEP_FILES["field"]):
            return fields.load(folder / STEP_FILES["field"], clock.device)
    unfinished = folder / f"field-{wanted[:8]}.unfinished.safetensors"
    for stale in folder.glob("field-*.unfinished.safetensors"):
        if stale != unfinished or config.overwrite:
            stale.unlink()
    with clock.stage("train"):
        field = fields.train(views, config, clock.device, unfinished, progress)
        field.save(folder / STEP_FILES["field"])
    unfinished.unlink(missing_ok=True)
    return field


def make_gallery(
    views: Views,
    field: Field,
    config: Config,
    record: TrainingRecord,
    wanted: str,
    clock: Stopwatch,
    progress: Progress,
) -> Gallery:
    """The gallery, read where it is done, else made from views and renderings."""
    from retrieval import galleries
    from utils.checkpoint import as_checkpoint
    from utils.training_record import STEP_FILES

    path = config.checkpoint_dir / STEP_FILES["gallery"]
    if record.done("gallery", wanted, config.checkpoint_dir):
        with as_checkpoint(path):
            return galleries.load(path, config, clock.device)
    with clock.stage("gallery"):
        gallery = galleries.build(views, field.render, config, clock.device, progress)
        gallery.save(path)
    return gallery


def make_calibration(held_out: Views, model: Faultless, clock: Stopwatch, progress: Progress) -> None:
    """The calibration: how normal views differ from their references, all at poses found as a query's are found."""
    from auroc_test import find_reference
    from scoring import scorers
    from utils.restore import restored
    from utils.stopwatch import Stopwatch
    from utils.training_record import STEP_FILES

    pairs = []
    with clock.stage("calibrate"):
        for index in progress.track(range(len(held_out)), "calibrate"):
            query = restored(held_out.image(index).to(model.device), held_out.background)
            _, found, reference = find_reference(query, f"view {index}", model, Stopwatch(model.device))
            if found or model.config.allow_bad_field:
                pairs.append((query, reference))
        if 2 * len(pairs) < len(held_out):
            raise InputError(
                f"Poses were found for only {len(pairs)} of {len(held_out)} held-out normal views of "
                f"{model.config.object_name}, too few to calibrate; check the poses of the views, or add views."
            )
        scorer = scorers.calibrate(pairs, model.config, model.device)
        scorer.save(model.config.checkpoint_dir / STEP_FILES["calibration"])


def measure_field(field: Field, held_out: Views) -> tuple[float, float]:
    """Mean PSNR in dB of the held-out views as rendered, and as if they showed the bare background."""
    import torch

    from utils.exposure import as_exposed
    from utils.metrics import psnr

    rendered, blank = [], []
    background = torch.tensor(held_out.background)
    for index in range(len(held_out)):
        truth = held_out.image(index)
        seen = as_exposed(field, truth, held_out.background)
        rendering = seen.render(held_out.camera_to_world[index], held_out.intrinsics)
        rendered.append(min(psnr(rendering.colour.cpu(), truth), MAX_PSNR))
        blank.append(min(psnr(background.expand_as(truth), truth), MAX_PSNR))
    return sum(rendered) / len(rendered), sum(blank) / len(blank)


def check_field(config: Config, record: TrainingRecord) -> None:
    """The gate that no bad field passes unseen."""
    psnr, blank = record.psnr or 0.0, record.blank_psnr or 0.0
    needed = max(config.min_psnr, blank + BETTER_THAN_BLANK)
    if psnr < needed and not config.allow_bad_field:
        raise InputError(
            f"The field of {config.object_name} is bad: held-out views have a PSNR of {psnr:.1f} dB, at least "
            f"{needed:.1f} dB were expected (a blank picture has {blank:.1f}); check the poses and the background, "
            f"or go on with --allow_bad_field."
        )


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
