"""The pictures of the correlations: a scatter plot a method, and all coefficients in one coloured table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.correlation import Attribute, Correlation, Study, fitted_band
from utils.checkpoint import write_atomically
from utils.errors import InputError

COLOURS = {"pixel AUROC": "#1f6fb4", "image AUROC": "#d1621a"}  # apart for the colour-blind, and in grey print
INK, SOFT = "#1b2127", "#5b6670"
COLUMNS = 4  # scatter plots side by side


def check_matplotlib() -> None:
    """An InputError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise InputError(
            "The figures of the correlations need matplotlib, which is not installed; "
            "run: pip install -r requirements.txt"
        ) from None


def save(path: Path, figure: Any) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=130, facecolor="white"))


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches that draws without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_scatter(path: Path, study: Study, attribute: Attribute) -> None:
    """A scatter plot a method: an attribute from left to right, pixel and image AUROC, lines and their 95 % bands."""
    groups = [study.of(attribute, metric) for metric in COLOURS]
    methods = list(dict.fromkeys(one.method for group in groups for one in group))
    columns = min(COLUMNS, len(methods) + 1)
    rows = -(-(len(methods) + 1) // columns)
    figure = new_figure(2.9 * columns, 2.5 * rows + 0.3)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    found = {method: [one for group in groups for one in group if one.method == method] for method in methods}
    for axis, method in zip(axes, methods):
        for one in found[method]:
            draw_scatter(axis, one)
        axis.set_title(method, fontsize=11, color=INK, pad=16)
        notes = [
            (COLOURS[one.metric], f"{one.metric.split()[0]} r = {one.pearson.value:+.2f}") for one in found[method]
        ]
        for place, (colour, words) in zip((0.0, 0.53), notes):
            axis.text(place, 1.03, words, transform=axis.transAxes, fontsize=8.5, color=colour)
    every = [value for group in groups for one in group for value in one.auroc]
    margin = 0.06 * (max(every) - min(every) or 1.0)
    axes[0].set_ylim(min(every) - margin, max(every) + margin)
    for axis in axes[: len(methods)]:
        axis.grid(color="#e3e7ea", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8.5, colors=SOFT, labelbottom=True)
    for axis in axes[len(methods) :]:
        axis.axis("off")
    draw_legend(axes[len(methods)], study.source)
    figure.supxlabel(attribute.name.capitalize(), fontsize=11, color=INK)
    figure.supylabel("AUROC, points", fontsize=11, color=INK)
    save(path, figure)


def draw_scatter(axis: Any, one: Correlation) -> None:
    """The objects' points, the least-squares line and its band."""
    colour, x, y = COLOURS[one.metric], one.places, np.array(one.auroc)
    at = np.linspace(x.min(), x.max(), 60)
    line, half = fitted_band(x, y, at)
    axis.fill_between(at, line - half, line + half, color=colour, alpha=0.16, linewidth=0)
    axis.plot(at, line, color=colour, linewidth=1.5)
    axis.scatter(x, y, s=15, color=colour, alpha=0.85, linewidths=0, marker="o" if "pixel" in one.metric else "^")


def draw_legend(axis: Any, source: str) -> None:
    """What the points and bands are, in the place of a plot."""
    for metric, colour in COLOURS.items():
        axis.plot([], [], color=colour, marker="o" if "pixel" in metric else "^", markersize=5, label=metric)
    axis.fill_between([], [], [], color=SOFT, alpha=0.25, linewidth=0, label="95 % band of the line")
    axis.legend(loc="center left", frameon=False, fontsize=9.5, labelcolor=INK, title=f"A point an object,\n{source}")
    axis.get_legend().get_title().set_color(SOFT)
    axis.get_legend()._legend_box.align = "left"


def write_heat_table(path: Path, study: Study) -> None:
    """Pearson's correlation of each method with each attribute and metric, coloured from -1 (blue) to +1 (red)."""
    groups = list(study.groups)
    methods = list(dict.fromkeys(one.method for one in study.correlations))
    values = np.full((len(methods), len(groups)), np.nan)
    sure: dict[tuple[int, int], str] = {}
    for column, (_, _, found) in enumerate(groups):
        for one in found:
            row = methods.index(one.method)
            values[row, column] = one.pearson.value
            sure[row, column] = marks(one)
    figure = new_figure(1.5 * len(groups) + 2.4, 0.36 * len(methods) + 1.7)
    axis = figure.subplots()
    axis.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axis.set_facecolor("#f1f3f5")
    for row, column in np.ndindex(values.shape):
        value = float(values[row, column])
        words = "–" if np.isnan(value) else signed(value) + sure[row, column]
        axis.text(
            column, row, words, ha="center", va="center", fontsize=10, color="white" if abs(value) > 0.65 else INK
        )
    heads = [f"{attribute.name}\n{metric}\n{claimed(attribute)}" for attribute, metric, _ in groups]
    axis.set_xticks(range(len(groups)), heads, fontsize=9, color=INK)
    axis.set_yticks(range(len(methods)), methods, fontsize=10, color=INK)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(len(groups) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(methods) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="minor", length=0)
    axis.set_xlabel(
        f"Pearson's r over objects, {study.source}\n"
        f"* 95 % interval excludes zero   ** p < 0.05 after Holm's correction",
        fontsize=8.5,
        color=SOFT,
        labelpad=8,
    )
    save(path, figure)


def signed(value: float) -> str:
    """A coefficient with a true minus sign."""
    return f"{value:+.2f}".replace("-", "−")


def marks(one: Correlation) -> str:
    """Two stars where p stays below 0.05 for all tests together, one where the interval excludes zero."""
    low, high = one.pearson.interval
    return "**" if one.pearson.holm < 0.05 else "*" if low > 0 or high < 0 else ""


def claimed(attribute: Attribute) -> str:
    """The paper's claim over a column."""
    return "claimed: +" if attribute.claimed > 0 else "claimed: −"
