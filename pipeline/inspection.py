"""Inspection: photos without ground truth get a verdict at the threshold that training learned from good views."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor

from pipeline.config import Config
from pipeline.coverage import MIN_SEEN
from pipeline.detection import Detection
from pipeline.methods import remark_of
from pipeline.model import Model, load_model
from pipeline.photos import check_masks, find_photos, masks_found
from report.heatmap import HeatScale, heat_overlay
from utils.checkpoint import ensure_writable
from utils.errors import InputError
from utils.images import to_bytes, write_png
from utils.progress import Progress
from utils.text import utc_text

EXIT_GOOD, EXIT_DEFECTIVE, EXIT_ERROR = 0, 1, 2


class UnreadPhotoError(InputError):
    """A photo that cannot be read; others may be."""


def inspect_photos(config: Config, places: list[Path], masks: Path | None = None) -> int:
    """Write one line, one heat map, one reference and one JSON line for each photo.

    A photo that cannot be read does not stop the others.

    Args:
        config: names the trained object.
        places: photos and folders of photos.
        masks: folder of the photos' masks, ``NAME.png`` for ``NAME.jpg``; "auto" finds them.
    Returns:
        0 where all photos are good, 1 where one is defective, 2 where one could not be inspected.
    """
    photos, model = find_photos(places), load_model(config)
    check_masks(masks, model.context.weights)
    folder = config.result_dir / "detect"
    ensure_writable(folder)
    worst = EXIT_GOOD
    with (folder / "detections.jsonl").open("a", encoding="utf-8") as journal:
        for name, path in Progress(config.quiet).track(photos.items(), config.object_name, len(photos)):
            try:
                detection, entry = judge_photo(model, path, name, masks, folder)
            except UnreadPhotoError as error:
                print(f"error: {error}", file=sys.stderr)
                worst = EXIT_ERROR
                continue
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            pose = "pose found" if detection.pose_found else "pose not found"
            print(f"{path}\t{detection.verdict}\t{detection.anomaly_score:.4f}\t{pose}", flush=True)
            warn_of_unseen(detection, path)
            if detection.verdict != "good":
                worst = max(worst, EXIT_DEFECTIVE)
    return worst


def judge_photo(
    model: Model, path: Path, name: str, masks: Path | None, folder: Path
) -> tuple[Detection, dict[str, object]]:
    """Judge one photo, and write its heat map and its reference.

    Args:
        model: of the object.
        path: of the photo.
        name: with the seed it fixes every random choice; the files are called ``NAME_heat.png``,
            ``NAME_reference.png``.
        masks: folder of masks by the photos' stems; None: the background is plain; "auto": the mask is found.
        folder: to write to.
    Returns:
        The detection and its entry, which JSON can hold.
    Raises:
        UnreadPhotoError: where the photo or its mask cannot be read, or has other proportions.
    """
    automatic = masks_found(masks)
    try:
        query = model.photos.read(path, None if automatic else masks)
    except (InputError, OSError) as error:
        raise UnreadPhotoError(str(error)) from None
    if automatic:
        detection, query = model.detect_uncut(query, name)
    else:
        detection = model.detect_image(query, name)
    heat_map = write_heat_map(folder / f"{name}_heat.png", query, detection)
    reference = folder / f"{name}_reference.png"
    write_png(reference, detection.reference)
    return detection, entry_of(detection, path, heat_map, reference, model)


def warn_of_unseen(detection: Detection, path: Path) -> None:
    """Print how little of what a photo shows was seen in training, where it is less than ``MIN_SEEN``."""
    if detection.seen_share is not None and detection.seen_share < MIN_SEEN:
        print(
            f"warning: {path}: only {100 * detection.seen_share:.0f} % of what it shows was seen in training; the "
            f"verdict is on that alone.",
            file=sys.stderr,
            flush=True,
        )


def entry_of(detection: Detection, path: Path, heat_map: Path, reference: Path, model: Model) -> dict[str, object]:
    """Return the JSON line of a photo."""
    return {
        "photo": str(path),
        "object_name": model.config.object_name,
        "verdict": detection.verdict,
        "anomaly_score": detection.anomaly_score,
        "threshold": detection.threshold,
        "p_value": detection.p_value,
        "pose_found": detection.pose_found,
        "pose_confidence": detection.pose_confidence,
        "seen_share": detection.seen_share,
        "camera_to_world": detection.pose.tolist(),
        "regions": [asdict(region) for region in detection.regions],
        "heat_map": str(heat_map),
        "reference": str(reference),
        "remark": remark_of(model.config),
        "seconds": round(detection.seconds, 4),
        "date": utc_text(),
    }


def write_heat_map(path: Path, query: Tensor, detection: Detection) -> Path:
    """Write what ``heat_map_of`` returns."""
    write_png(path, heat_map_of(query, detection))
    return path


def heat_map_of(query: Tensor, detection: Detection) -> np.ndarray:
    """Lay the anomaly map in colour over the photo, in full colour at twice the threshold: (height, width, 3) uint8."""
    scale = HeatScale(0.0, 2.0 * detection.threshold)
    return heat_overlay(to_bytes(query), detection.anomaly_map, scale, detection.unseen)
