"""A query's seconds by stage, on a trained object: a section of ``RESULTS.md``.

    python benchmarks/profile_query.py --obj 01Gorilla --queries 24

takes every option of ``auroc_test.py``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from auroc_test import Model
    from utils.camera import Intrinsics
    from utils.rendering import RenderFn, Rendering

STAGES = ("read", "retrieve", "refine", "of which rendering", "of which alignment", "render", "compare", "all but read")


@dataclass
class TimedRender:
    """A ``render_fn`` that adds up its calls and their seconds."""

    render_fn: RenderFn
    calls: int = 0
    seconds: float = 0.0

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """The picture that ``render_fn`` gives."""
        import torch

        start = time.perf_counter()
        rendering = self.render_fn(camera_to_world, intrinsics)
        if rendering.colour.is_cuda:
            torch.cuda.synchronize(rendering.colour.device)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        return rendering


def main(arguments: list[str]) -> int:
    """Profile queries of the object that the command line names; returns the exit code."""
    from benchmarks.page import PAGE, circumstances, write_section
    from utils.options import find_name, make_parser, parse, values_of

    parser = make_parser("Seconds of a query by stage, on a trained object.")
    parser.add_argument("--queries", type=int, default=24, help="queries, evenly out of the test folder")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write (default: benchmarks/RESULTS.md)")
    config, own, _ = parse(parser, arguments, saved=True)
    find_name(config)
    from auroc_test import load_model
    from data.mad import list_queries
    from utils.environment import environment

    model = load_model(config)
    queries = list_queries(config.object_dir)
    count = max(1, min(own.queries, len(queries)))
    chosen = [queries[index * len(queries) // count] for index in range(count)]
    spent(chosen[0].path, model)  # what is compiled is compiled now
    rows = [spent(query.path, model) for query in chosen]
    where = circumstances(environment(model.device), values_of(config))
    body = section(config.object_name, rows, where)
    write_section(own.page, "query", body)
    print(body)
    return 0


def spent(path: Path, model: Model) -> dict[str, float]:
    """Seconds of each stage of one query, and how many pictures were rendered to refine its pose."""
    from auroc_test import detect, read_query

    start = time.perf_counter()
    query = read_query(path, model)
    read = time.perf_counter() - start
    timed = TimedRender(model.field.render)
    detection, _ = detect(query, path.stem, replace(model, field=timed))  # type: ignore[arg-type]
    stages = detection.stage_seconds
    rendering = max(timed.seconds - stages["render"], 0.0)  # the last picture is the reference
    return {
        "read": read,
        **stages,
        "of which rendering": rendering,
        "of which alignment": stages["refine"] - rendering,
        "all but read": detection.seconds,
        "renderings": timed.calls - 1,
    }


def section(object_name: str, rows: Sequence[dict[str, float]], where: str) -> str:
    """The section's Markdown: the median and the 90th percentile of each stage, and its share of all but reading."""
    import numpy as np

    from benchmarks.page import markdown_table

    total = sum(row["all but read"] for row in rows)
    lines = []
    for stage in STAGES:
        values = np.array([row[stage] for row in rows])
        share = "" if stage == "read" else f"{100 * values.sum() / total:.0f} %"
        median, late = 1e3 * np.median(values), 1e3 * np.quantile(values, 0.9)
        lines.append([stage if not stage.startswith("of") else f"– {stage}", f"{median:.1f}", f"{late:.1f}", share])
    renderings = np.array([row["renderings"] for row in rows])
    return (
        "## One query by stage\n\n"
        f"`python benchmarks/profile_query.py` on {object_name}, {len(rows)} queries: {where}\n\n"
        f"{markdown_table(['stage', 'median ms', 'p90 ms', 'share'], lines)}\n\n"
        f"To refine a pose the object is rendered {np.median(renderings):.0f} times (median; most: "
        f"{renderings.max():.0f}), most of them small pictures."
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
