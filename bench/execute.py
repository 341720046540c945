"""The work of a run: fit, set the threshold, predict, measure; parts that are on disk already are skipped."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from baselines.protocol import Method
from baselines.registry import make_method
from bench.memory import PeakMemory
from bench.runs import FAILURE, RESULTS, VERSION, Run, RunResult, lock_of, read_result, record_failure
from data.ground_truth import read_mask
from data.mad import (
    Query,
    check_ground_truth,
    list_queries,
    load_views,
    query_fingerprint,
    read_true_poses,
    views_fingerprint,
)
from data.masks import read_object_image
from evaluation.metrics import evaluate
from evaluation.results import STAND_IN_REMARKS, Evaluation, ObjectReport, QueryResult, verdict_at, write_results
from pipeline.journal import Journal
from pipeline.record import hash_of
from scoring.calibration import Calibration
from utils.checkpoint import write_text
from utils.device import environment, pick_device
from utils.errors import InputError
from utils.progress import Progress
from utils.run_context import RunContext
from utils.views import Views, split_held_out
from utils.weights import Weights, stand_in_among

MODEL_DIR, FIT_FILE = "model", "fit.json"


def execute(run: Run) -> RunResult:
    """Do a run that is not done yet; an error becomes the run's failure and does not stop others.

    A run that another process is doing is left to it: the result is pending.
    """
    try:
        with lock_of(run):
            return RunResult(run, finished_report(run))
    except Timeout:
        return RunResult(run)
    except ModuleNotFoundError as error:
        needs = f"{run.display_name} needs the package {error.name}, which is not installed"
        return record_failure(run, f'{needs}; run: pip install -e ".[benchmark]"')
    except Exception as error:  # whatever a method may raise
        if isinstance(error, (InputError, OSError)):
            return record_failure(run, str(error))
        traceback.print_exc()
        return record_failure(run, f"{type(error).__name__}: {error}")


def finished_report(run: Run) -> ObjectReport:
    """Return the run's report: read where it is done with the same images and settings, else made."""
    method = method_of(run)
    queries, settings, data, inputs = inputs_of(run, method)
    if (done := done_report(run, inputs)) is not None:
        return done
    memory = PeakMemory(method.context.device)
    views = load_views(run.object_dir, run.config.image_size, run.config.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), run.config.val_every))
    wall, processor = fitted(method, train, data)
    seconds = {"fit": wall}
    threshold = calibrated_threshold(method, held_out, run.config.false_positive_rate)
    journal = Journal.open(run.folder, inputs)
    predict_all(method, run, queries, threshold, journal)
    results, evaluation = evaluate_run(run, queries, threshold, journal)
    remark = STAND_IN_REMARKS[stand_in_among(settings["weights"].values())]
    figures = {**memory.figures(), "fit_cpu_seconds": processor}
    machine = {**environment(method.context.device), **figures, "inputs": inputs}
    report = ObjectReport(run.object_name, threshold, evaluation, results, None, seconds, settings, machine, remark)
    journal.publish(run.folder)
    write_results(run.folder / RESULTS, report)
    (run.folder / FAILURE).unlink(missing_ok=True)
    return report


def inputs_of(run: Run, method: Method) -> tuple[list[Query], dict[str, Any], str, str]:
    """Return the queries, the settings, and the hashes of all that training and result depend on."""
    queries = list_queries(run.object_dir)
    check_ground_truth(queries)
    settings = settings_of(run, method)
    return queries, settings, *fingerprints(run, settings, queries)


def done_report(run: Run, inputs: str) -> ObjectReport | None:
    """Return the report of a run that is done with the same images and settings; None where it is still to be done."""
    report = read_result(run).report
    return report if report is not None and report.environment.get("inputs") == inputs else None


def method_of(run: Run) -> Method:
    """Return the run's method, before its training."""
    config = run.config
    weights = Weights(config.weights_dir, config.backbone, config.quiet)
    device, progress = pick_device(config.device), Progress(config.quiet)
    context = RunContext(device, run.seed, weights, run.folder / MODEL_DIR, progress)
    return make_method(run.method, context, config.fast, dict(run.overrides))


def settings_of(run: Run, method: Method) -> dict[str, Any]:
    """Return all settings that the run's result depends on, as its results.json keeps them."""
    return {
        "method": run.display_name,
        "seed": run.seed,
        **run.config.result_settings(),
        "weights": method.fingerprints(),
        "settings": json.loads(json.dumps(asdict(method.config))),
    }


def fingerprints(run: Run, settings: dict[str, Any], queries: list[Query]) -> tuple[str, str]:
    """Return the hash of all that the training depends on, and of all that the result depends on."""
    data = hash_of([VERSION, settings, views_fingerprint(run.object_dir)])
    return data, hash_of([data, query_fingerprint(run.object_dir, queries)])


def fitted(method: Method, train: Views, data: str) -> tuple[float, float]:
    """Train the method, or load it where it is trained; return its training's seconds, by clock and of all cores.

    The seconds of an interrupted training count too, unless it was killed.
    """
    folder = method.context.folder
    assert folder is not None
    record = read_fit(folder / FIT_FILE)
    if record.get("data") != data:
        shutil.rmtree(folder, ignore_errors=True)
        record = {"data": data, "seconds": 0.0, "cpu_seconds": 0.0, "done": False}
        folder.mkdir(parents=True)
    if record["done"]:
        method.load(folder)
        return float(record["seconds"]), float(record["cpu_seconds"])
    write_text(folder / FIT_FILE, json.dumps(record))
    start, start_cpu = time.perf_counter(), time.process_time()
    try:
        method.fit(train)
        method.save(folder)
        record["done"] = True
    finally:
        record["seconds"] += time.perf_counter() - start
        record["cpu_seconds"] += time.process_time() - start_cpu
        write_text(folder / FIT_FILE, json.dumps(record))
    for leftover in folder.glob("*unfinished*"):
        leftover.unlink()
    return float(record["seconds"]), float(record["cpu_seconds"])


def read_fit(path: Path) -> dict[str, Any]:
    """Read the record of a training; empty where there is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if {"data", "seconds", "cpu_seconds", "done"} <= set(record) else {}
    except (OSError, ValueError, TypeError):
        return {}


def calibrated_threshold(method: Method, held_out: Views, false_positive_rate: float) -> float:
    """Return the score that normal views exceed at this rate, estimated on views that training never saw."""
    scores = method.score_held_out(held_out)
    return Calibration.of(scores, false_positive_rate).threshold


def predict_all(method: Method, run: Run, queries: list[Query], threshold: float, journal: Journal) -> None:
    """Predict the queries one by one, each recorded as soon as it is done."""
    size, background = run.config.image_size, run.config.background_rgb
    left = [query for query in queries if query.name not in journal.done]
    for query in method.context.progress.track(left, run.name):
        image = read_object_image(query.path, run.object_dir, size, background)
        anomaly_map, anomaly_score, seconds = timed(method, image)
        verdict = verdict_at(anomaly_score, threshold)
        result = QueryResult(query.name, anomaly_score, verdict, method.pose_found, method.pose, seconds)
        journal.add(result, anomaly_map)


def timed(method: Method, image: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Time and validate one prediction; methods return it on the CPU, so that a GPU has finished by then."""
    start = time.perf_counter()
    anomaly_map, anomaly_score = method.predict(image)
    seconds = time.perf_counter() - start
    if anomaly_map.shape != image.shape[:2] or not bool(torch.isfinite(anomaly_map).all()):
        raise InputError(
            f"{type(method).__name__}.predict must return a finite map of {tuple(image.shape[:2])}, found "
            f"{tuple(anomaly_map.shape)} with {int((~torch.isfinite(anomaly_map)).sum())} values not finite."
        )
    return anomaly_map.float().cpu(), float(anomaly_score), seconds


def evaluate_run(
    run: Run, queries: list[Query], threshold: float, journal: Journal
) -> tuple[list[QueryResult], Evaluation]:
    """Compute the metrics: the only place where labels, masks and true poses are read."""
    masks = {query.name: query.mask_path for query in queries if query.mask_path is not None}
    results = [replace(journal.done[query.name], defect_type=query.defect_type) for query in queries]
    poses = read_true_poses(run.object_dir)
    mask_of = lambda name: read_mask(masks[name]) if name in masks else None  # noqa: E731
    return results, evaluate(results, threshold, journal.anomaly_map, mask_of, poses, run.seed)
