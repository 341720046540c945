"""The figures of the correlations: a scatter plot a method, and all coefficients in one coloured table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.correlation import Attribute, CorrelationStudy, fitted_band
from report.figure import INK, SOFT, save_png

COLOURS = {"pixel AUROC": "#1f6fb4", "image AUROC": "#d1621a"}  # distinct for the colour-blind, and in grey print
MARKERS = {"pixel AUROC": "o", "image AUROC": "^"}
COLUMNS = 4  # scatter plots side by side


def write_scatter(path: Path, study: CorrelationStudy, attribute: Attribute) -> None:
    """Write a scatter plot a method: pixel and image AUROC over an attribute, with lines and their 95 % bands."""
    found = study.table[study.table["attribute"] == attribute.name]
    methods = list(found["method"].unique())
    columns = min(COLUMNS, len(methods) + 1)
    rows = -(-(len(methods) + 1) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.5 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, method in zip(axes, methods):
        axis.set_title(method, fontsize=11, color=INK, pad=16)
        for place, (_, row) in zip((0.0, 0.53), found[found["method"] == method].iterrows()):
            metric = row["metric"]
            draw_scatter(axis, metric, *study.points(attribute, metric, method))
            words = f"{metric.split()[0]} r = {row['pearson_value']:+.2f}"
            axis.text(place, 1.03, words, transform=axis.transAxes, fontsize=8.5, color=COLOURS[metric])
        axis.grid(color="#e3e7ea", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8.5, colors=SOFT, labelbottom=True)
    for axis in axes[len(methods) :]:
        axis.axis("off")
    draw_legend(axes[len(methods)], study.source)
    figure.supxlabel(attribute.name.capitalize(), fontsize=11, color=INK)
    figure.supylabel("AUROC, points", fontsize=11, color=INK)
    save_png(path, figure)


def draw_scatter(axis: Axes, metric: str, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the objects' points, the least-squares line and its band."""
    colour, at = COLOURS[metric], np.linspace(x.min(), x.max(), 60)
    line, half = fitted_band(x, y, at)
    axis.fill_between(at, line - half, line + half, color=colour, alpha=0.16, linewidth=0)
    axis.plot(at, line, color=colour, linewidth=1.5)
    axis.scatter(x, y, s=15, color=colour, alpha=0.85, linewidths=0, marker=MARKERS[metric])


def draw_legend(axis: Axes, source: str) -> None:
    """Say what points and bands are, in the place of a plot."""
    for metric, colour in COLOURS.items():
        axis.plot([], [], color=colour, marker=MARKERS[metric], markersize=5, label=metric)
    axis.fill_between([], [], [], color=SOFT, alpha=0.25, linewidth=0, label="95 % band of the line")
    title = f"A point an object,\n{source}"
    axis.legend(loc="center left", frameon=False, fontsize=9.5, labelcolor=INK, title=title, alignment="left")


def write_heat_table(path: Path, study: CorrelationStudy) -> None:
    """Write Pearson's r of each method with each attribute and metric, coloured from -1 (blue) to +1 (red)."""
    table = study.table.pivot(index="method", columns=["attribute", "metric"], values="pearson_value")
    texts = study.table.assign(text=coefficient_marks(study.table)).pivot(
        index="method", columns=["attribute", "metric"], values="text"
    )
    groups = list(dict.fromkeys(zip(study.table["attribute"], study.table["metric"])))
    methods = list(study.table["method"].unique())
    values = table.loc[methods, groups].to_numpy()
    words = texts.loc[methods, groups].to_numpy()
    figure = Figure(figsize=(1.5 * len(groups) + 2.4, 0.36 * len(methods) + 1.7), layout="constrained")
    axis = figure.subplots()
    axis.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axis.set_facecolor("#f1f3f5")
    for row, column in np.ndindex(values.shape):
        known = not np.isnan(values[row, column])
        colour = "white" if known and abs(values[row, column]) > 0.65 else INK
        text = words[row, column] if known else "–"
        axis.text(column, row, text, ha="center", va="center", fontsize=10, color=colour)
    claims = {attribute.name: "+" if attribute.claimed > 0 else "−" for attribute in study.attributes}
    heads = [f"{name}\n{metric}\nclaimed: {claims[name]}" for name, metric in groups]
    axis.set_xticks(range(len(groups)), heads, fontsize=9, color=INK)
    axis.set_yticks(range(len(methods)), methods, fontsize=10, color=INK)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(len(groups) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(methods) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="minor", length=0)
    stars = "* 95 % interval excludes zero   ** p < 0.05 after Holm's correction"
    label = f"Pearson's r over objects, {study.source}\n{stars}"
    axis.set_xlabel(label, fontsize=8.5, color=SOFT, labelpad=8)
    save_png(path, figure)


def coefficient_marks(table: pd.DataFrame) -> list[str]:
    """Return Pearson's r as texts; * where the interval excludes zero, ** where p < 0.05 after Holm's correction."""
    sure = (table["pearson_low"] > 0) | (table["pearson_high"] < 0)
    stars = ["**" if p < 0.05 else "*" if excludes else "" for p, excludes in zip(table["pearson_holm"], sure)]
    return [f"{value:+.2f}".replace("-", "−") + star for value, star in zip(table["pearson_value"], stars)]
