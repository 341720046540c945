"""``python -m data import-poses``: a table of camera poses, as a robot or a tracker writes it.

A CSV file with a header. ``file`` names the picture. The rest of a row is one of

    x y z qw qx qy qz        position and quaternion
    x y z rx ry rz           position and rotation vector (axis times angle in radians)
    m00 m01 ... m33          a 4x4 matrix row by row (m30 ... m33 may be left out)

in any order; other columns are ignored. ``--pose c2w`` says that the rows take points of the camera into the world
(the pose of the camera), ``w2c`` the reverse; ``--convention`` says how the camera's own axes lie.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from data.folders import read_json
from data.import_options import make_parser, options_of, tell
from data.import_transforms import find_picture, read_lens
from data.layout import Frame, Options, Source, Summary, sized, write_object
from data.world import FLIP, rigid_pose, rotation_of_quaternion
from utils.errors import InputError
from utils.images import read_image_size

UNITS = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}  # metres
POSITION = ("x", "y", "z")
QUATERNION = ("qw", "qx", "qy", "qz")
VECTOR = ("rx", "ry", "rz")
MATRIX = tuple(f"m{row}{column}" for row in range(3) for column in range(4))


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = make_parser("import-poses", __doc__.split("\n\n")[0].split(": ", 1)[1].capitalize())
    parser.add_argument("source", type=Path, help="the CSV file: file, and x y z qw qx qy qz, or rx ry rz, or m00 ...")
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--convention", choices=("opencv", "opengl"), required=True, help="the camera's axes")
    parser.add_argument("--pose", choices=("c2w", "w2c"), required=True, help="camera to world, or world to camera")
    parser.add_argument("--units", choices=tuple(UNITS), default="m", help="of the positions")
    lens = parser.add_mutually_exclusive_group(required=True)
    lens.add_argument("--focal", type=float, help="focal length in pixels")
    lens.add_argument("--camera_angle_x", type=float, help="horizontal field of view in radians")
    lens.add_argument("--intrinsics", type=Path, help="JSON with fl_x, cx, w, k1 ... as in transforms.json")
    found = parser.parse_args(arguments)
    keys = read_json(found.intrinsics) if found.intrinsics else {}
    if not isinstance(keys, dict):
        raise InputError(f"{found.intrinsics} must be a JSON object with fl_x and the like, found something else.")
    keys |= {"fl_x": found.focal} if found.focal is not None else {}
    keys |= {"camera_angle_x": found.camera_angle_x} if found.camera_angle_x is not None else {}
    table = (found.source, found.images, found.convention, found.pose, found.units)
    return tell(import_poses(*table, intrinsics=keys, options=options_of(found)))


def import_poses(
    table: Path, images: Path, convention: str, pose: str, units: str, intrinsics: dict, options: Options
) -> Summary:
    """Write the object of a table of poses; see ``read_poses`` and ``layout.write_object``."""
    frames, skipped = [], []
    for name, matrix in read_poses(table, convention, pose, UNITS[units]):
        picture = find_picture(images, name, None)
        if picture is None:
            skipped.append(f"{name} (no such picture in {images})")
            continue
        lens = read_lens(intrinsics, read_image_size(picture), "--intrinsics" if len(intrinsics) > 1 else "the options")
        frames.append(Frame(picture, matrix, sized(lens, picture)))
    return write_object(Source(frames, skipped, unit="m"), options)


def read_poses(table: Path, convention: str, pose: str, metres: float) -> list[tuple[str, np.ndarray]]:
    """Names and camera_to_world (4, 4), OpenGL axes, in metres, of the rows of a CSV file.

    Args:
        convention: "opencv" (x right, y down, z forward) or "opengl" (x right, y up, z backward).
        pose: "c2w" or "w2c".
        metres: what a unit of the table is long.
    Errors:
        InputError naming the row that cannot be a pose, or the columns that are missing.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            start = file.readline()
            file.seek(0)
            separator = max(",;\t", key=start.count)
            rows = list(csv.reader(file, delimiter=separator, skipinitialspace=True))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{table} is not a CSV file in UTF-8 ({error}); export it again.") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "file" not in header:
        raise InputError(f"{table} must begin with a header that has a column 'file', found {header[:20]}.")
    result = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"line {number} of {table}"
        cells = {key: cell.strip() for key, cell in zip(header, row)}
        matrix = rigid_pose(_matrix(cells, where), where)
        matrix = np.linalg.inv(matrix) if pose == "w2c" else matrix
        matrix[:3, 3] *= metres
        result.append((cells.get("file", ""), matrix @ FLIP if convention == "opencv" else matrix))
    return result


def _matrix(cells: dict[str, str], where: str) -> np.ndarray:
    """The pose (4, 4) in a row's cells."""

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
        result[:3, :3] = cv2.Rodrigues(vector)[0]
    else:
        raise InputError(f"{where} must have qw qx qy qz, rx ry rz or m00 to m23, found {sorted(cells)[:20]}.")
    return result
