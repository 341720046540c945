"""Photos of an object before other things, without masks: its queries are laid on backgrounds and detected.

    python -m bench.measure.clutter data/LEGO-3D/01Gorilla --work /tmp/clutter --backgrounds photos/rooms

Each query is detected three times: cut out by its true mask, by the network's alone, and by ``--masks auto``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from bench.measure.command import add_run_options, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.automatic_masks import network_mask
from data.consensus import iou
from data.folders import images_in
from data.mad import TRUE_POSES, list_queries, read_true_poses
from evaluation.results import GOOD
from pipeline.detection import Detection
from pipeline.model import Model
from pipeline.query_masks import cut_out
from utils.camera import pose_errors
from utils.config import Parser, values_of
from utils.device import environment
from utils.errors import InputError, exit_code_of
from utils.images import is_foreground, read_uint8, to_bytes
from utils.progress import Progress
from utils.text import format_decimal

WAYS = ("true mask", "network alone", "--masks auto")
COLUMNS = ["object", "mask", "queries", "pose right", "called found, wrong", "IoU, median", "worst", "image AUROC"]
RIGHT = np.radians(2.0)  # rotation error of a pose below which it is right
SOFT = 0.7  # pixels over which object and background blend


@dataclass(frozen=True)
class Outcome:
    """One query, cut out in one way."""

    defective: bool
    score: float
    found: bool
    right: bool  # whether the pose is
    overlap: float  # IoU of what was cut out and the true mask


def main(argv: list[str]) -> int:
    """Measure the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="with plain background, true poses")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; what is trained there is used")
    parser.add_argument("--backgrounds", type=Path, help="folder of photos (default: the two that scikit-learn has)")
    parser.add_argument("--every", type=int, default=3, help="of so many queries one is taken (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of backgrounds (default: 0)")
    add_run_options(parser)
    add_page_options(parser, "clutter")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    photos = read_backgrounds(args.backgrounds)
    rows = []
    for folder in args.objects:
        run_script(["anomaly_nerf_lego.py", *object_options(folder, args.work), *run_options(args)])
        model = Model.load(args.work / "ckpts" / folder.resolve().name, args.device)
        outcomes = measure_object(model, folder, photos, args)
        rows += [row_of(folder.resolve().name, way, outcomes[way]) for way in WAYS]
        where = describe_measurement(environment(model.device), values_of(model.config), "")
        names = ", ".join(row[0] for row in rows[:: len(WAYS)])
        how = f"every {args.every}th query on pieces of {len(photos)} photos"
        head = f"## Photos without masks\n\n`python -m bench.measure.clutter` on {names}, {how}: {where}"
        text = f"{head}\n\n{markdown_table(COLUMNS, rows)}\n\nA pose is right within 2°."
        write_section(args.page, args.section, text)
    print(f"Table: {args.page}")
    return 0


def read_backgrounds(folder: Path | None) -> list[np.ndarray]:
    """Read photos (height, width, 3) uint8 RGB."""
    if folder is not None:
        return [read_uint8(path)[..., :3] for path in images_in(folder)]
    from sklearn.datasets import load_sample_images  # noqa: PLC0415  reads files

    return list(load_sample_images().images)


def measure_object(
    model: Model, folder: Path, photos: Sequence[np.ndarray], args: argparse.Namespace
) -> dict[str, list[Outcome]]:
    """Detect every ``args.every``-th query of an object in each of the ``WAYS``."""
    random = np.random.default_rng(args.seed)
    truths = read_true_poses(folder)
    if truths is None:
        raise InputError(f"{folder} has no {TRUE_POSES}, by which poses are judged; generate an object that has.")
    outcomes: dict[str, list[Outcome]] = {way: [] for way in WAYS}
    background = model.config.background_rgb
    for query in Progress(args.quiet).track(list_queries(folder)[:: args.every], folder.name):
        image = model.photos.read_query(query.path)
        shown = is_foreground(image, torch.tensor(background)).numpy()
        photo = laid_on(image, shown, piece_of(photos, shown.shape[:2], random))
        network = network_mask(to_bytes(photo), model.saliency) > 0
        automatic, cut = model.detect_uncut(photo, query.name)
        found: dict[str, tuple[Detection, np.ndarray]] = {
            "true mask": (model.detect_image(image, query.name), shown),
            "network alone": (model.detect_image(cut_out(photo, network, background), query.name), network),
            "--masks auto": (automatic, is_foreground(cut, torch.tensor(background)).numpy()),
        }
        for way, (detection, mask) in found.items():
            right = pose_errors(detection.pose, truths[query.name].to(detection.pose))[0] < RIGHT
            defective = query.defect_type != GOOD
            score, overlap = detection.anomaly_score, iou(mask, shown)
            outcomes[way].append(Outcome(defective, score, detection.pose_found, bool(right), overlap))
    return outcomes


def piece_of(photos: Sequence[np.ndarray], size: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Return a random piece of a random photo: (height, width, 3) float32 in [0, 1], of ``size`` height and width."""
    photo = photos[int(random.integers(len(photos)))]
    scale = max(size[0] / photo.shape[0], size[1] / photo.shape[1]) * random.uniform(1.0, 1.8)
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (int(random.integers(large.shape[axis] - size[axis] + 1)) for axis in (0, 1))
    return torch.from_numpy(np.ascontiguousarray(large[top : top + size[0], left : left + size[1]])).float() / 255.0


def laid_on(image: Tensor, shown: np.ndarray, behind: Tensor) -> Tensor:
    """Lay the object that ``image`` shows (height, width) bool on another background (height, width, 3)."""
    alpha = torch.from_numpy(cv2.GaussianBlur(shown.astype(np.float32), (0, 0), SOFT))[..., None]
    return image * alpha + behind * (1.0 - alpha)


def row_of(name: str, way: str, outcomes: Sequence[Outcome]) -> list[str]:
    """Return a row of the table."""
    overlaps = [one.overlap for one in outcomes]
    labels = [one.defective for one in outcomes]
    auroc = roc_auc_score(labels, [one.score for one in outcomes]) if len(set(labels)) == 2 else float("nan")
    right = np.mean([one.right for one in outcomes])
    wrong = sum(one.found and not one.right for one in outcomes)
    figures = (format_decimal(float(each), 3) for each in (np.median(overlaps), min(overlaps), auroc))
    return [name, way, str(len(outcomes)), f"{right:.0%}", str(wrong), *figures]


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
