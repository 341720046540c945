"""Inspection: photos without ground truth get a verdict at the threshold that training learned from normal views."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from auroc_test import Model, check_size, detect, load_model, read_query
from utils.config import Config
from utils.errors import InputError, exit_code_of
from utils.options import find_name, make_parser, parse
from utils.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from data.lens import Lens
    from utils.results import Detection

EXIT_GOOD, EXIT_DEFECTIVE, EXIT_ERROR = 0, 1, 2


def main(arguments: list[str]) -> int:
    """Inspect the photos that the command line names; 0 all good, 1 something defective, 2 an error."""
    parser = make_parser("Judge photos of a trained object, taken with the camera of its training views.")
    parser.add_argument("photos", nargs="+", metavar="photo", help="PNG or JPEG files, or folders of them")
    parser.add_argument("--masks", type=Path, help="folder of the photos' masks, NAME.png for NAME.jpg, 255 = object")
    config, own, warnings = parse(parser, arguments, saved=True)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    find_name(config)
    if own.masks is not None and not own.masks.is_dir():
        raise InputError(f"There is no folder {own.masks}; correct --masks.")
    return inspect_photos(config, find_photos([Path(photo) for photo in own.photos]), own.masks)


def find_photos(places: list[Path]) -> dict[str, Path]:
    """Photos by a name of their own: a file's stem, or a folder's name and the place in it."""
    from data.mad import pictures_in

    photos: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            folders = [place, *sorted(path for path in place.rglob("*") if path.is_dir())]
            found = [path for folder in folders for path in pictures_in(folder)]
            if not found:
                raise InputError(f"There are no PNG or JPEG pictures in the folder {place}; name another one.")
            top = place.resolve()
            named = [(f"{top.name}/{path.relative_to(place).with_suffix('').as_posix()}", path) for path in found]
        elif place.is_file():
            named = [(place.stem, place)]
        else:
            raise InputError(f"There is no file or folder {place}; check the name.")
        for name, path in named:
            copy = 2
            unique = name
            while unique in photos:
                unique, copy = f"{name}_{copy}", copy + 1
            photos[unique] = path
    return photos


def inspect_photos(config: Config, photos: dict[str, Path], masks: Path | None = None) -> int:
    """One line, one heat map and one JSON line a photo; a photo that cannot be read does not stop the others."""
    from utils.checkpoint import make_writable

    model, lens = load_model(config), photo_lens(config)
    folder = config.result_dir / "detect"
    make_writable(folder)
    worst = EXIT_GOOD
    with (folder / "detections.jsonl").open("a", encoding="utf-8") as journal:
        for name, path in Progress(config.quiet).track(photos.items(), config.object_name, len(photos)):
            try:
                query = read_photo(path, model, lens, masks)
            except (InputError, OSError) as error:
                print(f"error: {error}", file=sys.stderr)
                worst = EXIT_ERROR
                continue
            detection, anomaly_map = detect(query, name, model)
            heat_map = write_heat_map(folder / f"{name}_heat.png", query, anomaly_map, model)
            journal.write(json.dumps(entry_of(detection, path, heat_map, model)) + "\n")
            journal.flush()
            pose = "pose found" if detection.pose_found else "pose not found"
            print(f"{path}\t{detection.verdict}\t{detection.anomaly_score:.4f}\t{pose}", flush=True)
            if detection.verdict != "good":
                worst = max(worst, EXIT_DEFECTIVE)
    return worst


def photo_lens(config: Config) -> Lens | None:
    """The lens of the photos that the training views were made of; None where the views came without one."""
    from data.lens import Lens
    from utils.training_record import FILE, TrainingRecord

    entry = TrainingRecord.read(config.checkpoint_dir).photo_camera
    return None if entry is None else Lens.of_entry(entry, str(config.checkpoint_dir / FILE))


def read_photo(path: Path, model: Model, lens: Lens | None, masks: Path | None) -> Tensor:
    """A photo as the model takes it, float32 RGB (height, width, 3), seen through the camera of the training views.

    A photo of the size that ``lens`` has is taken for one as the camera wrote it: its distortion is taken out and it is
    brought to the views' field of view, as the import did with theirs. Other photos must have the views' proportions.
    """
    import torch

    from data.lens import taken_over
    from data.masks import cut_out
    from data.photos import Photos
    from utils.images import prepare

    config, camera = model.config, model.intrinsics
    if path.resolve().is_relative_to(config.object_dir.resolve()) and masks is None:
        return read_query(path, model)
    photos = Photos.of([path], masks, wide=camera.width > camera.height)
    picture = photos.read(path)
    if masks is not None:
        picture = cut_out(picture, photos.foreground(path))
    if lens is None or photos.size(path) != (lens.width, lens.height):
        return check_size(torch.from_numpy(prepare(picture, config.image_size, config.background_rgb)[0]), path, model)
    finer = 2 * max(camera.width, camera.height)  # so that nothing blurs, and large photos are not undistorted whole
    colour = (prepare(picture, finer, config.background_rgb)[0] * 255.0).round().astype("uint8")
    fill = round(255 * config.background_rgb[0])
    seen = taken_over(colour, lens.resized(colour.shape[1], colour.shape[0]), camera, fill)
    return (torch.from_numpy(seen).float() / 255.0).to(model.device)


def entry_of(detection: Detection, path: Path, heat_map: Path, model: Model) -> dict[str, object]:
    """A photo's JSON line."""
    pose = detection.camera_to_world
    return {
        "photo": str(path),
        "object_name": model.config.object_name,
        "verdict": detection.verdict,
        "anomaly_score": detection.anomaly_score,
        "threshold": model.scorer.threshold,
        "pose_found": detection.pose_found,
        "camera_to_world": None if pose is None else pose.tolist(),
        "heat_map": str(heat_map),
        "seconds": round(detection.seconds, 4),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def write_heat_map(path: Path, query: Tensor, anomaly_map: Tensor, model: Model) -> Path:
    """The map in colour over the photo, on the scale of the threshold: full colour at twice its value."""
    import torch

    from utils.heatmap import HeatScale, heat_picture
    from utils.images import to_bytes, write_png

    scale = HeatScale(0.0, 2.0 * model.scorer.threshold)
    picture = heat_picture(to_bytes(query), anomaly_map, scale)
    write_png(path, torch.from_numpy(picture).float() / 255.0)
    return path


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
