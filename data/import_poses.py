"""Imports a table of camera poses, as a robot or a tracker writes it.

A CSV file with a header. ``file`` names the image. The rest of a row is one of

    x y z qw qx qy qz        position and quaternion
    x y z rx ry rz           position and rotation vector (axis times angle in radians)
    m00 m01 ... m33          a 4x4 matrix row by row (m30 ... m33 may be left out)

in any order; other columns are ignored. ``--pose c2w`` says that the rows map points of the camera to the world
(the pose of the camera), ``w2c`` the reverse; ``--convention`` gives the axes of the camera.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from data.folders import read_json
from data.import_options import ImportOptions, PoseTableOptions
from data.import_transforms import find_image, read_lens
from data.layout import ImportSummary, PosedImage, PosedImages, scale_to_file, write_object
from data.world import FLIP, rigid_pose, rotation_of_quaternion
from utils.errors import InputError
from utils.images import read_image_size
from utils.progress import Progress

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
POSITION = ("x", "y", "z")
QUATERNION = ("qw", "qx", "qy", "qz")
VECTOR = ("rx", "ry", "rz")
MATRIX = tuple(f"m{row}{column}" for row in range(3) for column in range(4))


def import_poses(file: Path, table: PoseTableOptions, options: ImportOptions, quiet: bool = True) -> ImportSummary:
    """Write the object of a table of poses; see ``read_poses`` and ``layout.write_object``."""
    keys = _lens_keys(table)
    frames, skipped = [], []
    for name, pose in read_poses(file, table):
        image = find_image(table.images, name, None)
        if image is None:
            skipped.append(f"{name} (no such image in {table.images})")
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


def read_poses(file: Path, table: PoseTableOptions) -> list[tuple[str, np.ndarray]]:
    """Read names and camera_to_world (4, 4), OpenGL axes, in metres, from the rows of a CSV file.

    Raises:
        InputError: naming the row that cannot be a pose, or the columns that are missing.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            start = stream.readline()
            stream.seek(0)
            separator = max(",;\t", key=start.count)
            rows = list(csv.reader(stream, delimiter=separator, skipinitialspace=True))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{file} is not a CSV file in UTF-8 ({error}); export it again.") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "file" not in header:
        raise InputError(f"{file} must begin with a header that has a column 'file', found {header[:20]}.")
    result = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"line {number} of {file}"
        cells = {key: cell.strip() for key, cell in zip(header, row)}
        matrix = rigid_pose(_matrix(cells, where), where)
        matrix = np.linalg.inv(matrix) if table.pose == "w2c" else matrix
        matrix[:3, 3] *= METRES[table.units]
        result.append((cells.get("file", ""), matrix @ FLIP if table.convention == "opencv" else matrix))
    return result


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
        if not np.abs(vector).max() < 1e3:
            raise InputError(f"The rotation vector of {where} must be finite radians, found {vector.tolist()}.")
        result[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    else:
        raise InputError(f"{where} must have qw qx qy qz, rx ry rz or m00 to m23, found {sorted(cells)[:20]}.")
    return result
