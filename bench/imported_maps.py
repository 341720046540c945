"""Anomaly maps that another program wrote: scored like the methods' own, so that it enters the table by its files."""

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

from baselines.pictures import scaled_map
from bench.cells import FAILURE, RESULTS, Cell, Outcome, write_failure
from bench.run_cell import measure
from data.mad import Query, check_ground_truth, list_queries
from evaluation.results import UNDECIDED, Evaluation, Figures, ObjectReport, QueryResult, write_results
from pipeline.journal import Journal
from utils.device import environment
from utils.errors import InputError
from utils.images import read_image_size, working_size

LARGEST = 64_000_000  # values of a map at most
SHOWN = 5  # names of missing maps in a sentence


def import_maps(cell: Cell, folder: Path) -> Outcome:
    """Measure the maps of one object; the cell then has the files of any other.

    Args:
        cell: its method is the name under which the maps enter the table.
        folder: ``<object>/test/<defect>/<stem>.tiff`` or ``<object>/anomaly_maps/test/<defect>/<stem>.tiff`` lie in it,
            and where there is one ``<object>/scores.json``, a score by query name; else a map's maximum is its score.
    """
    try:
        report = imported_report(cell, folder)
    except (InputError, OSError) as error:
        write_failure(cell, str(error))
        return Outcome(cell, failure=str(error))
    (cell.folder / FAILURE).unlink(missing_ok=True)
    return Outcome(cell, report)


def imported_report(cell: Cell, folder: Path) -> ObjectReport:
    """The figures of one object's maps; those that need a threshold are not defined."""
    queries = list_queries(cell.object_dir)
    check_ground_truth(queries)
    places = map_paths(folder, cell.object_name, queries)
    scores = read_scores(folder / cell.object_name / "scores.json", queries)
    journal = Journal.open(cell.folder, "imported", afresh=True)
    for query in queries:
        found = read_foreign_map(places[query.name])
        score = float(found.max()) if scores is None else scores[query.name]
        journal.add(QueryResult(query.name, score, UNDECIDED, False, None, 0.0), at_size_of(query.path, found, cell))
    detections, evaluation = measure(cell, queries, math.inf, journal)
    settings = {"method": cell.shown_method, "seed": cell.seed, "imported": True, "weights": {}}
    told = {**environment(), "peak_bytes": None, "peak_device_bytes": None, "inputs": "imported"}
    undecided = without_threshold(evaluation)
    report = ObjectReport(cell.object_name, None, undecided, detections, None, {}, settings, told)
    journal.publish(cell.folder)
    write_results(cell.folder / RESULTS, report)
    return report


def map_paths(folder: Path, object_name: str, queries: list[Query]) -> dict[str, Path]:
    """The map of each query by name; an InputError names those that are missing and those that nobody asks for."""
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
            f"{shown(missing)}, and {len(more)} belong to no query{shown(more)}."
        )
    return {name: there[name] for name in wanted}


def shown(names: list[str]) -> str:
    """The first of some names, in brackets."""
    more = ", …" if len(names) > SHOWN else ""
    return f" ({', '.join(names[:SHOWN])}{more})" if names else ""


def read_scores(path: Path, queries: list[Query]) -> dict[str, float] | None:
    """A score by query name; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores = {query.name: float(content[query.name]) for query in queries}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f'{path} must give a number by query name, as in {{"Burrs/0": 1.2}} ({error!r}).') from None
    if not all(map(math.isfinite, scores.values())):
        raise InputError(f"{path} must give finite scores, found NaN or infinity.")
    return scores


def read_foreign_map(path: Path) -> Tensor:
    """A map (height, width) float32, finite, from a TIFF file of unknown make."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            shape = tuple(int(length) for length in page.shape)
            if len(shape) != 2 or not 0 < math.prod(shape) <= LARGEST:
                raise InputError(f"{path} must hold a map of one channel, found the shape {shape}.")
            values = page.asarray()
    except InputError:
        raise
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputError(
            f"{path} cannot be read as a TIFF map ({type(error).__name__}: {error}); write it again."
        ) from None
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path} must hold numbers, found the type {values.dtype}.")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path} must hold finite values, found NaN or infinity.")
    return torch.from_numpy(values)


def at_size_of(picture: Path, anomaly_map: Tensor, cell: Cell) -> Tensor:
    """The map scaled to the size at which the benchmark works on the query; its aspect must be the query's."""
    width, height = working_size(*read_image_size(picture), cell.protocol.image_size)
    tall, wide = anomaly_map.shape
    if abs(wide / tall - width / height) > 0.02 * width / height:
        raise InputError(
            f"The map of {picture} must have its aspect, {width}x{height}, found {wide}x{tall}; write whole maps."
        )
    return scaled_map(anomaly_map, torch.empty(height, width, 3))


def without_threshold(evaluation: Evaluation) -> Evaluation:
    """The figures that need no threshold."""
    names = ("image_f1", "image_f1_ci", "recall", "recall_ci", "fpr", "fpr_ci")

    def bare(figures: Figures) -> Figures:
        return replace(figures, **dict.fromkeys(names))  # type: ignore[arg-type]

    kinds = {kind: bare(figures) for kind, figures in evaluation.per_defect.items()}
    return replace(evaluation, overall=bare(evaluation.overall), per_defect=kinds)


def read_sources(words: list[str]) -> dict[str, Path]:
    """``NAME=DIR`` words as folders by name."""
    sources = {}
    for word in words:
        name, separator, folder = word.partition("=")
        if not separator or not re.fullmatch(r"[\w][\w. -]*", name) or not Path(folder).is_dir():
            raise InputError(f"--import_maps must read NAME=DIR with an existing folder, found {word!r}.")
        sources[name] = Path(folder)
    return sources
