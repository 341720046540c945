"""Training: an object's posed views become a field, a gallery and a calibration in ``ckpts/<object>/``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from data.doctor.quick import BAD_VERDICT, quick_checks
from data.folders import find_object
from data.mad import read_views, views_fingerprint
from data.plain_background import is_plain
from data.splits import select_views
from data.transforms_file import TransformsFile
from evaluation.metrics import psnr
from nerf.fields import load_any_field
from pipeline.cameras import FILE as CAMERA_FILE
from pipeline.cameras import CameraRounds, CameraTraining
from pipeline.config import Config, config_text
from pipeline.methods import field_method, obtain_weights, retrieval_method, run_context, score_method
from pipeline.model import Model, ReferenceModel, load_model
from pipeline.record import STEP_FILES, TrainingRecord, step_fingerprints
from retrieval.galleries import load_gallery
from scoring.scorers import Scorer, calibrate, load_scorer
from utils.checkpoint import as_checkpoint, ensure_writable, write_text
from utils.device import environment
from utils.errors import InputError
from utils.exposure import match_exposure
from utils.progress import Stopwatch
from utils.rendering import Field, Rendering
from utils.run_context import RunContext
from utils.views import Views, split_held_out

MIN_VIEWS = 8
FARTHER = 3  # nearest training views that references of the calibration do without
MAX_PSNR = 100.0  # dB; stands for infinity, where two images are equal
MIN_PSNR_GAIN = 6.0  # dB by which a field must beat an image that shows the bare background


class Saveable(Protocol):
    """A result that has a file."""

    def save(self, path: Path) -> None: ...


Result = TypeVar("Result", bound=Saveable)


@dataclass(frozen=True)
class TrainingRun:
    """What the steps of one training share."""

    config: Config
    transforms: TransformsFile  # of the object, read once
    record: TrainingRecord
    fingerprints: dict[str, str]  # of each step: what its result depends on
    context: RunContext
    clock: Stopwatch

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.config.checkpoint_dir

    def step(
        self,
        name: str,
        stage: str,
        make: Callable[[], Result],
        load: Callable[[Path], Result],
        measure: Callable[[Result], None] = lambda _: None,
    ) -> Result:
        """Load the result of a step that is done with the same data and settings, else make, measure and save it.

        Args:
            name: of the step, as in ``STEP_FILES``.
            stage: under which its seconds are recorded.
        """
        path = self.folder / STEP_FILES[name]
        if self.record.done(name, self.fingerprints[name], self.folder):
            with as_checkpoint(path):
                return load(path)
        with self.clock.stage(stage):
            result = make()
            result.save(path)
        measure(result)
        self.record.steps[name] = self.fingerprints[name]
        self.record.seconds[stage] = round(self.clock.seconds[stage], 3)
        self.record.write(self.folder)
        return result


def train_object(config: Config) -> Model:
    """Train one object; a step that is done with the same data and settings is skipped.

    Raises:
        FileNotFoundError, InputError: for data or settings that cannot be trained with.
    """
    config = replace(config, inerf=replace(config.inerf, save_video=False))  # videos are of queries
    folder, context = config.checkpoint_dir, run_context(config)
    data = views_fingerprint(find_object(config.object_dir))
    prints = step_fingerprints(config, data)
    record = TrainingRecord() if config.overwrite else TrainingRecord.read(folder)
    if all(record.done(step, prints[step], folder) for step in prints):
        context.progress.info(f"{config.object_name} is trained already; --overwrite trains it again.")
        return load_model(config)
    obtain_weights(config)  # missing weights are reported now, not after hours
    transforms = TransformsFile.read(config.object_dir)
    warn_of_data(transforms)
    ensure_writable(folder)
    record.data = data
    write_text(folder / "config.txt", config_text(config))
    model = run_steps(TrainingRun(config, transforms, record, prints, context, Stopwatch(context.device)))
    record.environment = environment(context.device)
    record.write(folder)
    return model


def warn_of_data(transforms: TransformsFile) -> None:
    """Print one line for each mistake in files and cameras that shows without looking at a pixel."""
    for check in quick_checks(transforms):
        if check.verdict == BAD_VERDICT:
            where = f"python -m data doctor {transforms.object_dir}"
            print(f"warning: {check.name}: {check.advice} ({where} tells more)", file=sys.stderr)


def run_steps(run: TrainingRun) -> Model:
    """Go from views to field, gallery and calibration; each step is recorded as soon as it is done."""
    config, record, context = run.config, run.record, run.context
    views = read_views(run.transforms, config.image_size, config.background_rgb)
    check_count(len(views), config)
    views = select_views(views, config.robustness, config.seed)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.val_every))
    record.views, record.intrinsics = len(views), asdict(views.intrinsics)
    record.photo_camera = run.transforms.content.get("photo_camera")

    rounds = CameraRounds.read(run.folder / CAMERA_FILE, run.fingerprints["field"])
    field = run.step(
        "field",
        "train",
        make=lambda: train_field(train, held_out, run, rounds),
        load=lambda path: load_any_field(path, context.device),
        measure=lambda made: record_psnr(made, rounds.held_out(held_out, made), record),
    )
    check_field(config, record, is_plain(views.images.numpy(), views.background))
    train = rounds.refined(train)
    gallery = run.step(
        "gallery",
        "gallery",
        make=lambda: retrieval_method(config).build(train, field.render, context),
        load=lambda path: load_gallery(path, config.retrieval, context),
    )
    reference = ReferenceModel(config, views.intrinsics, context, field, gallery)
    scorer = run.step(
        "calibration",
        "calibrate",
        make=lambda: calibrated(held_out, reference),
        load=lambda path: load_scorer(path, config.score, context),
    )
    return Model(config, views.intrinsics, context, field, gallery, scorer, record)


def check_count(views: int, config: Config) -> None:
    """Raise an InputError where there are too few views to train and measure a field."""
    if views < MIN_VIEWS:
        raise InputError(
            f"{config.object_dir} has {views} training views, at least {MIN_VIEWS} are needed, and some 60 from all "
            f"sides are a good number; take more photos."
        )


def train_field(views: Views, held_out: Views, run: TrainingRun, rounds: CameraRounds) -> Field:
    """Train the field, resuming an interrupted training of the same data and settings.

    Args:
        views: with the cameras as given; ``rounds`` keeps the refined ones.
        held_out: views that tell what residuals to expect.
    """
    unfinished = run.folder / f"field-{run.fingerprints['field'][:8]}.unfinished.safetensors"
    for stale in run.folder.glob("field-*.unfinished.safetensors"):
        if stale != unfinished or run.config.overwrite:
            stale.unlink()
    if run.config.overwrite:
        rounds.rounds.clear()

    def train(on: Views, context: RunContext) -> Field:
        return field_method(run.config).train(on, context, unfinished)

    if run.config.refine_poses == "never":
        field = train(views, run.context)
    else:
        field = CameraTraining(views, rounds, run.context, run.config.refine_poses).train(train)
    unfinished.unlink(missing_ok=True)
    return field.calibrate(rounds.held_out(held_out, field))


def calibrated(held_out: Views, model: ReferenceModel) -> Scorer:
    """Learn how good images differ from their references."""
    pairs = held_out_pairs(held_out, model)
    return calibrate(pairs, score_method(model.config).make(model.context), model.config.score.false_positive_rate)


def held_out_pairs(held_out: Views, model: ReferenceModel) -> list[tuple[Tensor, Rendering]]:
    """Pair held-out views with their references, at poses that are searched as for a query.

    Held-out views lie where views do, queries may be farther from all of them: the references are made without the
    ``FARTHER`` nearest views.

    Raises:
        InputError: where fewer than half of the poses are found.
    """
    pairs = []
    for index in model.context.progress.track(range(len(held_out)), "calibrate"):
        query = model.condition(held_out.image(index))
        refinement = model.locate(query, f"view {index}")
        if refinement.found or model.config.allow_bad_field:
            pose, rendering = refinement.camera_to_world, refinement.rendering
            pairs.append((query, model.reference(query, pose, rendering, FARTHER)))
    if 2 * len(pairs) < len(held_out):
        raise InputError(
            f"Poses were found for only {len(pairs)} of {len(held_out)} held-out good views of "
            f"{model.config.object_name}, too few to calibrate; check the poses of the views, or add views."
        )
    return pairs


def record_psnr(field: Field, held_out: Views, record: TrainingRecord) -> None:
    """Record the mean PSNR in dB of the held-out views as rendered, and of images of the bare background."""
    rendered, blank = [], []
    background = torch.tensor(held_out.background)
    for index in range(len(held_out)):
        truth = held_out.image(index)
        rendering = field.render_reference(held_out.camera_to_world[index], held_out.intrinsics)
        if field.exposure_varies:
            rendering = match_exposure(rendering, truth.to(rendering.colour.device), held_out.background)
        rendered.append(min(psnr(rendering.colour.cpu(), truth), MAX_PSNR))
        blank.append(min(psnr(background.expand_as(truth), truth), MAX_PSNR))
    record.psnr, record.blank_psnr = sum(rendered) / len(rendered), sum(blank) / len(blank)


def check_field(config: Config, record: TrainingRecord, plain: bool = True) -> None:
    """Raise an InputError for a field that shows held-out views too badly, unless the settings allow it.

    Args:
        plain: whether the views have a plain background, or masks.
    """
    found, blank = record.psnr or 0.0, record.blank_psnr or 0.0
    needed_psnr = max(config.min_psnr, blank + MIN_PSNR_GAIN)
    advice = "check the poses and the background"
    if not plain:
        advice = f"the photos have no masks and no plain background: run python -m data masks {config.object_dir}"
    if found < needed_psnr and not config.allow_bad_field:
        raise InputError(
            f"The field of {config.object_name} is bad: held-out views have a PSNR of {found:.1f} dB, at least "
            f"{needed_psnr:.1f} dB were expected (a blank image has {blank:.1f}); {advice}, or continue with "
            f"--allow_bad_field."
        )


def print_training(model: Model) -> None:
    """Print one line of what training gave."""
    record = model.record
    seconds = " ".join(f"{name}={value:.1f}s" for name, value in record.seconds.items())
    print(f"{model.config.object_name} psnr={record.psnr:.2f}dB {seconds} checkpoint={model.config.checkpoint_dir}")
