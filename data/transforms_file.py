"""Reads an object's ``transforms.json``: parsed once, checked frame by frame."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.folders import GOOD, ImageFinder, find_object, images_in, read_json
from utils.errors import InputError
from utils.images import SUFFIXES

RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Cameras:
    """The cameras of an object's good views, checked."""

    angle: float  # horizontal field of view in radians
    paths: list[Path]  # the images, in the order of the frames
    camera_to_world: Tensor  # (views, 4, 4) float32


@dataclass(frozen=True)
class TransformsFile:
    """The parsed ``transforms.json`` of an object, with at least one frame; other values are checked when asked for."""

    path: Path
    content: dict[str, Any]

    @staticmethod
    def read(object_dir: Path) -> TransformsFile:
        """Read the file of an object's folder.

        Raises:
            FileNotFoundError, InputError: for a folder or file that is missing, is not JSON or lists no frames.
        """
        path = transforms_path(find_object(object_dir))
        content = read_json(path)
        frames = content.get("frames") if isinstance(content, dict) else None
        if not isinstance(frames, list) or not frames:
            raise InputError(f"{path} must list at least one frame under 'frames', found none; nothing can be trained.")
        return TransformsFile(path, content)

    @functools.cached_property
    def finder(self) -> ImageFinder:
        """The finder of the images in the object's folder."""
        return ImageFinder(self.object_dir)

    @property
    def object_dir(self) -> Path:
        """The object's folder."""
        return self.path.parent

    @property
    def frames(self) -> list[Any]:
        """The frames in the order of the file, unchecked."""
        return self.content["frames"]

    def angle(self) -> float:
        """Return the horizontal field of view in radians, between 0 and pi."""
        angle = self.content.get("camera_angle_x")
        if isinstance(angle, bool) or not isinstance(angle, (int, float)) or not 0.0 < angle < math.pi:
            raise InputError(
                f"camera_angle_x in {self.path} must be an angle between 0 and pi in radians, found {angle!r}."
            )
        return float(angle)

    def image_path(self, index: int) -> Path:
        """Return where a frame's image is, or should be, inside the object's folder; see ``ImageFinder``.

        An image that is not where its name says is looked for in train/good.
        """
        frame, where = self.frames[index], f"frame {index} of {self.path}"
        name = frame.get("file_path") if isinstance(frame, dict) else None
        if not isinstance(name, str) or not _is_file_name(name):
            raise InputError(f"file_path in {where} must name an image, found {name!r}.")
        name = name.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(f"file_path {name!r} in {where} leaves the object's folder; put the image inside it.")
        last = name.rsplit("/", 1)[-1]
        path = self.finder.find(name) or self.finder.find(f"train/{GOOD}/{last}")
        if path is None:
            path = self.object_dir / name
            return path if path.suffix.lower() in SUFFIXES else path.with_name(path.name + ".png")
        if not path.resolve().is_relative_to(self.object_dir.resolve()):
            raise InputError(
                f"file_path {name!r} in {where} leaves the object's folder, for {path} is or lies behind a link to "
                f"{path.resolve()}; copy the images into the folder in place of the link."
            )
        return path

    def matrix(self, index: int, path: Path) -> Tensor:
        """Return the ``transform_matrix`` (4, 4) float64 of the frame of the image ``path``: finite, maybe no pose."""
        where = self._matrix_name(path)
        if self.frames[index].get("transform_matrix") is None:
            raise InputError(f"There is no {where}; write the pose, or remove the frame and move its image away.")
        try:
            matrix = torch.tensor(self.frames[index].get("transform_matrix"), dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            matrix = torch.empty(0)
        if matrix.shape != (4, 4):
            raise InputError(f"{where} must be a 4x4 matrix of numbers, found something else; write the frame again.")
        if not bool(torch.isfinite(matrix.float()).all()):
            raise InputError(f"{where} must be finite, found NaN or infinity; write the frame again.")
        return matrix

    def pose(self, index: int, path: Path) -> Tensor:
        """Return camera_to_world (4, 4) float32 of the frame of the image ``path``: a rotation and a translation."""
        pose = self.matrix(index, path)
        rotation = pose[:3, :3]
        error = float((rotation.T @ rotation - torch.eye(3, dtype=torch.float64)).abs().max())
        last_row = pose[3] - torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
        if (
            error > RIGID_TOLERANCE
            or float(torch.linalg.det(rotation)) < 0
            or float(last_row.abs().max()) > RIGID_TOLERANCE
        ):
            raise InputError(
                f"{self._matrix_name(path)} must be a rotation and a translation (camera to world, OpenGL axes), found "
                f"a matrix that scales, shears or mirrors; python -m data doctor shows how to fix it."
            )
        return pose.float()

    def cameras(self) -> Cameras:
        """Return the poses of the good views with their images.

        Raises:
            InputError: naming the frame or file: a frame without an image, an image without a frame, a matrix that is
                not rigid, a path that leaves the folder.
        """
        return self._cameras

    @functools.cached_property
    def _cameras(self) -> Cameras:
        angle = self.angle()
        paths = [self._existing_image(index) for index in range(len(self.frames))]
        self._check_pairs(paths)
        return Cameras(angle, paths, torch.stack([self.pose(index, path) for index, path in enumerate(paths)]))

    def _existing_image(self, index: int) -> Path:
        path = self.image_path(index)
        if not path.is_file():
            raise InputError(
                f"The image {path} of frame {index} of {self.path} does not exist; add it, or remove the frame."
            )
        return path

    def _check_pairs(self, paths: list[Path]) -> None:
        """Check that each image belongs to one frame."""
        framed = {path.resolve() for path in paths}
        if len(framed) < len(paths):
            twice = next(path for index, path in enumerate(paths) if path in paths[:index] or paths.count(path) > 1)
            raise InputError(f"{self.path} lists {twice.name} more than once; keep one frame of it.")
        stems: dict[tuple[Path, str], Path] = {}
        for path in paths:
            other = stems.setdefault((path.parent, path.stem), path)
            if other != path:
                raise InputError(f"{other} and {path} have the same stem, and so the same mask; rename one of them.")
        found = good_images(self.object_dir)
        lost = [path for path in found if path.resolve() not in framed]
        if lost:
            raise InputError(
                f"{len(lost)} of {len(found)} images in {lost[0].parent} have no frame in transforms.json, the first "
                f"is {lost[0].name}; add their poses, or move the images away."
            )

    def _matrix_name(self, path: Path) -> str:
        return f"transform_matrix of {path.name} in {self.path}"


def transforms_path(object_dir: Path) -> Path:
    """Return the path of an object's ``transforms.json``, which must exist."""
    path = object_dir / "transforms.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}, which must hold the poses of the good views: write it, or let python -m data "
            f"capture find them from the images."
        )
    return path


def good_images(object_dir: Path) -> list[Path]:
    """Return the images in ``train/good`` in natural order, with or without a frame."""
    return images_in(object_dir / "train" / GOOD)


def _is_file_name(text: str) -> bool:
    """Whether the text is a valid file name."""
    return bool(text) and text.isprintable() and max(map(len, text.encode().split(b"/"))) <= 255
