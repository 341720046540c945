"""The report's two charts as inline SVG; colours come from the page's style sheet, so that dark and print work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import numpy as np

from evaluation.results import GOOD

WIDTH, LEFT, RIGHT = 460, 62, 14


def kind_class(kind: str | None, kinds: Sequence[str]) -> str:
    """Style class of a kind of defect (or of good queries, or of unlabelled ones)."""
    return f"kind-{kinds.index(kind) % 6}" if kind in kinds else "kind-good" if kind == GOOD else "kind-none"


def _text(x: float, y: float, words: str, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{style}"/>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def roc_points(defective: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (points,) of all thresholds, from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415  two seconds, which only the page needs

    labels = np.concatenate([np.ones(len(defective)), np.zeros(len(good))])
    false_rate, true_rate, _ = roc_curve(labels, np.concatenate([defective, good]))
    return false_rate, true_rate


def roc_chart(scores: Mapping[str, np.ndarray], threshold: float) -> str | None:
    """ROC curves of all kinds and of each, with the stored threshold's place; None where there is only one class.

    Args:
        scores: label → (queries,), GOOD among them.
        threshold: the stored one.
    """
    good, kinds = scores.get(GOOD), [label for label in scores if label != GOOD]
    if good is None or not kinds:
        return None
    height, top, bottom = 300.0, 12.0, 44.0
    side_x, side_y = WIDTH - LEFT - RIGHT, height - top - bottom

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * side_x, top + (1.0 - y) * side_y

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        (x, floor), (_, y) = place(tick, 0), place(0, tick)
        parts += [_line(LEFT, y, LEFT + side_x, y, "grid"), _line(x, top, x, floor, "grid")]
        parts += [_text(LEFT - 7, y + 4, f"{tick:g}", "end"), _text(x, floor + 16, f"{tick:g}")]
    parts.append(_line(*place(0, 0), *place(1, 1), "diagonal"))
    everything = np.concatenate([scores[kind] for kind in kinds])
    rows = [(kind, scores[kind], kind_class(kind, kinds)) for kind in kinds] if len(kinds) > 1 else []
    for _, values, style in [*rows, ("all", everything, "kind-all")]:
        points = zip(*roc_points(values, good), strict=True)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" class="curve {style}"/>')
    x, y = place(float(np.mean(good > threshold)), float(np.mean(everything > threshold)))
    parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="operating"/>')
    legend = [*rows, ("All defects", everything, "kind-all")]
    for index, (name, _, style) in enumerate(legend):
        y_row = place(0, 0)[1] - 16 - 18 * (len(legend) - index)
        parts += [_line(LEFT + side_x - 118, y_row - 4, LEFT + side_x - 96, y_row - 4, f"curve {style}")]
        parts += [_text(LEFT + side_x - 90, y_row, name, "start")]
    y_row = place(0, 0)[1] - 16
    parts += [f'<circle cx="{LEFT + side_x - 107}" cy="{y_row - 4:.1f}" r="5" class="operating"/>']
    parts += [_text(LEFT + side_x - 90, y_row, "at the threshold", "start")]
    parts.append(_text(LEFT + side_x / 2, height - 8, "good queries called defective"))
    turned = f'transform="rotate(-90 16 {top + side_y / 2:.1f})"'
    parts.append(_text(16, top + side_y / 2, "defects found", extra=turned))
    return _svg(height, "ROC curve", parts)


def score_edges(scores: np.ndarray, threshold: float, bins: int = 36) -> tuple[np.ndarray, bool]:
    """Edges of the histogram's bins, and whether they are logarithmic (where the scores span more than 30 to 1)."""
    low, high = min(float(scores.min()), threshold), max(float(scores.max()), threshold)
    if low > 0 and high / low > 30:
        return np.geomspace(low / 1.08, high * 1.08, bins + 1), True
    margin = 0.04 * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, bins + 1), False


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
    """One row of bars a kind over one common axis of scores, with the threshold through all; None without a score."""
    scores = {label: values for label, values in scores.items() if len(values)}
    if not scores:
        return None
    kinds = [label for label in scores if label != GOOD]
    edges, logarithmic = score_edges(np.concatenate(list(scores.values())), threshold)
    top, foot = 22.0, 44.0
    row = max(40.0, min(110.0, 234.0 / len(scores)))
    height = top + row * len(scores) + foot
    scale = np.log if logarithmic else np.asarray

    def place(value: float) -> float:
        share = (scale(value) - scale(edges[0])) / (scale(edges[-1]) - scale(edges[0]))
        return LEFT + float(share) * (WIDTH - LEFT - RIGHT)

    floor, parts = top + row * len(scores), []
    for tick in _ticks(edges, logarithmic):
        x = place(tick)
        parts += [_line(x, top, x, floor, "grid"), _text(x, floor + 16, f"{tick:.3g}")]
    for index, (label, values) in enumerate(scores.items()):
        base, counts = top + row * (index + 1), np.histogram(values, edges)[0]
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
            if count:
                x, tall = place(left), (row - 8) * count / counts.max()
                parts.append(
                    f'<rect x="{x + 0.5:.1f}" y="{base - tall:.1f}" width="{max(place(right) - x - 1, 1):.1f}" '
                    f'height="{tall:.1f}" class="bar {kind_class(label, kinds)}"/>'
                )
        parts += [_line(LEFT, base, WIDTH - RIGHT, base, "axis"), _text(LEFT - 7, base - row / 2 + 4, label, "end")]
    x = place(threshold)
    side = "end" if x > WIDTH / 2 else "start"
    parts += [_line(x, top - 4, x, floor, "threshold")]
    parts += [_text(x + (-5 if side == "end" else 5), top - 8, f"threshold {threshold:.3g}", side)]
    words = "anomaly score (logarithmic)" if logarithmic else "anomaly score"
    parts.append(_text(LEFT + (WIDTH - LEFT - RIGHT) / 2, height - 8, words))
    return _svg(height, "Histogram of anomaly scores by kind", parts)
