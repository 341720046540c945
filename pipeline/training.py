"""Training: an object's posed views become a field, a gallery and a calibration in ``ckpts/<object>/``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from data.doctor.quick import BAD_VERDICT, quick_checks
from data.folders import find_object
from data.mad import read_views, views_fingerprint
from data.plain_background import HIDDEN, hidden_shares, is_plain
from data.splits import select_views
from data.transforms_file import TransformsFile
from evaluation.metrics import psnr_of_each
from nerf.fields import load_any_field
from pipeline.cameras import FILE as CAMERA_FILE
from pipeline.cameras import CameraRounds, CameraTraining
from pipeline.config import Config, config_text
from pipeline.coverage import describe_coverage, surface_seen
from pipeline.good_parts import GoodParts, learn_good_parts
from pipeline.held_out import HeldOut
from pipeline.history import forget_learned
from pipeline.methods import field_method, obtain_weights, retrieval_method, run_context, score_method
from pipeline.model import Model, load_model
from pipeline.record import TrainingRecord, step_fingerprints
from pipeline.reference_model import ReferenceModel
from retrieval.galleries import load_gallery
from scoring.scorers import Scorer, calibrate, load_scorer
from utils.checkpoint import as_checkpoint, ensure_writable, write_text
from utils.device import environment
from utils.errors import InputError
from utils.progress import Stopwatch
from utils.rendering import Field, Rendering
from utils.run_context import RunContext
from utils.views import FOLDS, Views

MIN_VIEWS = 4
LOOKED_AT = 12  # views of which colours are looked at
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
    ) -> Result:
        """Load the result of a step that is done with the same data and settings, else make and save it.

        Args:
            name: of the step, as in ``STEP_FILES``.
            stage: under which its seconds are recorded.
        """
        path = self.record.file(name, self.folder)
        if self.record.done(name, self.fingerprints[name], self.folder):
            with as_checkpoint(path):
                return load(path)
        with self.clock.stage(stage):
            result = make()
            result.save(path)
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
    if TrainingRecord.read(folder).learned:
        record = TrainingRecord()  # learned files are no step's of this training
    obtain_weights(config)  # missing weights are reported now, not after hours
    transforms = TransformsFile.read(config.object_dir)
    warn_of_data(transforms)
    ensure_writable(folder)
    forget_learned(folder)
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


def warn_of_colours(views: Views, config: Config) -> None:
    """Print a line where much of a cut-out object has the background's colour, from which no field could tell it."""
    if views.alphas is None:
        return
    some = slice(None, None, max(1, len(views) // LOOKED_AT))
    share = hidden_shares(views.images[some].numpy(), views.alphas[some].numpy() > 250)
    if share[config.background] > HIDDEN:
        clearest = min(share, key=lambda name: share[name])
        print(
            f"warning: {share[config.background]:.1%} of {config.object_name} is as {config.background} as the "
            f"background, and cannot be seen there; train, test and detect with --background {clearest}.",
            file=sys.stderr,
        )


def run_steps(run: TrainingRun) -> Model:
    """Go from views to field, gallery and calibration; each step is recorded as soon as it is done."""
    config, record, context = run.config, run.record, run.context
    views = read_views(run.transforms, config.image_size, config.background_rgb)
    views = select_views(views, config.robustness, config.seed)
    warn_of_colours(views, config)
    check_count(len(views), config)
    record.views, record.intrinsics = len(views), asdict(views.intrinsics)
    record.photo_camera = run.transforms.content.get("photo_camera")

    rounds = CameraRounds.read(run.folder / CAMERA_FILE, run.fingerprints["field"])
    held_out = HeldOut(views, config, context, rounds)
    record.trained_views = len(held_out.train)
    if held_out.crossed:
        warn_of_few(record, config)
    field = run.step(
        "field",
        "train",
        make=lambda: train_field(held_out, run),
        load=lambda path: load_any_field(path, context.device),
    )
    check_field(config, record, views, held_out.crossed)
    train = rounds.refined(held_out.train)
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
        make=lambda: calibrated(held_out, reference, record),
        load=lambda path: load_scorer(path, config.score, context),
    )
    if held_out.crossed:
        warn_of_threshold(scorer)
    good_parts = run.step(
        "parts",
        "parts",
        make=lambda: learned_parts(held_out, reference, scorer),
        load=GoodParts.load,
    )
    return Model(config, views.intrinsics, context, field, gallery, scorer, good_parts, record)


def check_count(views: int, config: Config) -> None:
    """Raise an InputError where there are too few views to train and measure a field."""
    if views < MIN_VIEWS:
        raise InputError(
            f"{config.object_dir} has {views} training views, at least {MIN_VIEWS} are needed, and some 60 from all "
            f"sides are a good number; take more photos."
        )


def warn_of_few(record: TrainingRecord, config: Config) -> None:
    """Print that there are few views, and what comes of it."""
    print(
        f"warning: {config.object_name} has {record.views} training views, too few to hold some out: each is held out "
        f"once, of one of {FOLDS} more trainings. What no view shows cannot be judged; some 60 from all sides are "
        f"a good number.",
        file=sys.stderr,
    )


def warn_of_threshold(scorer: Scorer) -> None:
    """Print how exactly the threshold is known."""
    if scorer.calibration.interval is not None:
        low, high = scorer.calibration.interval
        print(
            f"warning: the threshold {scorer.threshold:.2f} was learned from {scorer.calibration.count:.0f} views; "
            f"its 95 % interval is {low:.2f} to {high:.2f}.",
            file=sys.stderr,
        )


def train_field(held_out: HeldOut, run: TrainingRun) -> Field:
    """Train the field, resuming an interrupted training of the same data and settings; record how good it is.

    Args:
        held_out: views that tell what residuals to expect, and those that do not.
    """
    views, rounds = held_out.train, held_out.rounds
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
    pairs = held_out.renderings(field)
    record_psnr(pairs, held_out, run.record)
    run.record.surface_seen = surface_seen(field, rounds.refined(views).camera_to_world, views.intrinsics)
    return field.calibrate(pairs)


def calibrated(held_out: HeldOut, model: ReferenceModel, record: TrainingRecord) -> Scorer:
    """Learn how good images differ from their references; record the poses that were found."""
    found = held_out.references(model)
    record.held_out_poses = {pair.name: pair.camera_to_world.tolist() for pair in found}
    pairs = [(pair.query, pair.reference) for pair in found]
    return calibrate(pairs, score_method(model.config).make(model.context), model.config.score.false_positive_rate)


def learned_parts(held_out: HeldOut, model: ReferenceModel, scorer: Scorer) -> GoodParts:
    """Learn what good views look like on the object's surface."""
    pairs = held_out.references(model)
    return learn_good_parts(pairs, [scorer.compare(pair.query, pair.reference)[0] for pair in pairs], model)


def record_psnr(pairs: Sequence[tuple[Rendering, Tensor]], held_out: HeldOut, record: TrainingRecord) -> None:
    """Record the PSNR in dB of the held-out views as rendered, and of images of the bare background."""
    background = torch.tensor(held_out.views.background)
    record.psnr_by_view = psnr_of_each((rendering.colour, truth) for rendering, truth in pairs)
    record.psnr = fmean(record.psnr_by_view)
    record.blank_psnr = fmean(psnr_of_each((background.expand_as(truth), truth) for _, truth in pairs))


def check_field(config: Config, record: TrainingRecord, views: Views, few: bool = False) -> None:
    """Raise an InputError for a field that shows held-out views too badly, unless the settings allow it.

    Args:
        views: that the field was made of; where they have neither masks nor a plain background, that is said.
        few: whether they lie too far apart to show one another: then it is a warning.
    """
    found, blank = record.psnr or 0.0, record.blank_psnr or 0.0
    needed_psnr = max(config.min_psnr, blank + MIN_PSNR_GAIN)
    if found >= needed_psnr or config.allow_bad_field:
        return
    if few:
        print(
            f"warning: the {record.views} views of {config.object_name} hardly show one another: each has a PSNR of "
            f"{found:.1f} dB in a field of the others, {needed_psnr:.1f} dB is a good one; more views would help, some "
            f"60 from all sides.",
            file=sys.stderr,
        )
        return
    advice = "check the poses and the background"
    if not is_plain(views.images.numpy(), views.background):
        advice = f"the photos have no masks and no plain background: run python -m data masks {config.object_dir}"
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
    if record.surface_seen is not None:
        print(f"{model.config.object_name} {describe_coverage(record.trained_views, record.surface_seen)}")
