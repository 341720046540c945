"""Grids of images drawn by matplotlib, among them ``panels.png``, the paper's qualitative figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from evaluation.pixel_metrics import fit_mask
from evaluation.results import GOOD, ObjectReport, QueryResult
from report.heatmap import HeatScale, heat_colours, heat_opacity, heat_overlay, heat_scale
from report.page import ImagesOf
from utils.checkpoint import write_atomically
from utils.text import format_number

SIDE = 1.7  # inches of the longer side of an image
DOTS_PER_INCH = 130
INK, SOFT, WRONG = "#1b2127", "#5b6670", "#b02318"
FRAME, EMPTY, OUTLINE = "#d9dee3", "#f1f3f5", "#1660a7"
MASK_COLOUR, MASK_BACKGROUND = (255, 255, 255), (20, 24, 28)
MAX_TITLE = 26  # characters


@dataclass(frozen=True)
class Panel:
    """One cell of a grid of images."""

    image: np.ndarray | None  # (height, width, 3) uint8; None: the caption stands in an empty cell
    caption: str = ""  # below the image
    mistaken: bool = False  # whether the caption is red
    outlines: Sequence[np.ndarray] = ()  # closed lines over the image, (points, 2) x and y in its pixels


def image_grid(
    rows: Sequence[Sequence[Panel]], row_titles: Sequence[str], column_titles: Sequence[str], note_height: float = 0.0
) -> Figure:
    """Draw images in rows and columns.

    Args:
        rows: equally long; the images of a grid may have different shapes.
        row_titles: left of the rows.
        column_titles: above the columns.
        note_height: inches to be left below for the caller's own text.

    Returns:
        The figure; ``figure.axes`` are the cells, row by row.
    """
    images = [panel.image for row in rows for panel in row if panel.image is not None]
    aspect = max((image.shape[0] / image.shape[1] for image in images), default=1.0)
    captioned = sum(any(panel.caption and panel.image is not None for panel in row) for row in rows)
    width, height = SIDE / max(aspect, 1.0), SIDE * min(aspect, 1.0)
    total_width = (width + 0.06) * len(column_titles) + 0.35
    total_height = (height + 0.06) * len(rows) + 0.2 * captioned + note_height + 0.3
    figure = Figure(figsize=(total_width, total_height), layout="constrained")
    axes = figure.subplots(len(rows), len(column_titles), squeeze=False)
    for axis, title in zip(axes[0], column_titles):
        axis.set_title(_shortened(title), fontsize=10, color=INK)
    for row, title, panels in zip(axes, row_titles, rows):
        row[0].set_ylabel(title, fontsize=9, color=SOFT)
        for axis, panel in zip(row, panels):
            _draw(axis, panel, aspect)
    return figure


def _shortened(title: str) -> str:
    return title if len(title) <= MAX_TITLE else f"…{title[1 - MAX_TITLE :]}"


def _draw(axis: Axes, panel: Panel, aspect: float) -> None:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_color(FRAME)
    if panel.image is None:
        axis.set_facecolor(EMPTY)
        axis.set_box_aspect(aspect)
        axis.text(0.5, 0.5, panel.caption, transform=axis.transAxes, ha="center", va="center", fontsize=9, color=SOFT)
        return
    axis.imshow(panel.image)
    for line in panel.outlines:
        axis.fill(*(line - 0.5).T, fill=False, edgecolor=OUTLINE, linewidth=0.8)
    axis.set_xlabel(panel.caption, fontsize=8.5, color=WRONG if panel.mistaken else SOFT, labelpad=2)


def add_heat_bar(figure: Figure, ticks: Mapping[float, str], words: str) -> None:
    """Draw the heat maps' colours below all cells, with names at places in [0, 1] and words below."""
    values = np.linspace(0.0, 1.0, 256)
    cover = heat_opacity(values)[:, None]
    colours = ListedColormap(1.0 - cover + cover * heat_colours(values) / 255.0)
    width, height = figure.get_size_inches()
    length, thickness = min(0.8 * width, 6.0), 0.1  # inches
    shape = {"fraction": thickness / height, "shrink": length / width, "aspect": length / thickness}
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=figure.axes, location="bottom", **shape)
    bar.set_ticks(list(ticks), labels=list(ticks.values()), fontsize=8.5, color=SOFT)
    bar.set_label(words, fontsize=8.5, color=SOFT, loc="left")


def save_png(path: Path, figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Write a figure as PNG, atomically."""

    def write(temporary: Path) -> None:
        figure.savefig(temporary, format="png", dpi=dots_per_inch, pil_kwargs={"optimize": True})

    write_atomically(path, write)


def mask_image(mask: np.ndarray | None, height: int, width: int) -> np.ndarray:
    """Return an image (height, width, 3) uint8 of a mask (height, width) bool; None: nothing is anomalous."""
    image = np.full((height, width, 3), MASK_BACKGROUND, np.uint8)
    if mask is not None:
        image[mask] = MASK_COLOUR
    return image


def representative_queries(queries: Sequence[QueryResult], each: int = 2) -> list[QueryResult]:
    """Choose a few queries of each defect type, evenly from the most typical score to the one hardest to judge.

    Args:
        queries: all of the object's.
        each: maximum number of each type.

    Returns:
        The queries by type, good ones last. The hardest good query has the highest score, the hardest defective one
        the lowest; the typical one has the median. Without labels the queries are grouped by verdict.
    """
    groups: dict[str, list[QueryResult]] = {}
    for query in queries:
        groups.setdefault(query.defect_type or query.verdict, []).append(query)
    chosen = []
    for kind in sorted(groups, key=lambda kind: (kind == GOOD, kind)):
        rising = sorted(groups[kind], key=lambda query: (query.anomaly_score, query.name))
        hardest_first = rising[::-1] if kind == GOOD else rising
        half = hardest_first[: len(hardest_first) // 2 + 1]
        indices = np.unique(np.linspace(len(half) - 1, 0, min(each, len(half))).round().astype(int))[::-1]
        chosen += [half[index] for index in indices]
    return chosen


def write_panels(path: Path, report: ObjectReport, images_of: ImagesOf, scale: HeatScale | None = None) -> None:
    """Write the figure as a PNG atomically: query, reference, heat map and, where there are labels, ground truth.

    Args:
        path: the PNG file.
        report: the tested object.
        images_of: query name → its images; called for the chosen queries only where ``scale`` is given.
        scale: the heat maps' colour scale; None: computed from all maps.
    """
    scale = scale or heat_scale(report.queries, lambda name: images_of(name).anomaly_map)
    queries = representative_queries(report.queries)
    labelled = any(query.defect_type for query in report.queries)
    columns = [_column(query, images_of, scale)[: 4 if labelled else 3] for query in queries]
    titles = ["Query", "Reference", "Heat map", "Ground truth"]
    save_png(path, image_grid(list(zip(*columns)), titles, [query.name for query in queries]))


def _column(query: QueryResult, images_of: ImagesOf, scale: HeatScale) -> list[Panel]:
    """Return the panels of one query from top to bottom."""
    images = images_of(query.name)
    height, width = images.query.shape[:2]
    truth = Panel(None, "none")
    if images.mask is not None:
        truth = Panel(mask_image(fit_mask(images.mask, height, width, query.name).numpy(), height, width))
    elif query.defect_type == GOOD:
        truth = Panel(mask_image(None, height, width))
    return [
        Panel(images.query, f"score {format_number(query.anomaly_score)}  {query.verdict}", bool(query.mistaken)),
        Panel(images.reference, "none" if images.reference is None else ""),
        Panel(heat_overlay(images.query, images.anomaly_map, scale, images.unseen)),
        truth,
    ]
