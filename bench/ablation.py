"""What each box of the paper's figure brings: every field, retrieval, refinement and score as runs of OmniposeAD."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.config import BenchmarkConfig
from bench.execute import MODEL_DIR
from bench.frame import DONE, describe_runs, runs_in
from bench.omniposead import OmniposeAD, OmniposeADConfig
from bench.runs import Run
from bench.tables import MetricColumn, all_notes, method_rows, percent_text, value_text
from bench.typeset import Table
from utils.config import options_of

BOXES = ("field", "retrieval", "refine", "score")
COLUMNS: dict[str, MetricColumn] = {
    "Image AUROC": ("image_auroc", percent_text),
    "Pixel AUROC": ("pixel_auroc", percent_text),
    "AUPRO": ("aupro", percent_text),
    "Rotation, °": ("rotation_deg", value_text),
    "Poses": ("poses_within", percent_text),
    "Query, s": ("query_seconds", value_text),
}


def ablation_runs(
    config: BenchmarkConfig, objects: Sequence[str], seeds: int, overrides: Sequence[tuple[str, Any]]
) -> list[Run]:
    """List the runs of all combinations of the methods of each box; those of one field share its training.

    Args:
        overrides: settings of all runs; a box whose method they set is not varied.
    """
    fixed = dict(overrides)
    choices = {option.key: option.choices for option in options_of(OmniposeADConfig)}
    varied = [(fixed[box],) if box in fixed else choices[box] for box in BOXES]
    runs, trained = [], dict[tuple[str, int, str], Run]()
    for name, seed, methods in itertools.product(objects, range(seeds), itertools.product(*varied)):
        settings = {**fixed, **dict(zip(BOXES, methods))}
        if settings["refine"] == "adam":
            settings.setdefault("retrieval_hypotheses", 1)  # iNeRF starts from one coarse pose, as in the paper
        run = Run(name, OmniposeAD.name, seed, config, tuple(settings.items()), "-".join(methods))
        first = trained.setdefault((name, seed, settings["field"]), run)
        if first is not run:
            shared = Path(first.folder).absolute() / MODEL_DIR
            run = replace(run, overrides=(*run.overrides, ("field_from", str(shared))))
        runs.append(run)
    return runs


def ablation_table(frame: pd.DataFrame) -> Table:
    """Return a row a combination: figures, pose errors and seconds as means over objects."""
    caption = (
        f"OmniposeAD with every {', '.join(BOXES)}; means over objects, in per cent where no unit is said. Rotation: "
        "median error; poses: share within 1° and 0.05 units; a query's seconds are the median of an object's."
    )
    texts = [set(text.split(", ")) for text in runs_in(frame, DONE)["overrides"]]
    shared = set.intersection(*texts) if texts else set()
    where = describe_runs(frame.assign(overrides=", ".join(sorted(shared))))
    return Table("ablation", "Every combination", caption, method_rows(frame, COLUMNS), all_notes(frame), where)
