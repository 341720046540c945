"""Inspection of parts: several photos of one specimen, without ground truth, get one verdict and a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from pipeline.config import Config
from pipeline.inspection import EXIT_DEFECTIVE, EXIT_GOOD, heat_map_of
from pipeline.methods import remark_of
from pipeline.model import Model, load_model
from pipeline.parts import PartDetection, Shot, SurfaceDefect, vector
from pipeline.photos import check_masks, find_part
from report.part_page import Cloud, PageDefect, PagePhoto, PageView, PartPage, write_part_page
from utils.checkpoint import ensure_writable, write_text
from utils.errors import InputError
from utils.images import to_bytes, write_png
from utils.progress import Progress
from utils.text import utc_text

PAGE, ENTRY = "part.html", "part.json"


def inspect_part(config: Config, place: Path, masks: Path | None = None) -> int:
    """Judge the specimen whose photos are in a folder; print a line, write its page and its JSON entry.

    Args:
        config: names the trained object.
        place: folder of the photos.
        masks: folder of the photos' masks, ``NAME.png`` for ``NAME.jpg``; "auto" finds them.
    Returns:
        0 for a good part, 1 for a defective one.
    Raises:
        InputError: where a photo cannot be read, or no pose is found.
    """
    if not place.is_dir():
        raise InputError(f"--part must name a folder with the photos of one specimen, found {place}.")
    photos, model = find_part(place), load_model(config)
    folder = config.result_dir / "parts" / place.resolve().name
    detection, _ = judge_part(model, photos, masks, folder)
    for line in lines_of(detection):
        print(line)
    for photo in detection.photos:
        if photo.name not in detection.counted:
            why = "the same photo as another" if photo.name in detection.repeated else "pose not found"
            print(f"warning: {photos[photo.name]}: {why}, it does not count", file=sys.stderr)
    print(folder / PAGE)
    return EXIT_GOOD if detection.verdict == "good" else EXIT_DEFECTIVE


def judge_part(
    model: Model, photos: dict[str, Path], masks: Path | None, folder: Path
) -> tuple[PartDetection, dict[str, object]]:
    """Judge one specimen, and write its page, heat maps and JSON entry.

    Args:
        model: the trained object.
        photos: files by unique names.
        masks: folder of the photos' masks, "auto", or None.
        folder: where to write; its name is the specimen's.
    Returns:
        The detection, and its JSON entry.
    Raises:
        InputError: where a photo cannot be read, or no pose is found.
    """
    check_masks(masks, model.context.weights)
    ensure_writable(folder)
    progress = Progress(model.config.quiet)
    taken = [
        model.shoot(path, masks, name)
        for name, path in progress.track(photos.items(), model.config.object_name, len(photos))
    ]
    detection = model.judge_shots(taken, folder.resolve().name)
    heat_maps = {shot.detection.name: heat_map_of(shot.query, shot.detection) for shot in taken}
    for name, heat_map in heat_maps.items():
        write_png(folder / place_of(name), heat_map)
    write_part_page(folder / PAGE, page_of(detection, taken, heat_maps, model))
    entry = entry_of(detection, photos, model)
    write_text(folder / ENTRY, json.dumps(entry, indent=1) + "\n")
    return detection, entry


def place_of(name: str) -> str:
    """Return the path of a photo's heat map within the part's folder."""
    return f"heat/{name}.png"


def page_of(
    detection: PartDetection, taken: Sequence[Shot], heat_maps: dict[str, np.ndarray], model: Model
) -> PartPage:
    """Return what the page shows."""
    surface, view = model.good_parts.surface, detection.next_view
    cloud = Cloud(
        points=surface.points.numpy(),
        normals=surface.normals.numpy(),
        colours=surface.colours.numpy(),
        spacing=surface.spacing,
        score=detection.surface_score.numpy(),
        times_seen=detection.times_seen.numpy(),
        threshold=detection.threshold,
    )
    photos = [
        PagePhoto(
            name=shot.detection.name,
            image=to_bytes(shot.query),
            heat_map=heat_maps[shot.detection.name],
            verdict=shot.detection.verdict,
            p_value=shot.detection.p_value,
            counted=shot.detection.name in detection.counted,
            repeated=shot.detection.name in detection.repeated,
            camera=vector(shot.detection.pose[:3, 3]),
        )
        for shot in taken
    ]
    shown = None
    if view is not None:
        picture = model.field.render_reference(view.camera_to_world.to(model.device), model.intrinsics).colour
        camera = vector(view.camera_to_world[:3, 3])
        shown = PageView(to_bytes(picture), camera, view.azimuth, view.elevation, view.gain)
    return PartPage(
        name=detection.name,
        object_name=model.config.object_name,
        verdict=detection.verdict,
        p_value=detection.p_value,
        anomaly_score=detection.anomaly_score,
        seen_share=detection.seen_share,
        seen_twice_share=detection.seen_twice_share,
        seen_well_share=detection.seen_well_share,
        cloud=cloud,
        defects=[
            PageDefect(**{each.name: getattr(one, each.name) for each in fields(PageDefect)})
            for one in detection.defects
        ],
        photos=photos,
        next_view=shown,
        remark=remark_of(model.config),
    )


def lines_of(detection: PartDetection) -> list[str]:
    """Say what was found of a part, a line each."""
    found = f"{len(detection.counted)} of {len(detection.photos)} photos count"
    seen = f"{detection.seen_share:.0%} of the surface seen, {detection.seen_twice_share:.0%} twice or more"
    lines = [f"{detection.name}\t{detection.verdict}\tp={detection.p_value:.2g}\t{found}, {seen}"]
    for defect in detection.defects:
        x, y, z = defect.centre
        lines.append(
            f"{defect.kind}\tat {x:.2f} {y:.2f} {z:.2f}\t{defect.extent:.2f} units\tp={defect.p_value:.2g}\t"
            f"confirmed by {len(defect.confirmed_by)} of {len(defect.seen_by)} photos that show it"
        )
    view = detection.next_view
    if view is not None:
        where = f"azimuth {view.azimuth:.0f}, elevation {view.elevation:.0f} degrees"
        lines.append(f"next view\t{where}\tshows {view.gain:.0%} more of the surface")
    return lines


def entry_of(detection: PartDetection, photos: dict[str, Path], model: Model) -> dict[str, object]:
    """Return the JSON entry of a part: numbers, texts and lists."""
    view = detection.next_view
    return {
        "part": detection.name,
        "object_name": model.config.object_name,
        "verdict": detection.verdict,
        "p_value": detection.p_value,
        "anomaly_score": detection.anomaly_score,
        "threshold": detection.threshold,
        "seen_share": detection.seen_share,
        "seen_twice_share": detection.seen_twice_share,
        "seen_well_share": detection.seen_well_share,
        "defects": [defect_entry(defect) for defect in detection.defects],
        "next_view": view and {**vars(view), "camera_to_world": view.camera_to_world.tolist()},
        "photos": [
            {
                "name": photo.name,
                "photo": str(photos[photo.name]),
                "counted": photo.name in detection.counted,
                "verdict": photo.verdict,
                "anomaly_score": photo.anomaly_score,
                "p_value": photo.p_value,
                "pose_found": photo.pose_found,
                "camera_to_world": photo.pose.tolist(),
                "heat_map": place_of(photo.name),
            }
            for photo in detection.photos
        ],
        "page": PAGE,
        "remark": remark_of(model.config),
        "date": utc_text(),
    }


def defect_entry(defect: SurfaceDefect) -> dict[str, object]:
    """Return the JSON entry of a defect."""
    return {key: value for key, value in vars(defect).items() if key != "points"}
