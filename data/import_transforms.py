"""Imports objects with a transforms.json of nerfstudio, instant-ngp or Blender.

What differs between them: the field of view is given as ``camera_angle_x`` (Blender), or as ``fl_x``, ``fl_y``, ``cx``,
``cy``, ``w``, ``h`` with OpenCV's distortion ``k1`` ... (the others), for all frames or for each; names come with or
without a suffix. All give camera_to_world with OpenGL axes. instant-ngp's ``aabb_scale``, ``scale`` and ``offset``
and nerfstudio's ``applied_transform`` and ``applied_scale`` say how the world lies in its cube, not how it looks; as
the object is centred here, they are ignored.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from data.folders import ImageFinder, read_json
from data.import_options import ImportOptions
from data.layout import ImportSummary, PosedImage, PosedImages, scale_to_file, write_object
from data.lens import Lens
from data.other_programs import read_export, refuse_others
from data.world import rigid_pose
from utils.errors import InputError
from utils.images import read_image_size
from utils.progress import Progress

FILE_NAMES = ("transforms.json", "transforms_train.json")
CAMERA_MODELS = ("", "OPENCV", "FULL_OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
MASK_KEYS = ("mask_path", "mask_file_path", "mask_filename", "mask_file", "mask")
MOST_FAULTS = 0.25  # share of the frames that may have no usable pose
ROLLING_SHUTTER = ("transform_matrix_start", "transform_matrix_end")


def import_transforms(source: Path, images: Path | None, options: ImportOptions, quiet: bool = True) -> ImportSummary:
    """Write the object of the transforms file ``source``; see ``read_transforms`` and ``layout.write_object``."""
    return write_object(read_transforms(source, images), options, Progress(quiet))


def read_transforms(source: Path, images: Path | None = None) -> PosedImages:
    """Read the frames of a transforms file whose images exist.

    Args:
        source: the file, or the folder of transforms.json or transforms_train.json.
        images: folder in which images are searched by name where they are not beside the file.
    Raises:
        InputError: for a file, frame or camera that cannot be understood.
    """
    export = read_export(source)
    if export is not None:
        return export
    path = _transforms_file(source)
    refuse_others(path)
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise InputError(f"{path} must be an object with a list 'frames', found something else; is it the right file?")
    finder, other = ImageFinder(path.parent), ImageFinder(images) if images is not None else None
    frames, skipped, faults = [], [], []
    for index, entry in enumerate(content["frames"]):
        where = f"frame {index} of {path}"
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str):
            raise InputError(f"file_path of {where} must name an image, found none; write the frame again.")
        if any(key in entry for key in ROLLING_SHUTTER):
            raise InputError(f"{where} has a pose for its first and last row; rolling shutters are not supported.")
        name = entry["file_path"]
        image = find_image(name, finder, other)
        if image is None:
            skipped.append(f"{name} ({finder.explain(name)})")
            continue
        try:
            pose = rigid_pose(entry.get("transform_matrix"), where)
        except InputError as error:
            faults.append(error)
            skipped.append(f"{name} (no pose: {error})")
            continue
        lens = scale_to_file(read_lens({**content, **entry}, read_image_size(image), where), image)
        frames.append(PosedImage(image, pose, lens, _mask_of(entry, where, finder, other)))
    if len(faults) > MOST_FAULTS * len(content["frames"]):
        raise faults[0]
    return PosedImages(frames, skipped)


def _mask_of(entry: dict[str, Any], where: str, finder: ImageFinder, other: ImageFinder | None) -> Path | None:
    """Return the mask that a frame names, or None where it names none; an InputError where the mask is not there."""
    for key in MASK_KEYS:
        name = entry.get(key)
        if isinstance(name, str) and name:
            mask = find_image(name, finder, other)
            if mask is None:
                raise InputError(f"{key} {name!r} of {where}: {finder.explain(name)}; correct it, or give --masks.")
            return mask
    return None


def _transforms_file(source: Path) -> Path:
    if source.is_dir():
        for name in FILE_NAMES:
            if (source / name).is_file():
                return source / name
        refuse_others(source)
    if not source.is_file():
        raise InputError(f"There is no {source / FILE_NAMES[0]}; name the folder of the file, or the file.")
    return source


def find_image(name: str, finder: ImageFinder, other: ImageFinder | None) -> Path | None:
    """Find the image ``name`` with ``finder``, else by all of the name or its last part with ``other``."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return finder.find(name) or (None if other is None else other.find(name) or other.find(last))


def read_lens(keys: dict[str, Any], size: tuple[int, int], where: str) -> Lens:
    """Return the lens that a transforms file's keys describe.

    Args:
        keys: those of the file, overridden by those of the frame.
        size: width and height of the image, which hold where ``w`` and ``h`` are not given.
        where: the file and frame, for errors.
    Raises:
        InputError: for a camera model that is not supported, or a value that is not a number.
    """
    model = str(keys.get("camera_model") or "").upper()
    fisheye = model == "OPENCV_FISHEYE" or keys.get("is_fisheye") is True
    if not fisheye and model not in CAMERA_MODELS:
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
    for key, angle in (("camera_angle_x", angle_x), ("camera_angle_y", angle_y)):
        if angle is not None and angle >= math.pi and number("fl_x") is None:
            raise InputError(f"{key} of {where} must be in radians, below 3.14, found {angle:g}; convert degrees.")
    focal_x = number("fl_x") or _focal(width, angle_x) or number("fl_y") or _focal(height, angle_y)
    if not focal_x:
        raise InputError(f"{where} must have fl_x in pixels or camera_angle_x in radians, found neither.")
    focal_y = number("fl_y") or (_focal(height, angle_y) if angle_x is None else None) or focal_x
    names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    distortion = tuple(number(name) or 0.0 for name in names)
    if not fisheye and not any(distortion[5:]):
        distortion = distortion[:5] if distortion[4] else distortion[:4]
    centre_x, centre_y = number("cx"), number("cy")
    if ((centre_x or 0.0) > size[0] and number("w") is None) or ((centre_y or 0.0) > size[1] and number("h") is None):
        raise InputError(
            f"cx and cy of {where} lie outside an image of {size[0]}x{size[1]}; give the w and h they are for."
        )
    centre_x, centre_y = (width / 2 if centre_x is None else centre_x), (height / 2 if centre_y is None else centre_y)
    return Lens(width, height, focal_x, focal_y, centre_x, centre_y, distortion, fisheye).checked(where)


def _focal(pixels: int, angle: float | None) -> float | None:
    """Return the focal length in pixels of a field of view in radians that is ``pixels`` wide."""
    return 0.5 * pixels / math.tan(0.5 * angle) if angle is not None and 0.0 < angle < math.pi else None
