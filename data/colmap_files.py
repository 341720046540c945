"""Reads COLMAP's model files, binary and text: cameras, images, points3D.

COLMAP's own library is not used, because it ends or hangs the whole process on damaged files. Counts in a file are
never trusted: each record is read from the bytes that exist, and a file that ends early is an InputError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.folders import read_text
from data.lens import Lens
from data.world import rotation_of_quaternion
from utils.errors import InputError

CAMERA_MODELS = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
    "SIMPLE_DIVISION",
    "DIVISION",
    "SIMPLE_FISHEYE",
    "FISHEYE",
    "EUCM",
    "EQUIRECTANGULAR",
)
PARAMETER_COUNTS = dict(zip(CAMERA_MODELS, (3, 4, 4, 5, 8, 8, 12, None, 4, 5, None, None, None, None, 3, 4)))
ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_FISHEYE")


@dataclass(frozen=True)
class ColmapModel:
    """A reconstruction."""

    cameras: dict[int, Lens]
    images: dict[str, tuple[int, np.ndarray]]  # name: camera and world_to_camera (4, 4), OpenCV axes
    points: np.ndarray  # (points, 3)


def has_model(folder: Path) -> bool:
    """Whether a folder holds cameras and images of a model, binary or text."""
    return any(all((folder / f"{name}{end}").is_file() for name in ("cameras", "images")) for end in (".bin", ".txt"))


def read_model(folder: Path) -> ColmapModel:
    """Read the model in ``folder``; its points may be missing.

    Raises:
        InputError: naming the file that ends early, is not of this format, or has a camera that is not supported.
    """
    binary = (folder / "cameras.bin").is_file() and (folder / "images.bin").is_file()
    end = ".bin" if binary else ".txt"
    cameras, images = folder / f"cameras{end}", folder / f"images{end}"
    points = folder / f"points3D{end}"
    try:
        lenses = dict(_binary_cameras(cameras) if binary else _text_cameras(cameras))
        records = list(_binary_images(images) if binary else _text_images(images))
        poses = dict(records)
        cloud = list(_binary_points(points) if binary else _text_points(points)) if points.is_file() else []
    except (struct.error, IndexError) as error:
        raise InputError(f"A file of the COLMAP model {folder} ends too early ({error}); export it again.") from None
    except (ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"A file of the COLMAP model {folder} is damaged ({error}); export it again.") from None
    if len(poses) < len(records):
        names = [name for name, _ in records]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{images} lists {twice!r} more than once; keep the pose that is right.")
    for name, (camera, _) in poses.items():
        if camera not in lenses:
            raise InputError(f"{images} gives {name} the camera {camera}, which {cameras} lacks; export it again.")
    xyz = np.array(cloud, dtype=np.float64).reshape(-1, 3)
    return ColmapModel(lenses, poses, xyz[np.isfinite(xyz).all(axis=1)])


def colmap_lens(model: str, width: int, height: int, parameters: tuple[float, ...], where: str) -> Lens:
    """Return the lens of a COLMAP camera; an InputError names ``where`` it was read if it is not supported."""
    count = PARAMETER_COUNTS.get(model)
    if count is None:
        raise InputError(
            f"The camera model {model} of {where} is not supported; undistort the images with COLMAP "
            f"(image_undistorter) and import what it writes."
        )
    if len(parameters) != count:
        raise InputError(f"{where} must have {count} parameters for {model}, found {len(parameters)}.")
    focal, rest = (parameters[:1] * 2, parameters[1:]) if model in ONE_FOCAL else (parameters[:2], parameters[2:])
    lens = Lens(width, height, focal[0], focal[1], rest[0], rest[1], rest[2:], fisheye="FISHEYE" in model)
    return lens.checked(where)


class _ByteReader:
    """A file's bytes, read record by record."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.offset = 0

    def take(self, form: str) -> tuple:
        """Read the next numbers, little-endian; struct.error where the file ends."""
        values = struct.unpack_from("<" + form, self.content, self.offset)
        self.offset += struct.calcsize("<" + form)
        return values

    def skip(self, count: int) -> None:
        """Skip ``count`` bytes; struct.error where the file ends."""
        self.offset += count
        if self.offset > len(self.content):
            raise struct.error(f"{self.offset - len(self.content)} bytes are missing")

    def name(self) -> str:
        """Read the next text, up to a zero byte."""
        end = self.content.find(b"\0", self.offset)
        if end < 0:
            raise struct.error("a name does not end")
        text = self.content[self.offset : end].decode("utf-8")
        self.offset = end + 1
        return text


def _binary_cameras(path: Path) -> Iterator[tuple[int, Lens]]:
    file = _ByteReader(path)
    for _ in range(file.take("Q")[0]):
        number, model, width, height = file.take("iiQQ")
        name = CAMERA_MODELS[model] if 0 <= model < len(CAMERA_MODELS) else f"number {model}"
        parameters = file.take(f"{PARAMETER_COUNTS.get(name) or 0}d")
        yield number, colmap_lens(name, width, height, parameters, f"camera {number} of {path}")


def _binary_images(path: Path) -> Iterator[tuple[str, tuple[int, np.ndarray]]]:
    file = _ByteReader(path)
    for _ in range(file.take("Q")[0]):
        values = file.take("i7di")
        name = file.name()
        file.skip(24 * file.take("Q")[0])  # the points in it: x, y and the point's number
        yield name, (values[8], _pose(values[1:8], f"{name!r} in {path}"))


def _binary_points(path: Path) -> Iterator[tuple[float, float, float]]:
    file = _ByteReader(path)
    for _ in range(file.take("Q")[0]):
        values = file.take("Q3d3BdQ")
        file.skip(8 * values[8])  # its track: images and their points
        yield values[1:4]


def _text_lines(path: Path) -> list[tuple[int, str]]:
    """Return all lines but comments, numbered; empty ones too, which may belong to an image without points."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    return [(number, line) for number, line in lines if not line.lstrip().startswith("#")]


@contextmanager
def _line(number: int, path: Path, form: str) -> Iterator[None]:
    """Turn what goes wrong with a line of a text file into an InputError that names it."""
    try:
        yield
    except (ValueError, IndexError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Line {number} of {path} must be {form} ({error}); export the model again.") from None


def _text_cameras(path: Path) -> Iterator[tuple[int, Lens]]:
    for index, line in _text_lines(path):
        if line.strip():
            with _line(index, path, "CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"):
                number, model, width, height, *parameters = line.split()
                where = f"camera {number} of {path}"
                lens = colmap_lens(model, int(width), int(height), tuple(map(float, parameters)), where)
            yield int(number), lens


def _text_images(path: Path) -> Iterator[tuple[str, tuple[int, np.ndarray]]]:
    lines = _text_lines(path)
    while lines and not lines[0][1].strip():  # an empty line before the first image
        lines.pop(0)
    bare = any(_names_an_image(line) for _, line in lines[1::2])  # written by hand, without lines of points
    for index, line in lines if bare else lines[::2]:
        if line.strip():
            with _line(index, path, "IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME, then points"):
                fields = line.split(maxsplit=9)
                name = fields[9].strip()
                pose = _pose([float(value) for value in fields[1:8]], f"{name!r} in {path}")
                camera = int(fields[8])
            yield name, (camera, pose)


def _names_an_image(line: str) -> bool:
    """Return whether a line ends in a name, and so gives a pose, not points, which are numbers only."""
    fields = line.split(maxsplit=9)
    try:
        return len(fields) == 10 and not float(fields[9].split()[0]) < float("inf")
    except ValueError:
        return True


def _text_points(path: Path) -> Iterator[tuple[float, float, float]]:
    for index, line in _text_lines(path):
        if line.strip():
            with _line(index, path, "POINT3D_ID, X, Y, Z, ..."):
                fields = line.split(maxsplit=4)
                point = float(fields[1]), float(fields[2]), float(fields[3])
            yield point


def _pose(values: list[float] | tuple[float, ...], where: str) -> np.ndarray:
    """Return world_to_camera (4, 4) of a quaternion w, x, y, z and a translation."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_of_quaternion(values[:4], where)
    pose[:3, 3] = values[4:7]
    if not np.isfinite(pose).all() or np.abs(pose).max() > 1e9:
        raise InputError(f"The pose of {where} must be finite numbers; export the model again.")
    return pose
