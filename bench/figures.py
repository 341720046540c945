"""What the benchmark's matplotlib figures share: colours, and files made without a screen."""

from __future__ import annotations

import base64
import io

from matplotlib import rc_context
from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def svg_url(figure: Figure) -> str:
    """Return a figure as the ``data:`` URL of an SVG image, equal for equal figures."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return data_url("svg+xml", buffer.getvalue())


def data_url(kind: str, content: bytes) -> str:
    """Return an image as a ``data:`` URL.

    >>> data_url("png", b"abc")
    'data:image/png;base64,YWJj'
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
