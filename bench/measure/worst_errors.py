"""The worst errors of tested objects in one picture: query, reference, anomaly map and ground truth of each.

    python -m bench.measure.worst_errors output/01Gorilla output/02Unicorn --out worst_errors.png

An error is the worse, the farther its score is on the wrong side of the threshold.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from data.mad import list_queries, read_true_poses
from evaluation.pixel_metrics import fit_mask
from evaluation.results import GOOD, ObjectReport, QueryResult, anomaly_map_path, read_results
from pipeline.config import read_config
from pipeline.model import load_model
from pipeline.testing import query_images
from report.figure import Panel, add_heat_bar, image_grid, mask_image, save_png
from report.heatmap import HeatScale, heat_overlay, outlines
from report.page import QueryImages
from utils.camera import pose_errors
from utils.config import Parser
from utils.errors import InputError, exit_code_of
from utils.images import is_foreground, read_map
from utils.text import format_number

MOST = 3  # errors of an object
BESIDE = 2  # errors beside one another
HEADS = ["", "Query", "Reference", "Anomaly map", "Ground truth"]
HEAD_ROOM = 0.15  # inches above the heads, which the layout of many rows would cut off
MARGIN = 0.04  # around the object, as a share of its longer side
DOTS_PER_INCH = 80  # the picture is then about 1,300 pixels wide
LEGEND = "Anomaly maps: one scale for all objects, in each one's threshold; the line is the true defect's outline."


def main(argv: list[str]) -> int:
    """Draw the worst errors of the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="OUTPUT_DIR", help="folder of a tested object")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="picture to write")
    args = parser.parse_args(argv)
    rows = [row for folder in args.folders for row in error_rows(folder)]
    if not rows:
        print("No query of these objects was misjudged; no picture is written.")
        return 0
    write_worst_errors(args.out, rows)
    print(f"Picture: {args.out}")
    return 0


def write_worst_errors(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    """Write a PNG of at least one error, each a row of ``error_rows``, atomically."""
    beside = min(BESIDE, len(rows))
    height = -(-len(rows) // beside)
    blank = [Panel(None)] * len(HEADS)
    padded = [*rows, *[blank] * (height * beside - len(rows))]
    lines = [[panel for row in padded[line::height] for panel in row] for line in range(height)]
    figure = image_grid(lines, [""] * height, HEADS * beside, note_height=0.3 + HEAD_ROOM)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - HEAD_ROOM / figure.get_figheight()))
    for axis in figure.axes[len(figure.axes) - len(HEADS) * (len(padded) - len(rows)) :]:
        axis.set_visible(False)
    add_heat_bar(figure, {0.0: "0", 0.5: "threshold", 1.0: "twice the threshold"}, LEGEND)
    save_png(path, figure, DOTS_PER_INCH)


def error_rows(folder: Path) -> list[list[Panel]]:
    """Return what HEADS name of each of an object's worst errors: in words, then images cropped to the object.

    Args:
        folder: what testing wrote of the object; its settings say where its data and its model are.
    Raises:
        FileNotFoundError, InputError: where results, model or data are missing or do not belong together.
    """
    report = read_results(folder / "results.json")
    errors = worst_errors(report)
    if not errors:
        return []
    model = load_model(read_config(folder / "config.txt"))
    object_dir = model.config.object_dir
    queries, true_poses = {query.name: query for query in list_queries(object_dir)}, read_true_poses(object_dir) or {}
    rows = []
    for error in errors:
        if error.name not in queries or error.camera_to_world is None:
            raise InputError(
                f"{folder} has results of {error.name}, which has no image in {object_dir} or no pose; test the object "
                f"again with --overwrite."
            )
        anomaly_map = read_map(anomaly_map_path(folder, error.name))
        images = query_images(model, queries[error.name], error.camera_to_world, anomaly_map)
        words = Panel(None, error_text(report, error, true_poses.get(error.name)))
        rows.append([words, *image_panels(images, threshold_of(report), model.config.background_rgb)])
    return rows


def image_panels(images: QueryImages, threshold: float, background: tuple[float, float, float]) -> list[Panel]:
    """Return query, reference, anomaly map with the true defect's outline and ground truth, cropped to the object."""
    assert images.reference is not None  # there is a pose to render it at
    crop = object_square([images.query, images.reference], torch.tensor(background))
    query, mask = images.query[crop], None
    if images.mask is not None:
        height, width = images.query.shape[:2]
        mask = fit_mask(images.mask, height, width, "the ground truth")[crop]
    heat = heat_overlay(query, images.anomaly_map[crop], HeatScale(0.0, 2.0 * threshold))
    return [
        Panel(query),
        Panel(images.reference[crop]),
        Panel(heat, outlines=() if mask is None else outlines(mask)),
        Panel(None, "no defect") if mask is None else Panel(mask_image(mask.numpy(), *mask.shape)),
    ]


def worst_errors(report: ObjectReport) -> list[QueryResult]:
    """Return up to MOST misjudged queries, the farthest from the threshold first, by the ratio of score to threshold.

    Raises:
        InputError: where there is no threshold.
    """
    threshold = threshold_of(report)

    def distance(query: QueryResult) -> float:
        return abs(math.log(query.anomaly_score / threshold)) if query.anomaly_score > 0 else math.inf

    return sorted((query for query in report.queries if query.mistaken), key=distance, reverse=True)[:MOST]


def threshold_of(report: ObjectReport) -> float:
    """Return the threshold, an InputError where there is none above 0."""
    if report.threshold is None or report.threshold <= 0:
        raise InputError(
            f"The results of {report.object_name} must have a threshold above 0, found {report.threshold}; test the "
            f"object with auroc_test.py."
        )
    return report.threshold


def error_text(report: ObjectReport, error: QueryResult, true_pose: Tensor | None) -> str:
    """Say which query it is and what is wrong, in short lines; the pose's error only where the true one is known."""
    lines = [
        report.object_name,
        error.name,
        "false alarm:" if error.defect_type == GOOD else "missed:",
        f"{error.anomaly_score / threshold_of(report):.2f} × threshold",
    ]
    if error.p_value is not None:
        lines.append(f"p {format_number(error.p_value, 2)}")
    if not error.pose_found:
        lines.append("pose not found")
    if error.camera_to_world is not None and true_pose is not None:
        lines.append(f"pose {math.degrees(pose_errors(error.camera_to_world, true_pose)[0]):.2f}° off")
    return "\n".join(lines)


def object_square(images: Sequence[np.ndarray], background: Tensor) -> tuple[slice, slice]:
    """Return rows and columns of the least square, as far as it is in the image, around the object with a margin.

    Args:
        images: (height, width, 3) uint8 of one size, the object in all of them; nothing but background: all is kept.
        background: (3,) RGB in [0, 1].
    """
    seen = torch.stack([is_foreground(torch.from_numpy(image) / 255.0, background) for image in images]).any(0)
    if not seen.any():
        return slice(None), slice(None)
    places = seen.nonzero()
    low, high = places.amin(0), places.amax(0) + 1
    half = (0.5 + MARGIN) * float((high - low).max())
    start, stop = (((low + high) / 2 + sign * half).round().int().tolist() for sign in (-1, 1))
    top, left = (max(0, value) for value in start)
    return slice(top, min(stop[0], seen.shape[0])), slice(left, min(stop[1], seen.shape[1]))


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
