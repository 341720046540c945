"""Charts of the pages as inline SVG; colours come from the page's style sheet, so that dark mode and print work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import numpy as np

from evaluation.results import GOOD

WIDTH, LEFT, RIGHT = 460, 62, 14
BINS = 36


def style_class(defect_type: str | None, defect_types: Sequence[str]) -> str:
    """Return the style class of a defect type, of good queries or of unlabelled ones."""
    if defect_type in defect_types:
        return f"kind-{defect_types.index(defect_type) % 6}"
    return "kind-good" if defect_type == GOOD else "kind-none"


@dataclass
class _Drawing:
    """Elements of one SVG image."""

    height: float
    width: float = WIDTH
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", extra: str = "") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>')

    def line(self, x0: float, y0: float, x1: float, y1: float, style: str) -> None:
        self.parts.append(f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{style}"/>')

    def circle(self, x: float, y: float) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="operating"/>')

    def bar(self, left: float, right: float, top: float, bottom: float, style: str, title: str = "") -> None:
        place = f'x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1):.1f}" height="{bottom - top:.1f}"'
        inside = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(f'<rect {place} class="{style}">{inside}</rect>')

    def svg(self, label: str, style: str = "chart") -> str:
        box = f'viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        return f'<svg class="{style}" {box} role="img" aria-label="{escape(label)}">{"".join(self.parts)}</svg>'


def roc_points(defective: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the false and true positive rates (points,) at all thresholds, from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415  takes 2 s; needed once an object

    labels = np.concatenate([np.ones(len(defective)), np.zeros(len(good))])
    false_rate, true_rate, _ = roc_curve(labels, np.concatenate([defective, good]))
    return false_rate, true_rate


def roc_chart(scores: Mapping[str, np.ndarray], threshold: float) -> str | None:
    """Draw the ROC curves of all defects and of each type, with a mark at the stored threshold.

    Args:
        scores: defect type or GOOD → (queries,).
        threshold: the stored one.

    Returns:
        The SVG image; None where there is only one class.
    """
    good, kinds = scores.get(GOOD), [kind for kind in scores if kind != GOOD]
    if good is None or not kinds:
        return None
    top, bottom, drawing = 12.0, 44.0, _Drawing(300.0)
    side_x, side_y = WIDTH - LEFT - RIGHT, drawing.height - top - bottom

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * side_x, top + (1.0 - y) * side_y

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        (x, floor), (_, y) = place(tick, 0), place(0, tick)
        drawing.line(LEFT, y, LEFT + side_x, y, "grid")
        drawing.line(x, top, x, floor, "grid")
        drawing.text(LEFT - 7, y + 4, f"{tick:g}", "end")
        drawing.text(x, floor + 16, f"{tick:g}")
    drawing.line(*place(0, 0), *place(1, 1), "diagonal")
    everything = np.concatenate([scores[kind] for kind in kinds])
    curves = [(kind, scores[kind], style_class(kind, kinds)) for kind in kinds] if len(kinds) > 1 else []
    curves.append(("All defects", everything, "kind-all"))
    for _, values, style in curves:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, *roc_points(values, good)))
        drawing.parts.append(f'<polyline points="{points}" class="curve {style}"/>')
    drawing.circle(*place(float(np.mean(good > threshold)), float(np.mean(everything > threshold))))
    _roc_legend(drawing, [(name, style) for name, _, style in curves], LEFT + side_x, place(0, 0)[1] - 16)
    drawing.text(LEFT + side_x / 2, drawing.height - 8, "false positive rate")
    drawing.text(16, top + side_y / 2, "true positive rate", extra=f'transform="rotate(-90 16 {top + side_y / 2:.1f})"')
    return drawing.svg("ROC curve")


def _roc_legend(drawing: _Drawing, curves: Sequence[tuple[str, str]], right: float, bottom: float) -> None:
    """Draw one line a curve (name, style class), and one for the mark at the threshold."""
    for index, (name, style) in enumerate(curves):
        y = bottom - 18 * (len(curves) - index)
        drawing.line(right - 118, y - 4, right - 96, y - 4, f"curve {style}")
        drawing.text(right - 90, y, name, "start")
    drawing.circle(right - 107, bottom - 4)
    drawing.text(right - 90, bottom, "at the threshold", "start")


def score_edges(scores: np.ndarray, threshold: float) -> tuple[np.ndarray, bool]:
    """Return the edges of the histogram's bins, logarithmic where the scores span more than 30 to 1, and whether so."""
    low, high = min(float(scores.min()), threshold), max(float(scores.max()), threshold)
    if low > 0 and high / low > 30:
        return np.geomspace(low / 1.08, high * 1.08, BINS + 1), True
    margin = 0.04 * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, BINS + 1), False


def _ticks(edges: np.ndarray, logarithmic: bool) -> np.ndarray:
    low, high = edges[0], edges[-1]
    if logarithmic:
        ticks = np.array([m * 10.0**e for e in range(-9, 10) for m in (1, 2, 5)])
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        return ticks[:: max(1, -(-len(ticks) // 7))]
    step = 10.0 ** np.floor(np.log10((high - low) / 4.0))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 7)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 0.5) * step


def histogram_chart(scores: Mapping[str, np.ndarray], threshold: float) -> str | None:
    """Draw the histogram of each defect type above a common axis of scores, with a line at the threshold.

    Args:
        scores: defect type or GOOD → (queries,).
        threshold: the stored one.

    Returns:
        The SVG image; None without a score.
    """
    scores = {kind: values for kind, values in scores.items() if len(values)}
    if not scores:
        return None
    kinds = [kind for kind in scores if kind != GOOD]
    edges, logarithmic = score_edges(np.concatenate(list(scores.values())), threshold)
    top, row = 22.0, max(40.0, min(110.0, 234.0 / len(scores)))
    floor = top + row * len(scores)
    drawing = _Drawing(floor + 44.0)
    scale = np.log if logarithmic else np.asarray

    def place(value: float) -> float:
        share = (scale(value) - scale(edges[0])) / (scale(edges[-1]) - scale(edges[0]))
        return LEFT + float(share) * (WIDTH - LEFT - RIGHT)

    for tick in _ticks(edges, logarithmic):
        drawing.line(place(tick), top, place(tick), floor, "grid")
        drawing.text(place(tick), floor + 16, f"{tick:.3g}")
    for index, (kind, values) in enumerate(scores.items()):
        base, counts = top + row * (index + 1), np.histogram(values, edges)[0]
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
            if count:
                height = (row - 8) * count / counts.max()
                style = f"bar {style_class(kind, kinds)}"
                drawing.bar(place(left) + 0.5, place(right) - 0.5, base - height, base, style)
        drawing.line(LEFT, base, WIDTH - RIGHT, base, "axis")
        drawing.text(LEFT - 7, base - row / 2 + 4, kind, "end")
    x = place(threshold)
    drawing.line(x, top - 4, x, floor, "threshold")
    offset, anchor = (-5, "end") if x > WIDTH / 2 else (5, "start")
    drawing.text(x + offset, top - 8, f"threshold {threshold:.3g}", anchor)
    title = "anomaly score (logarithmic)" if logarithmic else "anomaly score"
    drawing.text(LEFT + (WIDTH - LEFT - RIGHT) / 2, drawing.height - 8, title)
    return drawing.svg("Histogram of anomaly scores by defect type")


def bar_chart(series: Mapping[str, np.ndarray], name: str, axis_title: str) -> str:
    """Draw a bar for each value in [0, 1], the series behind one another.

    Args:
        series: style class → (items,) values; the first series is at the back.
        name: of an item, shown with its value where a mouse points at the bar.
        axis_title: below the bars.
    """
    drawing = _Drawing(170.0, 900.0)
    for tick in (0.0, 0.5, 1.0):
        y = 150 - 140 * tick
        drawing.line(30, y, drawing.width, y, "grid")
        drawing.text(2, y + 4, f"{tick:g}", "start")
    for style, values in series.items():
        step = (drawing.width - 34) / len(values)
        for index, value in enumerate(values):
            x, height = 32 + step * index, max(140 * float(value), 0.5)
            drawing.bar(x, x + 0.7 * step, 150 - height, 150, style, f"{name} {index}: {value:.3f}")
    drawing.text(drawing.width / 2, drawing.height - 4, axis_title)
    return drawing.svg(axis_title, "chart bars")
