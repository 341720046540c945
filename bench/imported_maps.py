"""Anomaly maps that another program wrote, measured like the maps of the methods here."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import Tensor

from baselines.preprocessing import resize_map
from bench.execute import evaluate_run
from bench.runs import FAILURE, RESULTS, Run, RunResult, record_failure
from data.mad import Query, check_ground_truth, list_queries
from evaluation.results import UNDECIDED, Evaluation, Metrics, ObjectReport, QueryResult, write_results
from pipeline.journal import Journal
from utils.device import environment
from utils.errors import InputError
from utils.images import read_image_size, working_size

MAX_PIXELS = 64_000_000  # of a map
MAX_NAMES = 5  # of missing maps in a sentence


def import_maps(run: Run, folder: Path) -> RunResult:
    """Measure the maps of one object; the run gets the same files as any other.

    Args:
        run: its method is the name under which the maps enter the table.
        folder: holds ``<object>/test/<defect>/<stem>.tiff`` or ``<object>/anomaly_maps/test/<defect>/<stem>.tiff``, and
            optionally ``<object>/scores.json``, a score by query name; without it a map's maximum is its score.
    """
    try:
        report = imported_report(run, folder)
    except (InputError, OSError) as error:
        return record_failure(run, str(error))
    (run.folder / FAILURE).unlink(missing_ok=True)
    return RunResult(run, report)


def imported_report(run: Run, folder: Path) -> ObjectReport:
    """Return the report of one object's maps; figures that need a threshold are not defined."""
    queries = list_queries(run.object_dir)
    check_ground_truth(queries)
    places = map_paths(folder, run.object_name, queries)
    scores = read_scores(folder / run.object_name / "scores.json", queries)
    journal = Journal.open(run.folder, "imported", afresh=True)
    for query in queries:
        found = read_foreign_map(places[query.name])
        score = float(found.max()) if scores is None else scores[query.name]
        journal.add(QueryResult(query.name, score, UNDECIDED, False, None, 0.0), scale_to_query(query.path, found, run))
    results, evaluation = evaluate_run(run, queries, math.inf, journal)
    settings = {"method": run.display_name, "seed": run.seed, "imported": True, "weights": {}}
    machine = {**environment(), "peak_bytes": None, "peak_device_bytes": None, "inputs": "imported"}
    undecided = without_threshold(evaluation)
    report = ObjectReport(run.object_name, None, undecided, results, None, {}, settings, machine)
    journal.publish(run.folder)
    write_results(run.folder / RESULTS, report)
    return report


def map_paths(folder: Path, object_name: str, queries: list[Query]) -> dict[str, Path]:
    """Return the map of each query by name; an InputError names missing maps and maps of no query."""
    roots = [folder / object_name / "anomaly_maps" / "test", folder / object_name / "test"]
    root = next((root for root in roots if root.is_dir()), None)
    if root is None:
        raise InputError(f"There are no anomaly maps of {object_name}: neither {roots[0]} nor {roots[1]} is a folder.")
    there = {
        f"{path.parent.name}/{path.stem}": path
        for path in sorted(root.glob("*/*"))
        if path.suffix.lower() in (".tif", ".tiff")
    }
    wanted = {query.name for query in queries}
    missing, more = sorted(wanted - set(there)), sorted(set(there) - wanted)
    if missing or more:
        raise InputError(
            f"{root} must hold one map a query, as <defect>/<stem>.tiff: {len(missing)} are missing"
            f"{first_names(missing)}, and {len(more)} belong to no query{first_names(more)}."
        )
    return {name: there[name] for name in wanted}


def first_names(names: list[str]) -> str:
    """Format the first of some names, in brackets."""
    more = ", …" if len(names) > MAX_NAMES else ""
    return f" ({', '.join(names[:MAX_NAMES])}{more})" if names else ""


def read_scores(path: Path, queries: list[Query]) -> dict[str, float] | None:
    """Read a score by query name; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores = {query.name: float(content[query.name]) for query in queries}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f'{path} must hold a number by query name, as in {{"Burrs/0": 1.2}} ({error!r}).') from None
    if not all(map(math.isfinite, scores.values())):
        raise InputError(f"{path} must hold finite scores, found NaN or infinity.")
    return scores


def read_foreign_map(path: Path) -> Tensor:
    """Read a map (height, width) float32, finite, from a TIFF file that any program wrote."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            shape = tuple(int(length) for length in page.shape)
            if len(shape) != 2 or not 0 < math.prod(shape) <= MAX_PIXELS:
                raise InputError(f"{path} must hold a map of one channel, found the shape {shape}.")
            values = page.asarray()
    except InputError:
        raise
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputError(
            f"{path} cannot be read as a TIFF map ({type(error).__name__}: {error}); write it again."
        ) from None
    if values.shape != shape:
        raise InputError(f"{path} must hold {shape[0]} x {shape[1]} values, found {values.shape}; write it again.")
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path} must hold numbers, found the type {values.dtype}.")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path} must hold finite values, found NaN or infinity.")
    return torch.from_numpy(values)


def scale_to_query(path: Path, anomaly_map: Tensor, run: Run) -> Tensor:
    """Scale a map to the size at which the benchmark reads the query; its aspect must be the query's."""
    width, height = working_size(*read_image_size(path), run.config.image_size)
    tall, wide = anomaly_map.shape
    if abs(wide / tall - width / height) > 0.02 * width / height:
        raise InputError(
            f"The map of {path} must have its aspect, {width}x{height}, found {wide}x{tall}; write whole maps."
        )
    return resize_map(anomaly_map, torch.empty(height, width, 3))


def without_threshold(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with all figures that need a threshold set to None."""
    names = ("image_f1", "image_f1_ci", "recall", "recall_ci", "fpr", "fpr_ci")

    def bare(figures: Metrics) -> Metrics:
        return replace(figures, **dict.fromkeys(names))  # type: ignore[arg-type]

    kinds = {kind: bare(figures) for kind, figures in evaluation.per_defect.items()}
    return replace(evaluation, overall=bare(evaluation.overall), per_defect=kinds)


def read_sources(entries: list[str]) -> dict[str, Path]:
    """Read ``NAME=DIR`` entries as folders by name."""
    sources = {}
    for entry in entries:
        name, separator, folder = entry.partition("=")
        if not separator or not re.fullmatch(r"[\w][\w. -]*", name) or not Path(folder).is_dir():
            raise InputError(f"--import_maps must read NAME=DIR with an existing folder, found {entry!r}.")
        sources[name] = Path(folder)
    return sources
