"""Testing: each query gets a reference at its own pose and is compared with it; then the figures and the report."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from utils.config import ALL_OBJECTS, Config, configured_objects
from utils.errors import InputError, exit_code_of
from utils.options import config_text, make_parser, parse, run_objects, values_of
from utils.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from data.mad import Query
    from retrieval.galleries import Gallery
    from scoring.scorers import Scorer
    from utils.camera import Intrinsics
    from utils.journal import Journal
    from utils.rendering import Field, Rendering
    from utils.report import QueryPictures
    from utils.results import Detection, ObjectReport
    from utils.stopwatch import Stopwatch
    from utils.training_record import TrainingRecord


@dataclass(frozen=True)
class Faultless:
    """The object as it should be, ready to be rendered from any side."""

    config: Config
    intrinsics: Intrinsics
    device: torch.device
    field: Field
    gallery: Gallery


@dataclass(frozen=True)
class Model(Faultless):
    """All that training leaves of an object."""

    scorer: Scorer


def detect(query: Tensor, name: str, model: Model, known: Detection | None = None) -> tuple[Detection, Tensor]:
    """The whole method for one picture.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1], of the model's picture size.
        name: the query's name.
        model: the trained object.
        known: an earlier detection of the same query, whose pose is taken over; None to search the pose.
    Returns:
        The verdict with what led to it, and the anomaly map (height, width) float32.
    """
    from utils.restore import restored
    from utils.results import Detection, verdict_at
    from utils.stopwatch import Stopwatch

    clock = Stopwatch(model.device)
    query = restored(query, model.config.background_rgb)
    pose, found, reference = find_reference(query, name, model, clock, known)
    with clock.stage("compare"):
        anomaly_map, anomaly_score = model.scorer.compare(query, reference)
    verdict = verdict_at(anomaly_score, model.scorer.threshold)
    stages = {**(known.stage_seconds if known else {}), **clock.seconds}
    seconds = sum(stages.values())
    return Detection(name, anomaly_score, verdict, found, pose.cpu(), seconds, stage_seconds=stages), anomaly_map


def find_reference(
    query: Tensor, name: str, model: Faultless, clock: Stopwatch, known: Detection | None = None
) -> tuple[Tensor, bool, Rendering]:
    """The query's pose, whether it can be trusted, and the faultless object rendered at it."""
    from inerf.refiners import refine
    from utils.exposure import as_exposed

    config = model.config
    field = as_exposed(model.field, query, config.background_rgb)
    if known is None or known.camera_to_world is None:
        with clock.stage("retrieve"):
            coarse_poses = model.gallery.retrieve(query, model.intrinsics, config.retrieval.hypotheses)
        with clock.stage("refine"):
            video = config.result_dir / name / "video.gif" if config.inerf.save_video else None
            refinement = refine(query, name, coarse_poses, model.intrinsics, field, config, video)
        pose, found = refinement.camera_to_world, refinement.found
    else:
        pose, found = known.camera_to_world.to(model.device), known.pose_found
    with clock.stage("render"):
        reference = field.render(pose, model.intrinsics)
    return pose, found, reference


def main(arguments: list[str]) -> int:
    """Test the objects that the command line names; returns the exit code."""
    parser = make_parser("Test a trained object on its test folder: figures, maps and a report in output/<object>/.")
    parser.add_argument("--rescore", action="store_true", help="score again at the poses of the last test")
    code = run_objects(parser, arguments, evaluate_object, saved=True)
    config = parse(parser, arguments)[0]
    if config.object_name == ALL_OBJECTS:
        print_means(config)
    return code


def evaluate_object(config: Config, own: argparse.Namespace) -> int:
    """All queries of one object; a test already done with the same model, queries and settings is shown again."""
    from data.mad import check_ground_truth, list_queries, query_fingerprint
    from utils.checkpoint import make_writable
    from utils.journal import Journal
    from utils.results import read_results, write_results
    from utils.training_record import TrainingRecord, hash_of

    progress, folder = Progress(config.quiet), config.result_dir
    queries = list_queries(config.object_dir)
    check_ground_truth(queries)
    record = TrainingRecord.read(config.checkpoint_dir)
    inputs = hash_of([record.steps, query_fingerprint(config.object_dir, queries), config.seed, asdict(config.study)])
    last = read_results(folder / "results.json") if own.rescore or (folder / "results.json").is_file() else None
    if last and last.environment.get("inputs") == inputs and not (config.overwrite or own.rescore):
        progress.say(f"{config.object_name} is tested already; --overwrite tests it again.")
        print_summary(last, config)
        return 0
    model = load_model(config)
    make_writable(folder)
    known = {query.name: query for query in last.queries} if last and own.rescore else {}
    journal = Journal.open(folder, hash_of([inputs, own.rescore]), afresh=config.overwrite or own.rescore)
    run_queries([query for query in queries if query.name not in journal.done], model, known, journal, progress)
    report = measure(queries, model, record, journal, inputs)
    write_pages(report, queries, model, journal)
    journal.publish(folder)
    write_results(folder / "results.json", report)
    print_summary(report, config)
    return 0


def load_model(config: Config) -> Model:
    """The trained object; an error says what is missing or was trained with other settings."""
    from utils.checkpoint import as_checkpoint
    from utils.device import pick_device
    from utils.options import build, file_values
    from utils.training_record import STEP_FILES, TrainingRecord, check_trained

    folder, device = config.checkpoint_dir, pick_device(config.device)
    if not (folder / "config.txt").is_file():
        raise InputError(
            f"There is no trained object in {folder}; run anomaly_nerf_lego.py --obj {config.object_name} first."
        )
    record = TrainingRecord.read(folder)
    check_trained(config, build(file_values(folder / "config.txt")[0]), record)
    from nerf import fields
    from retrieval import galleries
    from scoring import scorers

    paths = {step: folder / name for step, name in STEP_FILES.items()}
    with as_checkpoint(paths["field"]):
        field = fields.load(paths["field"], device)
    with as_checkpoint(paths["gallery"]):
        gallery = galleries.load(paths["gallery"], config, device)
    with as_checkpoint(paths["calibration"]):
        scorer = scorers.load(paths["calibration"], config, device)
    return Model(config, record.camera(), device, field, gallery, scorer)


def read_query(path: Path, model: Faultless) -> Tensor:
    """A query as the model takes it: float32 RGB (height, width, 3), of the size of the training views."""
    from data.masks import read_image

    config = model.config
    return check_size(read_image(path, config.object_dir, config.image_size, config.background_rgb), path, model)


def check_size(image: Tensor, path: Path, model: Faultless) -> Tensor:
    """``image`` on the model's device; an InputError where it has not the size of the training views."""
    expected = (model.intrinsics.width, model.intrinsics.height)
    if (image.shape[1], image.shape[0]) != expected:
        raise InputError(
            f"The picture {path} has {image.shape[1]}x{image.shape[0]} pixels after averaging down, the training "
            f"views have {expected[0]}x{expected[1]}; take it with the same camera settings."
        )
    return image.to(model.device)


def read_test_query(query: Query, model: Model) -> Tensor:
    """A query of the test folder, with the noise and brightness of a study."""
    from data.splits import disturbed

    return disturbed(read_query(query.path, model), query.name, model.config.study, model.config.seed)


def run_queries(
    queries: list[Query], model: Model, known: dict[str, Detection], journal: Journal, progress: Progress
) -> None:
    """Detect the queries one by one; each is noted as soon as it is done."""
    for query in progress.track(queries, model.config.object_name):
        detection, anomaly_map = detect(read_test_query(query, model), query.name, model, known.get(query.name))
        journal.add(detection, anomaly_map)


def measure(queries: list[Query], model: Model, record: TrainingRecord, journal: Journal, inputs: str) -> ObjectReport:
    """The figures: the only place where labels, masks and true poses are looked at."""
    from data.mad import read_true_poses
    from utils.environment import environment
    from utils.images import read_mask
    from utils.metrics import evaluate
    from utils.results import ObjectReport

    masks = {query.name: query.mask_path for query in queries if query.mask_path is not None}
    detections = [replace(journal.done[query.name], label=query.kind) for query in queries]
    evaluation = evaluate(
        detections,
        model.scorer.threshold,
        journal.anomaly_map,
        lambda name: read_mask(masks[name]),
        read_true_poses(model.config.object_dir),
        model.config.seed,
    )
    return ObjectReport(
        object_name=model.config.object_name,
        threshold=model.scorer.threshold,
        evaluation=evaluation,
        queries=detections,
        psnr=record.psnr,
        seconds={name: record.seconds[name] for name in ("train", "gallery", "calibrate") if name in record.seconds},
        config=values_of(model.config),
        environment={**environment(model.device), "inputs": inputs},
    )


def write_pages(report: ObjectReport, queries: list[Query], model: Model, journal: Journal) -> None:
    """What people look at: the report, the panels, the settings."""
    from utils.checkpoint import write_text
    from utils.exposure import as_exposed
    from utils.heatmap import heat_scale
    from utils.images import read_mask, to_bytes
    from utils.panels import write_panels
    from utils.report import QueryPictures, write_report

    by_name = {query.name: query for query in queries}

    def pictures_of(name: str) -> QueryPictures:
        query, pose = by_name[name], journal.done[name].camera_to_world
        assert pose is not None  # detect() always gives one
        picture = read_test_query(query, model)
        field = as_exposed(model.field, picture, model.config.background_rgb)
        reference = field.render(pose.to(model.device), model.intrinsics)
        return QueryPictures(
            query=to_bytes(picture),
            reference=to_bytes(reference.colour),
            anomaly_map=journal.anomaly_map(name),
            mask=read_mask(query.mask_path) if query.mask_path else None,
        )

    folder = model.config.result_dir
    scale = heat_scale(report.queries, journal.anomaly_map)
    write_report(folder / "report.html", report, pictures_of, scale)
    write_panels(folder / "panels.png", report, pictures_of, scale)
    write_text(folder / "config.txt", config_text(model.config))


def print_summary(report: ObjectReport, config: Config) -> None:
    """The result table, or with --quiet one line of names and values."""
    rows = {"all": report.evaluation.overall, **report.evaluation.per_defect}
    columns = ("image_auroc", "pixel_auroc", "aupro", "image_f1", "fpr")
    if config.quiet:
        overall = report.evaluation.overall
        figures = " ".join(f"{name}={show(getattr(overall, name))}" for name in columns)
        weights = " weights=random" if report.remark else ""
        print(f"{report.object_name} {figures}{weights} report={config.result_dir / 'report.html'}")
        return
    print(f"{report.object_name:14}" + "".join(f"{name:>13}" for name in ("queries", *columns)))
    for kind, row in rows.items():
        values = [str(row.queries), *(show(getattr(row, name)) for name in columns)]
        print(f"  {kind:12}" + "".join(f"{value:>13}" for value in values))
    if report.remark:
        print(report.remark)
    print(f"Report: {config.result_dir / 'report.html'}")


def print_means(config: Config) -> None:
    """The unweighted means over the configured objects that have been tested."""
    from utils.results import read_results

    paths = [config.named(name).result_dir / "results.json" for name in configured_objects()]
    tested = [read_results(path).evaluation.overall for path in paths if path.is_file()]
    for name in ("image_auroc", "pixel_auroc", "aupro"):
        values = [value for figures in tested if (value := getattr(figures, name)) is not None]
        print(f"mean of {len(values)} objects: {name}={show(sum(values) / len(values) if values else None)}")


def show(value: float | None) -> str:
    """A figure with four digits, or a dash where it is not defined."""
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
