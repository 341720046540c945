"""``gallery.png``: the paper's qualitative comparison, queries in rows, the methods' heat maps side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata
from torch import Tensor

from bench.runs import Run, RunResult
from bench.tables import STAND_IN_MARKS, stand_in_cautions
from data.ground_truth import read_mask
from data.mad import list_queries
from data.masks import read_object_image
from evaluation.pixel_metrics import fit_mask
from evaluation.results import GOOD, QueryResult, anomaly_map_path
from report.figure import Panel, add_heat_bar, image_grid, mask_image, save_png
from report.heatmap import HeatScale, heat_overlay, outlines
from utils.errors import InputError, nearest
from utils.images import read_map, to_bytes
from utils.text import format_number
from utils.weights import stand_in_among

MOST_ROWS = 8  # where no queries are named
LOW, HIGH = 0.5, 0.999  # quantiles of a method's maps between which the colours lie
SAMPLE = 4096  # values of a map, at most, that the quantiles are taken from
ResultTable = Mapping[str, Mapping[str, RunResult]]  # object → method → its result with the first seed
Chosen = tuple[str, str]  # object and query, as in ("01Gorilla", "Burrs/3")


def write_gallery(results: list[RunResult], output_dir: Path, queries: Sequence[str] = ()) -> Path:
    """Write the figure: query, ground truth and each method's heat map with score and verdict.

    Args:
        results: of a benchmark's runs, their maps on disk; of each method and object the first seed is shown.
        output_dir: gets gallery.png, atomically.
        queries: which to show, as "01Gorilla/Burrs/3", or "Burrs/3" for that of each object; none: the most disputed.
    Returns:
        The path of gallery.png.
    Raises:
        InputError: where no run is done, or a query is not known.
    """
    table = first_seeds(results)
    rows = select_queries(table, queries) if queries else most_disputed(table)
    methods = list(dict.fromkeys(method for name, _ in rows for method in table[name]))
    path = output_dir / "gallery.png"
    save_png(path, draw(table, rows, methods, caption(table, bool(queries))))
    return path


def first_seeds(results: Sequence[RunResult]) -> ResultTable:
    """Return of each object and method the result with the lowest seed among those that are done."""
    table: dict[str, dict[str, RunResult]] = {}
    for result in results:
        if result.report is not None:
            methods = table.setdefault(result.run.object_name, {})
            known = methods.get(result.run.display_name)
            if known is None or result.run.seed < known.run.seed:
                methods[result.run.display_name] = result
    if not table:
        raise InputError("The gallery needs results, and no run of the benchmark is done; run the benchmark first.")
    return table


def query_results(result: RunResult) -> dict[str, QueryResult]:
    """Return a run's queries by name."""
    assert result.report is not None
    return {query.name: query for query in result.report.queries}


def select_queries(table: ResultTable, queries: Sequence[str]) -> list[Chosen]:
    """Resolve ``--figure`` arguments; a name without an object selects that query of every object."""
    known = [(name, query) for name, methods in table.items() for query in query_results(next(iter(methods.values())))]
    rows: dict[Chosen, None] = {}
    for wanted in queries:
        found = [row for row in known if wanted in (row[1], "/".join(row))]
        if not found:
            hint = nearest(wanted, {name for row in known for name in (row[1], "/".join(row))})
            raise InputError(
                f"There is no query {wanted!r} in {', '.join(table)}{hint or '.'} "
                f"Queries are named as {'/'.join(known[0])} or {known[0][1]}."
            )
        rows.update(dict.fromkeys(found))
    return list(rows)


def most_disputed(table: ResultTable) -> list[Chosen]:
    """Return of each type of defect the queries that the methods disagree on most, one an object, good ones last.

    As many of each type as make ``MOST_ROWS`` rows together, at least one; ties are broken by the name.
    """
    by_kind: dict[str, list[tuple[float, Chosen]]] = {}
    for name, methods in table.items():
        spread = disagreement(methods)
        for query, detection in query_results(next(iter(methods.values()))).items():
            if query in spread:
                by_kind.setdefault(detection.defect_type or "", []).append((-spread[query], (name, query)))
    each, rows = max(1, MOST_ROWS // len(by_kind)), []
    for kind in sorted(by_kind, key=lambda kind: (kind == GOOD, kind)):
        best: dict[str, Chosen] = {}
        for _, row in sorted(by_kind[kind]):
            best.setdefault(row[0], row)
        rows += list(best.values())[:each]
    return rows


def disagreement(methods: Mapping[str, RunResult]) -> dict[str, float]:
    """Return the standard deviation over the methods of each query's rank, as a share of the object's queries."""
    scores = [{name: query.anomaly_score for name, query in query_results(one).items()} for one in methods.values()]
    names = [name for name in scores[0] if all(name in each for each in scores)]
    if not names:
        return {}
    ranks = np.array([rankdata([each[name] for name in names]) for each in scores]) / len(names)  # (methods, queries)
    return dict(zip(names, ranks.std(axis=0).round(9).tolist()))


def scale_of(result: RunResult) -> HeatScale:
    """Return a run's colour scale: from the median to the 99.9th percentile of its maps over all queries.

    The maps are read one at a time; evenly spaced pixels of each are kept.
    """
    kept = []
    for name in query_results(result):
        values = read_map(anomaly_map_path(result.run.folder, name)).flatten()
        kept.append(values[:: -(-len(values) // SAMPLE)].numpy())
    low, high = (float(value) for value in np.quantile(np.concatenate(kept), (LOW, HIGH)))
    return HeatScale(low, high if high > low else low + 1.0)


def query_images(run: Run, name: str) -> tuple[np.ndarray, Tensor | None]:
    """Return a query (height, width, 3) uint8, and its mask (height, width) bool; None for a good one."""
    found = [query for query in list_queries(run.object_dir) if query.name == name]
    if not found:
        raise InputError(
            f"{run.object_dir} has no query {name} any more, though the results have it; run the benchmark again."
        )
    image = read_object_image(found[0].path, run.object_dir, run.config.image_size, run.config.background_rgb)
    if found[0].mask_path is None:
        return to_bytes(image), None
    return to_bytes(image), fit_mask(read_mask(found[0].mask_path), image.shape[0], image.shape[1], name)


def caption(table: ResultTable, chosen: bool) -> str:
    """Return what the figure's reader must know; ``chosen`` where queries were named by the user."""
    sentences = [
        f"Colours: one scale a method and object, from the median to the {100 * HIGH:.1f}th percentile of its maps "
        f"over all queries of the object; the line is the true defect's outline.",
        "Under each map its score, in the method's own units, and the verdict at the method's own threshold, red where "
        "it is wrong.",
    ]
    if not chosen:
        sentences.append(
            f"Shown are, of each type of defect, the queries on whose ranks the methods disagree most (by the standard "
            f"deviation), one an object, {MOST_ROWS} rows at most."
        )
    sentences += stand_in_cautions(stand_in_marks(table))
    return " ".join(sentences)


def stand_in_marks(table: ResultTable) -> dict[str, str]:
    """Return of each method the mark of what stood in for its pretrained network, empty where nothing did."""
    marks: dict[str, str] = {}
    for method, result in ((method, result) for methods in table.values() for method, result in methods.items()):
        assert result.report is not None
        stand_in = stand_in_among(result.report.config.get("weights", {}).values())
        marks[method] = marks.get(method) or STAND_IN_MARKS.get(stand_in, "")
    return marks


def draw(table: ResultTable, rows: Sequence[Chosen], methods: Sequence[str], words: str) -> Figure:
    """Draw the whole figure."""
    marks = stand_in_marks(table)
    heads = ["Query", "Ground truth", *(method + marks[method] for method in methods)]
    lines = textwrap.wrap(words, 25 * len(heads))
    scales: dict[tuple[str, str], HeatScale] = {}
    panels = [query_panels(table[object_name], name, methods, scales) for object_name, name in rows]
    figure = image_grid(panels, ["\n".join(row) for row in rows], heads, note_height=0.15 * len(lines) + 0.6)
    add_heat_bar(figure, {0.0: "median", 1.0: f"{100 * HIGH:.1f} %"}, "\n".join(lines))
    return figure


def query_panels(
    results: Mapping[str, RunResult], name: str, methods: Sequence[str], scales: dict[tuple[str, str], HeatScale]
) -> list[Panel]:
    """Return one query, its ground truth and its maps; ``scales`` are computed when they are first needed."""
    query, mask = query_images(next(iter(results.values())).run, name)
    panels = [Panel(query), Panel(mask_image(None if mask is None else mask.numpy(), *query.shape[:2]))]
    for method in methods:
        result = results.get(method)
        found = query_results(result).get(name) if result is not None else None
        if result is None or found is None:
            panels.append(Panel(None, "no result"))
            continue
        key = (result.run.object_name, method)
        if key not in scales:
            scales[key] = scale_of(result)
        heat = heat_overlay(query, read_map(anomaly_map_path(result.run.folder, name)), scales[key])
        words = f"{format_number(found.anomaly_score)}  {found.verdict}"
        panels.append(Panel(heat, words, bool(found.mistaken), () if mask is None else outlines(mask)))
    return panels
