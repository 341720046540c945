"""``python -m data import-colmap``: a COLMAP model, binary or text, with its pictures."""

from __future__ import annotations

from pathlib import Path

from data.colmap_files import Model, has_model, read_model
from data.folders import natural_key
from data.import_options import make_parser, options_of, tell
from data.import_transforms import find_picture
from data.layout import Frame, Options, Source, Summary, sized, write_object
from data.world import pose_from_opencv
from utils.errors import InputError
from utils.images import SUFFIXES


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = make_parser("import-colmap", "Take over a COLMAP model with its pictures.")
    parser.add_argument("source", type=Path, help="folder of the model, or one with sparse/0, sparse/1, ... in it")
    parser.add_argument("--images", type=Path, help="folder of the pictures; without it, images/ beside the model")
    found = parser.parse_args(arguments)
    return tell(import_colmap(found.source, found.images, options_of(found)))


def import_colmap(source: Path, images: Path | None, options: Options) -> Summary:
    """Write the object of the COLMAP model in ``source``; see ``read_colmap`` and ``layout.write_object``."""
    return write_object(read_colmap(source, images), options)


def read_colmap(source: Path, images: Path | None = None) -> Source:
    """The posed pictures of the largest model.

    Args:
        source: a folder with cameras and images, .bin or .txt, or with such folders in it or in its ``sparse``.
        images: the pictures' folder, if it is not ``images`` in ``source`` or beside the model.
    Errors:
        InputError where there is no model, no folder of pictures, or a file means nothing.
    """
    models = {folder: read_model(folder) for folder in model_folders(source)}
    folder = max(models, key=lambda place: len(models[place].images))
    notes = [f"the model {folder} is taken, it has {len(models[folder].images)} poses"]
    notes += [f"the model {other} with {len(models[other].images)} is left" for other in models if other != folder]
    pictures = images if images is not None else _pictures_beside(source, folder)
    return posed_pictures(models[folder], pictures, notes if len(models) > 1 else [])


def posed_pictures(model: Model, pictures: Path, notes: list[str]) -> Source:
    """The pictures of ``model``, and what is missing: pictures without a pose, poses without a picture."""
    frames, skipped = [], []
    for name, (camera, pose) in sorted(model.images.items(), key=lambda item: natural_key(item[0])):
        picture = find_picture(pictures, name, None)
        if picture is None:
            skipped.append(f"{name} (no such picture in {pictures})")
            continue
        frames.append(Frame(picture, pose_from_opencv(pose), sized(model.cameras[camera], picture)))
    taken = {frame.path for frame in frames}
    found = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in SUFFIXES)
    skipped += [f"{path.relative_to(pictures)} (no pose)" for path in found if path not in taken]
    return Source(frames, skipped, model.points, free_axes=True, unit="units of COLMAP", notes=notes)


def model_folders(source: Path) -> list[Path]:
    """Folders of models in ``source``, in ``sparse`` or in numbered folders of either."""
    places = [source, source / "sparse", source / "colmap" / "sparse"]
    places += [path for place in list(places) if place.is_dir() for path in sorted(place.iterdir()) if path.is_dir()]
    found = list(dict.fromkeys(place for place in places if has_model(place)))
    if not found:
        raise InputError(
            f"There is no COLMAP model (cameras and images, .bin or .txt) in {source}, {source / 'sparse'} or their "
            f"folders; name the folder that holds it."
        )
    return found


def _pictures_beside(source: Path, model: Path) -> Path:
    for place in (source, model, model.parent, model.parent.parent):
        if (place / "images").is_dir():
            return place / "images"
    raise InputError(f"There is no folder images in {source} or beside {model}; name it with --images.")
