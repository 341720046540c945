"""The work of a cell: fit, set the threshold, predict, measure; each part is kept, and never done twice."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from dataclasses import asdict, replace
from typing import Any

import torch

from baselines.protocol import Method
from baselines.registry import make_method
from bench.cells import FAILURE, RESULTS, VERSION, Cell, Outcome, read_outcome, write_failure
from bench.lock import Occupied, locked
from bench.memory import PeakMemory
from data.mad import Query, check_ground_truth, fingerprint, list_queries, load_views, query_fingerprint
from data.masks import read_object_image
from evaluation.metrics import evaluate
from evaluation.results import Evaluation, ObjectReport, QueryResult, verdict_at, write_results
from pipeline.journal import Journal
from pipeline.record import hash_of
from scoring.calibration import Calibration
from utils.checkpoint import write_text
from utils.device import environment, pick_device
from utils.errors import InputError
from utils.images import read_mask
from utils.progress import Progress
from utils.run_context import RunContext
from utils.views import Views, split_held_out
from utils.weights import Weights

MODEL_DIR, FIT_FILE = "model", "fit.json"


def run_cell(cell: Cell) -> Outcome:
    """Do a cell that is not done yet; an error becomes the cell's failure and does not stop others.

    A cell on which another process is at work is left to that one: neither report nor failure.
    """
    try:
        with locked(cell.folder):
            return Outcome(cell, finished_report(cell))
    except Occupied:
        return Outcome(cell)
    except ModuleNotFoundError as error:
        needs = f"{cell.shown_method} needs the package {error.name}, which is not installed"
        sentence = f'{needs}; run: pip install -e ".[benchmark]"'
        write_failure(cell, sentence)
        return Outcome(cell, failure=sentence)
    except Exception as error:  # whatever a method may raise
        expected = isinstance(error, (InputError, OSError))
        if not expected:
            traceback.print_exc()
        sentence = str(error) if expected else f"{type(error).__name__}: {error}"
        write_failure(cell, sentence)
        return Outcome(cell, failure=sentence)


def finished_report(cell: Cell) -> ObjectReport:
    """The cell's report, read where it is done with the same pictures and settings, else made."""
    method = method_of(cell)
    queries, settings, data, inputs = inputs_of(cell, method)
    done = done_report(cell, inputs)
    if done is not None:
        return done
    memory = PeakMemory(method.context.device)
    views = load_views(cell.object_dir, cell.protocol.image_size, cell.protocol.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), cell.protocol.held_out_every))
    seconds = {"fit": fitted(method, train, data)}
    threshold = threshold_of(method, held_out, cell.protocol.false_positive_rate)
    journal = Journal.open(cell.folder, inputs)
    predict_all(method, cell, queries, threshold, journal)
    detections, evaluation = measure(cell, queries, threshold, journal)
    told = {**environment(method.context.device), **memory.figures(), "inputs": inputs}
    report = ObjectReport(cell.object_name, threshold, evaluation, detections, None, seconds, settings, told)
    journal.publish(cell.folder)
    write_results(cell.folder / RESULTS, report)
    (cell.folder / FAILURE).unlink(missing_ok=True)
    return report


def inputs_of(cell: Cell, method: Method) -> tuple[list[Query], dict[str, Any], str, str]:
    """The queries, the settings, and the hashes of all that training and result depend on."""
    queries = list_queries(cell.object_dir)
    check_ground_truth(queries)
    settings = settings_of(cell, method)
    return queries, settings, *fingerprints(cell, settings, queries)


def done_report(cell: Cell, inputs: str) -> ObjectReport | None:
    """The report of a cell that is done with the same pictures and settings; None where it is to be done."""
    report = read_outcome(cell).report
    return report if report is not None and report.environment.get("inputs") == inputs else None


def method_of(cell: Cell) -> Method:
    """The cell's method, before its training."""
    protocol = cell.protocol
    weights = Weights(protocol.weights_dir, protocol.random_weights, protocol.quiet)
    folder, progress = cell.folder / MODEL_DIR, Progress(protocol.quiet)
    context = RunContext(pick_device(protocol.device), cell.seed, weights, folder, progress)
    return make_method(cell.method, context, protocol.fast, dict(cell.changes))


def settings_of(cell: Cell, method: Method) -> dict[str, Any]:
    """All settings that the cell's result depends on, as they stand in its results."""
    return {
        "method": cell.shown_method,
        "seed": cell.seed,
        **cell.protocol.of_result(),
        "weights": method.fingerprints(),
        "settings": json.loads(json.dumps(asdict(method.config))),
    }


def fingerprints(cell: Cell, settings: dict[str, Any], queries: list[Query]) -> tuple[str, str]:
    """Hashes of all that training depends on, and of all that the result does."""
    data = hash_of([VERSION, settings, fingerprint(cell.object_dir)])
    return data, hash_of([data, query_fingerprint(cell.object_dir, queries)])


def fitted(method: Method, train: Views, data: str) -> float:
    """Train the method, or read it where it is trained; returns the seconds that its training took in all.

    What an interrupted training took counts too, unless it was killed.
    """
    folder = method.context.folder
    assert folder is not None
    record = read_fit(folder / FIT_FILE)
    if record.get("data") != data:
        shutil.rmtree(folder, ignore_errors=True)
        record = {"data": data, "seconds": 0.0, "done": False}
        folder.mkdir(parents=True)
    if record["done"]:
        method.load(folder)
        return float(record["seconds"])
    write_text(folder / FIT_FILE, json.dumps(record))
    start = time.perf_counter()
    try:
        method.fit(train)
        method.save(folder)
        record["done"] = True
    finally:
        record["seconds"] += time.perf_counter() - start
        write_text(folder / FIT_FILE, json.dumps(record))
    for leftover in folder.glob("*unfinished*"):
        leftover.unlink()
    return float(record["seconds"])


def read_fit(path: Any) -> dict[str, Any]:
    """What is known of a training; empty where nothing is."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if {"data", "seconds", "done"} <= set(record) else {}
    except (OSError, ValueError, TypeError):
        return {}


def threshold_of(method: Method, held_out: Views, false_positive_rate: float) -> float:
    """The score that normal views exceed with this frequency, by views that training never saw."""
    scores = [method.predict(held_out.image(index))[1] for index in range(len(held_out))]
    return Calibration.of(scores, false_positive_rate).threshold


def predict_all(method: Method, cell: Cell, queries: list[Query], threshold: float, journal: Journal) -> None:
    """Predict the queries one by one; each is noted as soon as it is done."""
    size, background = cell.protocol.image_size, cell.protocol.background_rgb
    left = [query for query in queries if query.name not in journal.done]
    for query in method.context.progress.track(left, cell.name):
        image = read_object_image(query.path, cell.object_dir, size, background)
        anomaly_map, anomaly_score, seconds = timed(method, image)
        verdict = verdict_at(anomaly_score, threshold)
        journal.add(QueryResult(query.name, anomaly_score, verdict, False, None, seconds), anomaly_map)


def timed(method: Method, image: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """A prediction, checked, and its seconds; what comes back lies on the CPU, so that a GPU has finished."""
    start = time.perf_counter()
    anomaly_map, anomaly_score = method.predict(image)
    seconds = time.perf_counter() - start
    if anomaly_map.shape != image.shape[:2] or not bool(torch.isfinite(anomaly_map).all()):
        raise InputError(
            f"{type(method).__name__}.predict must give a finite map of {tuple(image.shape[:2])}, found "
            f"{tuple(anomaly_map.shape)} with {int((~torch.isfinite(anomaly_map)).sum())} values not finite."
        )
    return anomaly_map.float().cpu(), float(anomaly_score), seconds


def measure(
    cell: Cell, queries: list[Query], threshold: float, journal: Journal
) -> tuple[list[QueryResult], Evaluation]:
    """The figures: the only place where labels and masks are looked at."""
    masks = {query.name: query.mask_path for query in queries if query.mask_path is not None}
    detections = [replace(journal.done[query.name], defect_type=query.defect_type) for query in queries]
    mask_of = lambda name: read_mask(masks[name])  # noqa: E731
    return detections, evaluate(detections, threshold, journal.anomaly_map, mask_of, None, cell.seed)
