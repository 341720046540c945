"""``gallery.png``: the paper's qualitative comparison, queries in rows, the methods' heat maps side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bench.runs import Run, RunResult
from data.mad import list_queries
from data.masks import read_object_image
from evaluation.pixel_metrics import fit_mask
from evaluation.results import GOOD, QueryResult, anomaly_map_path
from report.figure import INK, MASK_COLOUR, MASK_GROUND, SOFT, WRONG
from report.heatmap import HeatScale, heat_colours, heat_opacity, heat_overlay, outlines
from report.page import number
from utils.checkpoint import write_atomically
from utils.errors import InputError, nearest
from utils.images import read_map, read_mask, to_bytes

SIDE, GAP, FOOT = 200, 6, 24  # pixels: of a picture, between pictures, for the words under a map
MARGIN, LEFT, HEAD, LINE = 20, 150, 40, 22
OUTLINE = (22, 96, 167)  # of the true defect on the maps
BAR = 220  # width of the colour bar
MOST_ROWS = 8  # where no queries are named
LOW, HIGH = 0.5, 0.999  # quantiles of a method's maps between which the colours lie
SAMPLE = 4096  # values of a map, at most, that the quantiles are taken from
Table = Mapping[str, Mapping[str, RunResult]]  # object → method → its result with the first seed
Chosen = tuple[str, str]  # object and query, as in ("01Gorilla", "Burrs/3")


def write_gallery(results: list[RunResult], output_dir: Path, queries: Sequence[str] = ()) -> Path:
    """Write the figure: query, ground truth and each method's heat map with score and verdict.

    Args:
        results: runs of a benchmark, their maps on disk; of each method and object the first seed that is done.
        output_dir: gets gallery.png, whole or not at all.
        queries: which to show, as "01Gorilla/Burrs/3", or "Burrs/3" for that of each object; none: the most telling.
    Returns:
        The path of gallery.png.
    Raises:
        InputError: where no run is done, or a query is not known.
    """
    table = first_seeds(results)
    rows = named(table, queries) if queries else telling(table)
    methods = list(dict.fromkeys(method for name, _ in rows for method in table[name]))
    figure = draw(table, rows, methods, caption(table, bool(queries)))
    path = output_dir / "gallery.png"
    write_atomically(path, lambda temporary: figure.save(temporary, format="PNG"))
    return path


def first_seeds(results: Sequence[RunResult]) -> Table:
    """Of each object and method the result with the lowest seed among those that are done."""
    table: dict[str, dict[str, RunResult]] = {}
    for result in results:
        if result.report is not None:
            methods = table.setdefault(result.run.object_name, {})
            known = methods.get(result.run.display_name)
            if known is None or result.run.seed < known.run.seed:
                methods[result.run.display_name] = result
    if not table:
        raise InputError("The gallery shows results, and no run of the benchmark is done; run the benchmark first.")
    return table


def detections(result: RunResult) -> dict[str, QueryResult]:
    """A run's queries by name."""
    assert result.report is not None
    return {query.name: query for query in result.report.queries}


def named(table: Table, queries: Sequence[str]) -> list[Chosen]:
    """The queries that are asked for, in their order; one without an object stands for that of each object."""
    known = [(name, query) for name, methods in table.items() for query in detections(next(iter(methods.values())))]
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


def telling(table: Table) -> list[Chosen]:
    """Of each kind the queries on whose ranks the methods disagree most, one an object at most, good ones last.

    As many of each kind as make ``MOST_ROWS`` rows together, at least one; equal disagreement is decided by the name.
    """
    by_kind: dict[str, list[tuple[float, Chosen]]] = {}
    for name, methods in table.items():
        spread = disagreement(methods)
        for query, detection in detections(next(iter(methods.values()))).items():
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
    """The standard deviation over the methods of each query's rank among the object's queries, as a share of them."""
    from scipy.stats import rankdata

    scores = [{name: query.anomaly_score for name, query in detections(one).items()} for one in methods.values()]
    names = [name for name in scores[0] if all(name in each for each in scores)]
    if not names:
        return {}
    ranks = np.array([rankdata([each[name] for name in names]) for each in scores]) / len(names)  # (methods, queries)
    return dict(zip(names, ranks.std(axis=0).round(9).tolist()))


def scale_of(result: RunResult) -> HeatScale:
    """A run's colour scale: from the median to the 99.9th percentile of its maps over all queries.

    The maps are read one at a time; of each, evenly spaced pixels are kept.
    """
    kept = []
    for name in detections(result):
        values = read_map(anomaly_map_path(result.run.folder, name)).flatten()
        kept.append(values[:: -(-len(values) // SAMPLE)].numpy())
    low, high = (float(value) for value in np.quantile(np.concatenate(kept), (LOW, HIGH)))
    return HeatScale(low, high if high > low else low + 1.0)


def images_of(run: Run, name: str) -> tuple[np.ndarray, Tensor | None]:
    """A query (height, width, 3) uint8, and its mask (height, width) bool; None for a good one."""
    found = [query for query in list_queries(run.object_dir) if query.name == name]
    if not found:
        raise InputError(
            f"{run.object_dir} has no query {name} any more, though the results tell of it; run the benchmark again."
        )
    image = read_object_image(found[0].path, run.object_dir, run.config.image_size, run.config.background_rgb)
    if found[0].mask_path is None:
        return to_bytes(image), None
    return to_bytes(image), fit_mask(read_mask(found[0].mask_path), image.shape[0], image.shape[1], name)


def caption(table: Table, chosen: bool) -> str:
    """What the figure's reader must know; ``chosen`` where queries were asked for by name."""
    sentences = [
        f"Colours: one scale a method and object, from the median to the {100 * HIGH:.1f}th percentile of its maps "
        f"over all queries of the object; the line is the true defect's outline.",
        "Under each map its score, in the method's own units, and the verdict at the method's own threshold, red where "
        "it is wrong.",
    ]
    if not chosen:
        sentences.append(
            f"Shown are, of each kind, the queries on whose ranks among the object's queries the methods disagree most "
            f"(largest standard deviation), one an object, {MOST_ROWS} rows at most."
        )
    reports = [one.report for methods in table.values() for one in methods.values() if one.report is not None]
    if any("random" in report.config.get("weights", {}).values() for report in reports):
        sentences.append("Random weights stood in for pretrained ones: nothing here speaks of the methods.")
    return " ".join(sentences)


def draw(table: Table, rows: Sequence[Chosen], methods: Sequence[str], words: str) -> Image.Image:
    """The whole figure."""
    large, small = ImageFont.load_default(19), ImageFont.load_default(15)
    width = LEFT + (2 + len(methods)) * (SIDE + GAP) - GAP + MARGIN
    lines = list(wrapped(words, small, width - 2 * MARGIN - BAR - 40))
    bottom = MARGIN + HEAD + len(rows) * (SIDE + FOOT + GAP)
    figure = Image.new("RGB", (width, bottom + max(2, len(lines)) * LINE + MARGIN), "white")
    pen = ImageDraw.Draw(figure)
    for index, name in enumerate(["Query", "Ground truth", *methods]):
        pen.text((left_of(index) + SIDE // 2, MARGIN + HEAD - 10), name, INK, fitting(name, large), anchor="md")
    scales: dict[tuple[str, str], HeatScale] = {}
    for index, (object_name, name) in enumerate(rows):
        y = MARGIN + HEAD + index * (SIDE + FOOT + GAP)
        for part, colour, place in ((object_name, INK, -11), (name, SOFT, 11)):
            pen.text((LEFT - 12, y + SIDE // 2 + place), part, colour, fitting(part, small, LEFT - 24), anchor="rm")
        draw_row(figure, table[object_name], name, methods, scales, y)
    for index, line in enumerate(lines):
        pen.text((MARGIN, bottom + index * LINE), line, SOFT, small)
    draw_bar(figure, pen, small, width - MARGIN - BAR, bottom)
    return figure


def draw_row(
    figure: Image.Image,
    results: Mapping[str, RunResult],
    name: str,
    methods: Sequence[str],
    scales: dict[tuple[str, str], HeatScale],
    y: int,
) -> None:
    """One query and its maps; ``scales`` are found when they are first needed."""
    pen, small = ImageDraw.Draw(figure), ImageFont.load_default(15)
    query, mask = images_of(next(iter(results.values())).run, name)
    truth = np.broadcast_to(MASK_GROUND, query.shape).copy()
    if mask is not None:
        truth[mask.numpy()] = MASK_COLOUR
    place(figure, query, left_of(0), y)
    place(figure, truth, left_of(1), y)
    for index, method in enumerate(methods, start=2):
        result = results.get(method)
        found = detections(result).get(name) if result is not None else None
        x = left_of(index)
        if result is None or found is None:
            pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill=(241, 243, 245))
            pen.text((x + SIDE // 2, y + SIDE // 2), "no result", SOFT, small, anchor="mm")
            continue
        key = (result.run.object_name, method)
        if key not in scales:
            scales[key] = scale_of(result)
        anomaly_map = read_map(anomaly_map_path(result.run.folder, name))
        place(figure, heat_overlay(query, anomaly_map, scales[key]), x, y, () if mask is None else outlines(mask))
        told = f"{number(found.anomaly_score)}  {found.verdict}"
        pen.text((x + SIDE // 2, y + SIDE + 4), told, WRONG if found.mistaken else SOFT, small, anchor="ma")


def left_of(column: int) -> int:
    """The left edge of a column of pictures."""
    return LEFT + column * (SIDE + GAP)


def place(figure: Image.Image, picture: np.ndarray, x: int, y: int, lines: Sequence[np.ndarray] = ()) -> None:
    """Lay a picture (height, width, 3) uint8, scaled to fit, into the middle of its place, with a thin frame.

    Args:
        lines: closed ones, (points, 2) x and y in the picture's pixels, drawn over it.
    """
    shown = Image.fromarray(np.ascontiguousarray(picture))
    factor = SIDE / max(shown.size)
    size = (max(1, round(shown.width * factor)), max(1, round(shown.height * factor)))
    shown = shown.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(shown)
    for line in lines:
        pen.line([tuple(point) for point in factor * np.concatenate([line, line[:1]])], fill=OUTLINE, width=1)
    figure.paste(shown, (x + (SIDE - size[0]) // 2, y + (SIDE - size[1]) // 2))
    ImageDraw.Draw(figure).rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=(217, 222, 227))


def fitting(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int = SIDE) -> ImageFont.FreeTypeFont:
    """The font, or a smaller one in which the words fit."""
    size = float(getattr(font, "size", 15))
    fitted = ImageFont.load_default(size * min(1.0, room / max(1.0, font.getlength(words))))
    assert isinstance(fitted, ImageFont.FreeTypeFont)
    return fitted


def wrapped(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> Iterator[str]:
    """Lines that fit."""
    line = ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > room:
            yield line
            line = word
        else:
            line = longer
    yield line


def draw_bar(
    figure: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    x: int,
    y: int,
) -> None:
    """The colours from low to high as they lie over the greyed picture."""
    values = np.linspace(0.0, 1.0, BAR)
    cover = heat_opacity(values)[:, None]
    colours = 255.0 * (1.0 - cover) + heat_colours(values) * cover
    figure.paste(Image.fromarray(np.broadcast_to(colours, (14, BAR, 3)).round().astype(np.uint8)), (x, y + 2))
    pen.rectangle((x, y + 2, x + BAR - 1, y + 15), outline=(217, 222, 227))
    pen.text((x, y + LINE), "median", SOFT, font)
    pen.text((x + BAR, y + LINE), f"{100 * HIGH:.1f} %", SOFT, font, anchor="ra")
