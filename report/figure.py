"""``panels.png``: the paper's qualitative figure, a few queries of each kind in columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.pixel_metrics import fit_mask
from evaluation.results import GOOD, ObjectReport, QueryResult
from report.heatmap import HeatScale, heat_overlay, heat_scale
from report.page import ImagesOf, QueryImages
from utils.checkpoint import write_atomically
from utils.text import format_number

CELL, GAP, GROUP_GAP, MARGIN = 220, 6, 22, 20  # pixels
LEFT, HEAD = 110, 64
INK, SOFT, WRONG = (27, 33, 39), (91, 102, 112), (176, 35, 24)
MASK_COLOUR, MASK_GROUND = np.array((255, 255, 255), np.uint8), np.array((20, 24, 28), np.uint8)


def telling_queries(queries: Sequence[QueryResult], each: int = 2) -> dict[str, list[QueryResult]]:
    """A few queries of each kind: evenly from the most typical score to the one hardest to judge.

    Args:
        queries: all of the object's.
        each: how many of a kind, at most.

    Returns:
        Heading → queries. The hardest good query has the highest score, the hardest defective one the lowest; the
        typical one has the median. Without labels the queries are grouped by verdict.
    """
    groups: dict[str, list[QueryResult]] = {}
    for query in queries:
        groups.setdefault(query.defect_type or query.verdict, []).append(query)
    result = {}
    for heading in sorted(groups, key=lambda heading: (heading == GOOD, heading)):
        rising = sorted(groups[heading], key=lambda query: (query.anomaly_score, query.name))
        hardest_first = rising[::-1] if heading == GOOD else rising
        half = hardest_first[: len(hardest_first) // 2 + 1]
        places = np.unique(np.linspace(len(half) - 1, 0, min(each, len(half))).round().astype(int))[::-1]
        result[heading] = [half[place] for place in places]
    return result


def write_panels(path: Path, report: ObjectReport, images_of: ImagesOf, scale: HeatScale | None = None) -> None:
    """Writes the figure as a PNG, whole or not at all: query, reference, heat map and, where known, ground truth.

    Args:
        path: the PNG file.
        report: the tested object.
        images_of: query name → its pictures; called for the chosen queries only where ``scale`` is given.
        scale: the heat maps' colour scale, best the report's; None: found from all maps.
    """
    scale = scale or heat_scale(report.queries, lambda name: images_of(name).anomaly_map)
    groups = telling_queries(report.queries)
    rows = ["Query", "Reference", "Heat map"] + (
        ["Ground truth"] if any(query.defect_type for query in report.queries) else []
    )
    count = sum(len(queries) for queries in groups.values())
    width = LEFT + MARGIN + count * (CELL + GAP) + max(len(groups) - 1, 0) * GROUP_GAP
    figure = Image.new("RGB", (width, MARGIN + HEAD + len(rows) * (CELL + GAP) + MARGIN), "white")
    draw, large, small = ImageDraw.Draw(figure), ImageFont.load_default(20), ImageFont.load_default(15)
    for index, name in enumerate(rows):
        draw.text((LEFT - 12, MARGIN + HEAD + index * (CELL + GAP) + CELL // 2), name, INK, small, anchor="rm")
    x = LEFT
    for heading, queries in groups.items():
        middle = x + (len(queries) * (CELL + GAP) - GAP) // 2
        draw.text((middle, MARGIN + 2), heading, INK, large, anchor="ma")
        for query in queries:
            words = f"{query.name.rsplit('/', 1)[-1]}   score {format_number(query.anomaly_score)}   {query.verdict}"
            words = _fitting(words, small)
            draw.text((x + CELL // 2, MARGIN + 38), words, WRONG if query.mistaken else SOFT, small, anchor="ma")
            for index, cell in enumerate(_column(images_of(query.name), scale, query)[: len(rows)]):
                y = MARGIN + HEAD + index * (CELL + GAP)
                _place(figure, cell, x, y)
                if cell is None:
                    draw.text((x + CELL // 2, y + CELL // 2), "none", SOFT, small, anchor="mm")
                draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=(217, 222, 227))
            x += CELL + GAP
        x += GROUP_GAP
    write_atomically(path, lambda temporary: figure.save(temporary, format="PNG"))


def _fitting(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``words`` without so many of the first letters that they fit over a cell."""
    if font.getlength(words) <= CELL:
        return words
    while font.getlength("…" + words) > CELL:
        words = words[1:]
    return "…" + words


def _column(pictures: QueryImages, scale: HeatScale, query: QueryResult) -> list[np.ndarray | None]:
    """The pictures of one query from top to bottom; None where there is none."""
    height, width = pictures.query.shape[:2]
    truth = None
    if query.defect_type is not None and (pictures.mask is not None or query.defect_type == GOOD):
        truth = np.broadcast_to(MASK_GROUND, (height, width, 3)).copy()
        if pictures.mask is not None:
            truth[fit_mask(pictures.mask, height, width, query.name).numpy()] = MASK_COLOUR
    return [pictures.query, pictures.reference, heat_overlay(pictures.query, pictures.anomaly_map, scale), truth]


def _place(figure: Image.Image, cell: np.ndarray | None, x: int, y: int) -> None:
    """Lays a picture, shrunk or enlarged to fit, in the middle of its cell."""
    if cell is None:
        figure.paste((241, 243, 245), (x, y, x + CELL, y + CELL))
        return
    picture = Image.fromarray(np.ascontiguousarray(cell))
    factor = CELL / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    picture = picture.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC)
    figure.paste(picture, (x + (CELL - size[0]) // 2, y + (CELL - size[1]) // 2))
