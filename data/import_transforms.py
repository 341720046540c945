"""``python -m data import-transforms``: objects with a transforms.json of nerfstudio, instant-ngp or Blender.

What differs between them: the field of view stands as ``camera_angle_x`` (Blender), or as ``fl_x``, ``fl_y``, ``cx``,
``cy``, ``w``, ``h`` with OpenCV's distortion ``k1`` ... (the others), for all frames or for each; names come with or
without a suffix. All give camera_to_world with OpenGL axes. instant-ngp's ``aabb_scale``, ``scale`` and ``offset``
and nerfstudio's ``applied_transform`` and ``applied_scale`` say how the world lies in its cube, not how it looks; as
the object is centred here, they change nothing and are left alone.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from data.folders import read_json
from data.import_options import make_parser, options_of, tell
from data.layout import Frame, Options, Source, Summary, sized, write_object
from data.lens import Lens
from data.world import rigid_pose
from utils.errors import InputError
from utils.images import SUFFIXES, read_image_size

NAMES = ("transforms.json", "transforms_train.json")
PINHOLES = ("", "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
ROLLING = ("transform_matrix_start", "transform_matrix_end")


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = make_parser("import-transforms", "Take over a nerfstudio, instant-ngp or Blender transforms.json.")
    parser.add_argument("source", type=Path, help="the transforms.json, or the folder that holds it")
    parser.add_argument("--images", type=Path, help="folder of the pictures, if they are not where the file says")
    found = parser.parse_args(arguments)
    return tell(import_transforms(found.source, found.images, options_of(found)))


def import_transforms(source: Path, images: Path | None, options: Options) -> Summary:
    """Write the object of the transforms file ``source``; see ``read_transforms`` and ``layout.write_object``."""
    return write_object(read_transforms(source, images), options)


def read_transforms(source: Path, images: Path | None = None) -> Source:
    """The frames of a transforms file whose pictures exist.

    Args:
        source: the file, or the folder of transforms.json or transforms_train.json.
        images: folder in which pictures are looked for by name where they are not beside the file.
    Errors:
        InputError for a file, frame or camera that means nothing.
    """
    path = _transforms_file(source)
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise InputError(f"{path} must be an object with a list 'frames', found something else; is it the right file?")
    frames, skipped = [], []
    for index, entry in enumerate(content["frames"]):
        where = f"frame {index} of {path}"
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str):
            raise InputError(f"file_path of {where} must name a picture, found none; write the frame again.")
        if any(key in entry for key in ROLLING):
            raise InputError(f"{where} has a pose for its first and last row; rolling shutters are not supported.")
        picture = find_picture(path.parent, entry["file_path"], images)
        if picture is None:
            skipped.append(f"{entry['file_path']} (no such picture)")
            continue
        lens = sized(read_lens({**content, **entry}, read_image_size(picture), where), picture)
        mask = entry.get("mask_path")
        mask_path = find_picture(path.parent, mask, None) if isinstance(mask, str) else None
        frames.append(Frame(picture, rigid_pose(entry.get("transform_matrix"), where), lens, mask_path))
    return Source(frames, skipped)


def _transforms_file(source: Path) -> Path:
    if source.is_dir():
        for name in NAMES:
            if (source / name).is_file():
                return source / name
    if not source.is_file():
        raise InputError(f"There is no {source / NAMES[0]}; name the folder of the file, or the file.")
    return source


def find_picture(folder: Path, name: str, images: Path | None) -> Path | None:
    """The picture ``name`` below ``folder``, or by its last part in ``images``; None if there is none.

    A name without a suffix may be a PNG or a JPEG. Names that leave the folder are not followed.
    """
    places = [(folder, name.replace("\\", "/"))]
    if images is not None:
        places += [(images, places[0][1].rsplit("/", 1)[-1])]
    for root, relative in places:
        for suffix in ("", *SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)):
            path = root / (relative + suffix)
            try:
                inside = path.resolve().is_relative_to(root.resolve())
                if inside and path.is_file() and path.suffix.lower() in SUFFIXES:
                    return path
            except (OSError, ValueError):  # a name that no file can have
                return None
    return None


def read_lens(keys: dict[str, Any], size: tuple[int, int], where: str) -> Lens:
    """The lens that a transforms file's keys describe.

    Args:
        keys: those of the file, overlaid by those of the frame.
        size: width and height of the picture, which hold where ``w`` and ``h`` are not given.
        where: for errors.
    """
    model = str(keys.get("camera_model") or "").upper()
    fisheye = model == "OPENCV_FISHEYE" or keys.get("is_fisheye") is True
    if not fisheye and model not in PINHOLES:
        raise InputError(f"camera_model of {where} must be OPENCV, OPENCV_FISHEYE or PINHOLE, found {model!r}.")

    def number(key: str) -> float | None:
        value = keys.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e7:
            raise InputError(f"{key} of {where} must be a number, found {value!r}; correct it.")
        return float(value)

    width, height = int(number("w") or size[0]), int(number("h") or size[1])
    angle_x, angle_y = number("camera_angle_x"), number("camera_angle_y")
    focal_x = number("fl_x") or _focal(width, angle_x) or number("fl_y") or _focal(height, angle_y)
    if not focal_x:
        raise InputError(f"{where} must have fl_x in pixels or camera_angle_x in radians, found neither.")
    focal_y = number("fl_y") or (_focal(height, angle_y) if angle_x is None else None) or focal_x
    names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    distortion = tuple(number(name) or 0.0 for name in names)
    if not fisheye and not any(distortion[5:]):
        distortion = distortion[:5] if distortion[4] else distortion[:4]
    centre_x, centre_y = number("cx"), number("cy")
    centre_x, centre_y = (width / 2 if centre_x is None else centre_x), (height / 2 if centre_y is None else centre_y)
    return Lens(width, height, focal_x, focal_y, centre_x, centre_y, distortion, fisheye).checked(where)


def _focal(pixels: int, angle: float | None) -> float | None:
    """Focal length in pixels of a field of view in radians that is ``pixels`` wide."""
    return 0.5 * pixels / math.tan(0.5 * angle) if angle is not None and 0.0 < angle < math.pi else None
