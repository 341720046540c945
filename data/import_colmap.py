"""Imports a COLMAP model, binary or text, with its images.

COLMAP's own models of all versions, those of glomap, RealityCapture, Metashape and others that write its form. Rigs and
frames (rigs.bin, frames.bin, from COLMAP 3.12 on) say again what images.bin says and are not read.
"""

from __future__ import annotations

from pathlib import Path

from data.colmap_files import ColmapModel, has_model, read_model
from data.folders import ImageFinder, folders_below, images_in
from data.import_options import ImportOptions
from data.layout import ImportSummary, PosedImage, PosedImages, scale_to_file, write_object
from data.masks import mask_in
from data.other_programs import refuse_others
from data.world import pose_from_opencv
from utils.errors import InputError
from utils.progress import Progress
from utils.text import natural_key


def import_colmap(source: Path, images: Path | None, options: ImportOptions, quiet: bool = True) -> ImportSummary:
    """Write the object of the COLMAP model in ``source``; see ``read_colmap`` and ``layout.write_object``."""
    return write_object(read_colmap(source, images), options, Progress(quiet))


def read_colmap(source: Path, images: Path | None = None) -> PosedImages:
    """Read the posed images of the largest model.

    Args:
        source: a folder with cameras and images, .bin or .txt, or with such folders in it or in its ``sparse``.
        images: the images' folder, if it is not ``images`` in ``source`` or beside the model.
    Raises:
        InputError: where there is no model, no folder of images, or a file cannot be understood.
    """
    refuse_others(source)
    models = {folder: read_model(folder) for folder in model_folders(source)}
    folder = max(models, key=lambda place: len(models[place].images))
    notes = [f"the model {folder} is used, it has {len(models[folder].images)} poses"]
    notes += [f"the model {other} with {len(models[other].images)} is not" for other in models if other != folder]
    images = images if images is not None else _images_beside(source, folder)
    return posed_images(models[folder], images, notes if len(models) > 1 else [])


def posed_images(model: ColmapModel, images: Path, notes: list[str]) -> PosedImages:
    """Return the images of ``model``, and what is missing: images without a pose, poses without an image."""
    finder = ImageFinder(images)
    frames, skipped = [], []
    for name, (camera, pose) in sorted(model.images.items(), key=lambda item: natural_key(item[0])):
        path = finder.find(name) or finder.find(name.replace("\\", "/").rsplit("/", 1)[-1])
        if path is None:
            skipped.append(f"{name} ({finder.explain(name)})")
            continue
        frames.append(PosedImage(path, pose_from_opencv(pose), scale_to_file(model.cameras[camera], path)))
    posed = {frame.path for frame in frames}
    found = [path for folder in folders_below(images) for path in images_in(folder) if path not in posed]
    masks = {mask for frame in frames if (mask := mask_in(frame.path.parent, frame.path)) is not None}
    skipped += [f"{path.relative_to(images)} (no pose)" for path in found if path not in masks]
    return PosedImages(frames, skipped, model.points, free_axes=True, unit="units of COLMAP", notes=notes)


def model_folders(source: Path) -> list[Path]:
    """List the folders of models in ``source``, in ``sparse`` or in numbered folders of either."""
    places = [source, source / "sparse", source / "colmap" / "sparse"]
    places += [path for place in list(places) if place.is_dir() for path in sorted(place.iterdir()) if path.is_dir()]
    found = list(dict.fromkeys(place for place in places if has_model(place)))
    if not found:
        raise InputError(
            f"There is no COLMAP model (cameras and images, .bin or .txt) in {source}, {source / 'sparse'} or their "
            f"folders; name the folder that holds it."
        )
    return found


def _images_beside(source: Path, model: Path) -> Path:
    for place in (source, model, model.parent, model.parent.parent):
        if (place / "images").is_dir():
            return place / "images"
    raise InputError(f"There is no folder images in {source} or beside {model}; name it with --images.")
