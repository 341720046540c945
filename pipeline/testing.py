"""Testing: every query gets a verdict at its own pose; then metrics, maps and a report in ``output/<object>/``."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from functools import partial

import torch
from tabulate import tabulate
from torch import Tensor

from data.ground_truth import read_mask
from data.mad import Query, check_ground_truth, list_queries, query_fingerprint, read_true_poses
from data.plain_background import is_plain
from data.splits import disturb
from evaluation.metrics import evaluate
from evaluation.results import ObjectReport, QueryResult, mean_seen_share, read_results, write_results
from pipeline.config import Config, config_text, configured_objects
from pipeline.coverage import MIN_SEEN
from pipeline.detection import Detection
from pipeline.journal import Journal
from pipeline.methods import remark_of
from pipeline.model import Model, load_model
from pipeline.photos import PhotoReader
from pipeline.record import TrainingRecord, hash_of
from report.heatmap import heat_scale
from report.page import QueryImages, write_report
from utils.checkpoint import ensure_writable, write_text
from utils.config import values_of
from utils.device import environment
from utils.errors import InputError
from utils.images import to_bytes
from utils.progress import Progress
from utils.text import format_decimal

COLUMNS = ("image_auroc", "pixel_auroc", "aupro", "image_f1", "fpr")
MEANS = ("image_auroc", "pixel_auroc", "aupro")
format_metric = partial(format_decimal, places=4, missing="-")


def evaluate_object(config: Config, rescore: bool = False) -> ObjectReport:
    """Test one object; a test that is done with the same model, queries and settings is read again.

    Args:
        rescore: score again at the poses of the last test.
    Raises:
        FileNotFoundError, InputError: for data that cannot be tested, or an object that is not trained.
    """
    progress, folder = Progress(config.quiet), config.result_dir
    queries = list_queries(config.object_dir)
    check_ground_truth(queries)
    record = TrainingRecord.read(config.checkpoint_dir)
    if rescore and config.query_masks == "auto":
        raise InputError("--rescore scores at poses that are known; --query_masks auto finds them anew: leave out one.")
    how = [config.seed, config.query_masks, asdict(config.robustness)]
    inputs = hash_of(
        [record.steps, *([record.files] * bool(record.learned)), query_fingerprint(config.object_dir, queries), *how]
    )
    path = folder / "results.json"
    last = read_results(path) if rescore or (path.is_file() and not config.overwrite) else None
    if last and last.environment.get("inputs") == inputs and not rescore:
        progress.info(f"{config.object_name} is tested already; --overwrite tests it again.")
        return last
    model = load_model(config)
    ensure_writable(folder)
    known = {query.name: query for query in last.queries} if last and rescore else {}
    journal = Journal.open(folder, hash_of([inputs, rescore]), afresh=config.overwrite or rescore)
    run_queries([query for query in queries if query.name not in journal.done], model, known, journal, progress)
    report = measure(queries, model, journal, inputs)
    write_pages(report, queries, model, journal)
    journal.publish(folder)
    write_results(path, report)
    return report


def read_test_query(query: Query, photos: PhotoReader) -> Tensor:
    """Read a query of the test folder, with the noise and brightness of a robustness study."""
    return disturb(photos.read_query(query.path), query.name, photos.config.robustness, photos.config.seed)


def run_queries(
    queries: list[Query], model: Model, known: dict[str, QueryResult], journal: Journal, progress: Progress
) -> None:
    """Detect the queries one by one, each recorded as soon as it is done; poses of ``known`` ones are reused."""
    uncut, config = [], model.config
    for query in progress.track(queries, config.object_name):
        image, before = read_test_query(query, model.photos), known.get(query.name)
        if config.query_masks == "given" and not is_plain(to_bytes(image)[None], config.background_rgb):
            uncut.append(query.name)
        if config.query_masks == "auto":
            detection = model.detect_uncut(image, query.name)[0]
            result = as_result(detection)
        elif before is None or before.camera_to_world is None:
            detection = model.detect_image(image, query.name)
            result = as_result(detection)
        else:
            detection = model.detect_image(image, query.name, before.camera_to_world, before.pose_found)
            result = rescored(as_result(detection), before)
        journal.add(result, detection.anomaly_map)
    if uncut:
        print(
            f"warning: {len(uncut)} queries have neither masks nor a plain background, the first is {uncut[0]}; "
            f"--query_masks auto finds masks.",
            file=sys.stderr,
        )


def as_result(detection: Detection) -> QueryResult:
    """Return the part of a detection that is recorded as numbers."""
    return QueryResult(
        name=detection.name,
        anomaly_score=detection.anomaly_score,
        verdict=detection.verdict,
        pose_found=detection.pose_found,
        camera_to_world=detection.pose,
        seconds=detection.seconds,
        stage_seconds=detection.stage_seconds,
        p_value=detection.p_value,
        pose_confidence=detection.pose_confidence,
        seen_share=detection.seen_share,
    )


def rescored(now: QueryResult, before: QueryResult) -> QueryResult:
    """Add to a result at a known pose the seconds and the confidence of the pose's search."""
    stages = {**before.stage_seconds, **now.stage_seconds}
    return replace(now, stage_seconds=stages, seconds=sum(stages.values()), pose_confidence=before.pose_confidence)


def measure(queries: list[Query], model: Model, journal: Journal, inputs: str) -> ObjectReport:
    """Compute the metrics: with ``query_images`` the only place where labels, masks and true poses are read."""
    masks = {query.name: query.mask_path for query in queries if query.mask_path is not None}
    results = [replace(journal.done[query.name], defect_type=query.defect_type) for query in queries]
    evaluation = evaluate(
        results,
        model.scorer.threshold,
        journal.anomaly_map,
        lambda name: read_mask(masks[name]) if name in masks else None,
        read_true_poses(model.config.object_dir),
        model.config.seed,
    )
    seconds = model.record.seconds
    return ObjectReport(
        object_name=model.config.object_name,
        threshold=model.scorer.threshold,
        evaluation=evaluation,
        queries=results,
        threshold_ci=model.scorer.calibration.interval,
        surface_seen=model.record.surface_seen,
        psnr=model.record.psnr,
        seconds={name: seconds[name] for name in ("train", "gallery", "calibrate") if name in seconds},
        config=values_of(model.config),
        environment={**environment(model.device), "inputs": inputs},
        remark=remark_of(model.config),
    )


def write_pages(report: ObjectReport, queries: list[Query], model: Model, journal: Journal) -> None:
    """Write what people look at: the report, the panels, the settings."""
    from report.figure import write_panels  # noqa: PLC0415  matplotlib: a second that a finished test need not wait for

    by_name = {query.name: query for query in queries}

    def images_of(name: str) -> QueryImages:
        pose = journal.done[name].camera_to_world
        assert pose is not None  # detect_image() always gives one
        return query_images(model, by_name[name], pose, journal.anomaly_map(name))

    folder = model.config.result_dir
    scale = heat_scale(report.queries, journal.anomaly_map)
    write_report(folder / "report.html", report, images_of, scale)
    write_panels(folder / "panels.png", report, images_of, scale)
    write_text(folder / "config.txt", config_text(model.config))


def query_images(model: Model, query: Query, pose: Tensor, anomaly_map: Tensor) -> QueryImages:
    """Return the images that people look at of a query at its pose (4, 4), with its map (height, width)."""
    image = read_test_query(query, model.photos)
    reference = model.reference(model.condition(image), pose)
    return QueryImages(
        query=to_bytes(image),
        reference=to_bytes(reference.colour),
        anomaly_map=anomaly_map,
        mask=read_mask(query.mask_path) if query.mask_path else None,
        unseen=reference.unseen,
    )


def print_summary(report: ObjectReport, config: Config) -> None:
    """Print the table of results, or with --quiet one line of names and values."""
    page = config.result_dir / "report.html"
    if config.quiet:
        figures = " ".join(f"{name}={format_metric(getattr(report.evaluation.overall, name))}" for name in COLUMNS)
        backbone = f" backbone={report.config['backbone']}" if report.remark else ""
        print(f"{report.object_name} {figures}{backbone} report={page}")
        return
    groups = {"all": report.evaluation.overall, **report.evaluation.per_defect}
    rows = [
        [kind, row.queries, *(format_metric(getattr(row, name)) for name in COLUMNS)] for kind, row in groups.items()
    ]
    print(tabulate(rows, [report.object_name, "queries", *COLUMNS], stralign="right", colalign=("left",)))
    if report.remark:
        print(report.remark)
    seen = mean_seen_share(report.queries)
    if seen is not None and seen < MIN_SEEN:
        print(f"Only {100 * seen:.0f} % of what the queries show was seen in training; the rest is not judged.")
    print(f"Report: {page}")


def print_means(config: Config) -> None:
    """Print the unweighted means over the configured objects that have been tested."""
    paths = [config.named(name).result_dir / "results.json" for name in configured_objects()]
    tested = [read_results(path).evaluation.overall for path in paths if path.is_file()]
    for name in MEANS:
        values = [value for figures in tested if (value := getattr(figures, name)) is not None]
        mean = torch.tensor(values, dtype=torch.float64).mean().item() if values else None
        print(f"mean of {len(values)} objects: {name}={format_metric(mean)}")
