"""The critical-difference diagram (J. Demšar, JMLR 7, 2006, figure 1)."""

from __future__ import annotations

import io
from collections.abc import Mapping

from matplotlib import rc_context
from matplotlib.figure import Figure

from bench.ranks import Ranking, groups_alike
from report.figure import INK, SOFT, WRONG

MARGIN = 0.5  # of the axis, left and right of it, for the names
LONGEST = 26  # letters of a name


def rank_figure(ranking: Ranking, marks: Mapping[str, str]) -> bytes:
    """Draw average ranks on an axis, the best left, as SVG; a bar joins methods that do not differ.

    Empty where there is no critical difference.

    Args:
        marks: method → what is set behind its name.
    """
    if ranking.critical_difference is None:
        return b""
    ordered, count = ranking.ordered, len(ranking.methods)
    groups = groups_alike([rank for _, rank in ordered], ranking.critical_difference)
    bars, rows = 0.45 * len(groups), (count + 1) // 2
    figure = Figure(figsize=(9.4, 0.9 + 0.12 * len(groups) + 0.26 * rows), layout="constrained")
    axes = figure.subplots()
    margin = MARGIN * (count - 1)
    axes.set(xlim=(1 - margin, count + margin), ylim=(1 + bars + rows, -1.6))
    axes.axis("off")
    axes.plot([1, count], [0, 0], color=INK, linewidth=1.2)
    for place in range(1, count + 1):
        axes.plot([place, place], [-0.25, 0], color=INK, linewidth=1.2)
        axes.text(place, -0.35, str(place), ha="center", va="bottom", color=INK)
    end = 1 + min(ranking.critical_difference, count - 1)
    axes.plot([1, end], [-1.2, -1.2], color=WRONG, linewidth=1.6)
    longer = ", longer than the axis" if ranking.critical_difference > count - 1 else ""
    axes.text(end, -1.2, f"  critical difference {ranking.critical_difference:.2f}{longer}", va="center", color=INK)
    for index, (first, last) in enumerate(groups):
        height = [0.45 * (index + 1)] * 2
        axes.plot([ordered[first][1], ordered[last][1]], height, color="#2f6db3", linewidth=4, solid_capstyle="round")
    for index, (method, rank) in enumerate(ordered):
        left = index < rows
        y = 1 + bars + (index if left else count - 1 - index)
        edge = 1 - 0.1 * margin if left else count + 0.1 * margin
        axes.plot([rank, rank, edge], [0.0, y, y], color=SOFT, linewidth=0.8)
        name = (method if len(method) <= LONGEST else method[: LONGEST - 1] + "…") + marks.get(method, "")
        words = f"{name}  {rank:.2f} " if left else f" {rank:.2f}  {name}"
        axes.text(edge, y, words, ha="right" if left else "left", va="center", color=INK)
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}):  # equal files for equal figures
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
