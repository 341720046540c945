"""The critical-difference diagram as inline SVG; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from bench.ranks import Ranking, alike

WIDTH, SIDE = 920.0, 250.0  # of the drawing, and of the names left and right of the axis
AXIS, ROW, BAR = 64.0, 24.0, 11.0  # height of the axis, and steps of the names and of the bars below it


def diagram(ranking: Ranking, marks: Mapping[str, str]) -> str:
    """Average ranks on an axis, the best left; a bar joins methods that do not differ (Demšar 2006, figure 1).

    Empty where there is no critical difference.

    Args:
        marks: method → what is set behind its name.
    """
    if ranking.critical_difference is None:
        return ""
    ordered, count = ranking.ordered, len(ranking.methods)
    groups = alike([rank for _, rank in ordered], ranking.critical_difference)
    first_row = AXIS + 20 + BAR * len(groups)
    height = first_row + ROW * ((count + 1) // 2) + 4
    parts = [*_axis(ranking.critical_difference, count)]
    for index, (first, last) in enumerate(groups):
        y = AXIS + 14 + BAR * index
        left, right = (_place(ordered[each][1], count) for each in (first, last))
        parts.append(_line(left - 4, y, right + 4, y, "group"))
    for index, (method, rank) in enumerate(ordered):
        x, is_left = _place(rank, count), index < (count + 1) // 2
        y = first_row + ROW * (index if is_left else count - 1 - index)
        end = SIDE - 14 if is_left else WIDTH - SIDE + 14
        parts.append(f'<polyline points="{x:.1f},{AXIS:.1f} {x:.1f},{y:.1f} {end:.1f},{y:.1f}" class="lead"/>')
        name = _short(method) + marks.get(method, "")
        words = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
        parts.append(_text(end + (-6 if is_left else 6), y + 4, words, "end" if is_left else "start"))
    label = f"Critical-difference diagram, {ranking.metric}"
    return (
        f'<svg class="chart ranks" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label={quoteattr(label)}>'
        f"{''.join(parts)}</svg>"
    )


def _axis(width: float, count: int) -> list[str]:
    """The scale of ranks, and above it how long the critical difference is."""
    parts = [_line(_place(1, count), AXIS, _place(count, count), AXIS, "axis strong")]
    for rank in range(1, count + 1):
        x = _place(rank, count)
        parts += [_line(x, AXIS - 6, x, AXIS, "axis strong"), _text(x, AXIS - 11, str(rank), "middle")]
    left, right = _place(1, count), _place(1 + min(width, count - 1), count)
    words = f"critical difference {width:.2f}" + (", longer than the axis" if width > count - 1 else "")
    parts += [_line(left, 24, right, 24, "difference"), _line(left, 19, left, 29, "difference")]
    parts += [_line(right, 19, right, 29, "difference")] if width <= count - 1 else []
    return [*parts, _text(left, 13, words, "start")]


def _place(rank: float, count: int) -> float:
    return SIDE + (rank - 1) / max(count - 1, 1) * (WIDTH - 2 * SIDE)


def _short(name: str, longest: int = 26) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{style}"/>'
