"""Imports a table of camera poses, as a robot or a tracker writes it.

A CSV file with a header. ``file`` names the image. The rest of a row is one of

    x y z qw qx qy qz        position and quaternion
    x y z rx ry rz           position and rotation vector (axis times angle in radians)
    m00 m01 ... m33          a 4x4 matrix row by row (m30 ... m33 may be left out)

in any order; other columns are ignored, and ``filename``, ``image`` and ``name`` mean ``file``. Separators are commas,
tabs or semicolons (then decimal commas are read). A trajectory in TUM's form, without a header, is read too: its first
column, the time stamp, is the images' name. ``--pose c2w`` says that the rows map points of the camera to the world
(the pose of the camera), ``w2c`` the reverse; ``--convention`` gives the axes of the camera.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from data.folders import ImageFinder, read_json, read_text
from data.import_options import ImportOptions, PoseTableOptions
from data.import_transforms import MOST_FAULTS, find_image, read_lens
from data.layout import ImportSummary, PosedImage, PosedImages, scale_to_file, write_object
from data.other_programs import refuse_others
from data.world import FLIP, rigid_pose, rotation_of_quaternion
from utils.errors import InputError
from utils.images import read_image_size
from utils.progress import Progress

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
FILE = "file"
FILE_COLUMNS = ("file", "filename", "file_name", "file_path", "image", "image_name", "image_path", "name", "frame")
TUM = (FILE, "x", "y", "z", "qx", "qy", "qz", "qw")  # a line of a trajectory in the form of TUM's RGB-D data set
POSITION = ("x", "y", "z")
QUATERNION = ("qw", "qx", "qy", "qz")
VECTOR = ("rx", "ry", "rz")
LONGEST_VECTOR = 7.0  # radians; a turn has 6.28
MATRIX = tuple(f"m{row}{column}" for row in range(3) for column in range(4))


def import_poses(file: Path, table: PoseTableOptions, options: ImportOptions, quiet: bool = True) -> ImportSummary:
    """Write the object of a table of poses; see ``read_poses`` and ``layout.write_object``."""
    keys = _lens_keys(table)
    finder = ImageFinder(table.images)
    frames, skipped = [], []
    poses, faults = read_poses(file, table)
    skipped += faults
    for name, pose in poses:
        image = find_image(name, finder, finder)
        if image is None:
            skipped.append(f"{name} ({finder.explain(name)})")
            continue
        lens = read_lens(keys, read_image_size(image), "the options" if table.intrinsics is None else "--intrinsics")
        frames.append(PosedImage(image, pose, scale_to_file(lens, image)))
    return write_object(PosedImages(frames, skipped, unit="m"), options, Progress(quiet))


def _lens_keys(table: PoseTableOptions) -> dict[str, Any]:
    """Return the camera of all images by the keys of transforms.json."""
    if table.intrinsics is None:
        return {"fl_x": table.focal, "camera_angle_x": table.camera_angle_x}
    keys = read_json(table.intrinsics)
    if not isinstance(keys, dict):
        raise InputError(f"{table.intrinsics} must be a JSON object with fl_x and the like, found something else.")
    return keys


def read_poses(file: Path, table: PoseTableOptions) -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """Read names and camera_to_world (4, 4), OpenGL axes, in metres, from the rows of a CSV file or a TUM trajectory.

    Returns:
        The poses, and a line for each row without a usable one, a quarter of them at most.
    Raises:
        InputError: naming the row that cannot be a pose, or the columns that are missing.
    """
    refuse_others(file)
    rows = _table(file)
    result, faults = [], []
    for number, cells in rows:
        where = f"line {number} of {file}"
        try:
            matrix = rigid_pose(_matrix(cells, where), where)
        except InputError as error:
            faults.append((cells[FILE], error))
            continue
        matrix = np.linalg.inv(matrix) if table.pose == "w2c" else matrix
        matrix[:3, 3] *= METRES[table.units]
        result.append((cells[FILE], matrix @ FLIP if table.convention == "opencv" else matrix))
    if len(faults) > MOST_FAULTS * len(rows):
        raise faults[0][1]
    return result, [f"{name} (no pose: {error})" for name, error in faults]


def _table(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Return each row's number and cells of a table."""
    lines = read_text(file).splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    trajectory = [(number, line.split()) for number, line in numbered if not line.startswith("#")]
    if trajectory and all(len(cells) == len(TUM) and _is_number(cells[1]) for _, cells in trajectory):
        return [(number, dict(zip(TUM, cells))) for number, cells in trajectory]
    start = numbered[0][1].lstrip("#") if numbered else ""
    separator = max(",;\t", key=start.count)
    try:
        split = [
            next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])  # a line a row: quotes end with it
            for _, line in numbered
        ]
    except csv.Error as error:
        raise InputError(f"{file} is not a CSV file ({error}); export it again.") from None
    header = [cell.strip().lstrip("#").strip().lower() for cell in split[0]] if split else []
    header = [FILE if cell in FILE_COLUMNS else cell for cell in header]
    if FILE not in header:
        raise InputError(f"{file} must begin with a header that has a column 'file', found {header[:20]}.")
    rows = []
    for (number, _), row in zip(numbered[1:], split[1:]):
        cells = [cell.strip().replace(",", ".") if separator == ";" else cell.strip() for cell in row]
        named = dict(zip(header, cells))
        if any(cells):
            rows.append((number, {**named, FILE: dict(zip(header, row)).get(FILE, "").strip()}))
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _matrix(cells: dict[str, str], where: str) -> np.ndarray:
    """Return the pose (4, 4) in a row's cells."""

    def numbers(names: tuple[str, ...]) -> np.ndarray:
        try:
            return np.array([float(cells[name]) for name in names])
        except (KeyError, ValueError) as error:
            raise InputError(f"{', '.join(names)} of {where} must be numbers ({error}); correct the row.") from None

    result = np.eye(4)
    if MATRIX[0] in cells:
        result[:3] = numbers(MATRIX).reshape(3, 4)
        return result
    result[:3, 3] = numbers(POSITION)
    if QUATERNION[0] in cells:
        result[:3, :3] = rotation_of_quaternion(numbers(QUATERNION), where)
    elif VECTOR[0] in cells:
        vector = numbers(VECTOR)
        if not np.linalg.norm(vector) < LONGEST_VECTOR:
            raise InputError(
                f"The rotation vector of {where} must be in radians, one turn at most, found {vector.tolist()}; "
                f"convert degrees."
            )
        result[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    else:
        raise InputError(f"{where} must have qw qx qy qz, rx ry rz or m00 to m23, found {sorted(cells)[:20]}.")
    return result
