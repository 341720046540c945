"""Reader of the MAD folder layout: posed normal views, queries, and where their masks lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.folders import find_object, folders_in, hash_of_files, images_in, in_threads, read_json
from data.masks import mask_path, read_cut_out
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import SUFFIXES, prepare, read_image_size, working_size
from utils.views import Views

GOOD = "good"
RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Query:
    """A test picture, as the folders tell of it."""

    name: str  # "<kind>/<stem>", as in "Burrs/0"
    path: Path
    is_anomalous: bool  # for metrics only
    mask_path: Path | None  # None for good queries; for metrics only

    @property
    def defect_type(self) -> str:
        """The defect's name, or "good"."""
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Cameras:
    """What ``transforms.json`` says of the normal views."""

    angle: float  # horizontal field of view in radians
    paths: list[Path]  # the pictures, in the order of the frames
    camera_to_world: Tensor  # (views, 4, 4) float32


def read_cameras(object_dir: Path) -> Cameras:
    """The poses of an object's normal views, each checked, and each with its picture; errors as ``load_views``."""
    angle, frames = _read_frames(find_object(object_dir))
    paths = [_picture_of(object_dir, frame, index) for index, frame in enumerate(frames)]
    _check_pairs(object_dir, paths)
    poses = [_pose(object_dir, frame, path) for frame, path in zip(frames, paths)]
    return Cameras(angle, paths, torch.stack(poses))


def load_views(object_dir: Path, image_size: int, background: tuple[float, float, float]) -> Views:
    """Read an object's normal views.

    Args:
        object_dir: folder with ``transforms.json`` and ``train/good``.
        image_size: longer side in pixels to which larger pictures are averaged down; smaller ones stay.
        background: RGB in [0, 1] behind transparent pictures.
    Returns:
        The views in the order of the frames. Alpha is kept where every picture has some transparency channel that is
        not opaque throughout.
    Errors:
        InputError or FileNotFoundError naming the file or frame: no views, a frame without a picture, a picture without
        a frame, a picture of another size, a pose that is not rigid, a path that leaves the folder.
    """
    cameras = read_cameras(object_dir)
    paths = cameras.paths
    first_size = read_image_size(paths[0])
    width, height = working_size(*first_size, image_size)
    images = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    alphas = np.full((len(paths), height, width), 255, dtype=np.uint8)

    def read(index: int) -> bool:
        picture = read_cut_out(paths[index], object_dir)
        size = (picture.shape[1], picture.shape[0])
        if size != first_size:
            raise InputError(
                f"All views must have one size: {paths[index]} has {size[0]}x{size[1]} pixels, "
                f"{paths[0]} has {first_size[0]}x{first_size[1]}; make them equal."
            )
        colour, alpha = prepare(picture, image_size, background)
        images[index] = (colour * 255.0).round()
        if alpha is not None:
            alphas[index] = (alpha * 255.0).round()
        return alpha is not None

    has_alpha = all(list(in_threads(read, range(len(paths))))) and bool((alphas < 255).any())
    return Views(
        images=torch.from_numpy(images),
        alphas=torch.from_numpy(alphas) if has_alpha else None,
        camera_to_world=cameras.camera_to_world,
        intrinsics=Intrinsics.from_angle(*first_size, cameras.angle).resized(width, height),
        names=tuple(path.stem for path in paths),
        background=background,
    )


def _transforms_path(object_dir: Path) -> Path:
    path = object_dir / "transforms.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}; the poses of the normal views must stand there: write them, or let python -m data "
            f"capture find them from the pictures."
        )
    return path


def read_transforms(object_dir: Path) -> dict[str, Any]:
    """What ``transforms.json`` holds, with at least one frame; all values are still to be checked."""
    path = _transforms_path(object_dir)
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path} must list at least one frame under 'frames', found none; nothing can be trained.")
    return content


def _read_frames(object_dir: Path) -> tuple[float, list[dict[str, Any]]]:
    """Field of view and frames of ``transforms.json``."""
    content = read_transforms(object_dir)
    angle = content.get("camera_angle_x")
    if isinstance(angle, bool) or not isinstance(angle, (int, float)) or not 0.0 < angle < math.pi:
        raise InputError(
            f"camera_angle_x in {object_dir / 'transforms.json'} must be an angle between 0 and pi in radians, found "
            f"{angle!r}."
        )
    return float(angle), content["frames"]


def frame_path(object_dir: Path, frame: object, index: int) -> Path:
    """Where a frame's picture should lie, inside the object's folder; Blender's names without a suffix mean PNG."""
    where = f"frame {index} of {object_dir / 'transforms.json'}"
    name = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(name, str) or not _is_path(name):
        raise InputError(f"file_path in {where} must name a picture, found {name!r}.")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"file_path {name!r} in {where} leaves the object's folder; put the picture inside it.")
    path = object_dir / name
    if not path.suffix or (not path.is_file() and path.suffix.lower() not in SUFFIXES):
        path = path.with_name(path.name + ".png")
    if not path.resolve().is_relative_to(object_dir.resolve()):
        raise InputError(f"file_path {name!r} in {where} leaves the object's folder; put the picture inside it.")
    return path


def _picture_of(object_dir: Path, frame: object, index: int) -> Path:
    """A frame's picture, which must be there."""
    path = frame_path(object_dir, frame, index)
    if not path.is_file():
        where = f"frame {index} of {object_dir / 'transforms.json'}"
        raise InputError(f"The picture {path} of {where} does not exist; add it, or take the frame out.")
    return path


def _is_path(text: str) -> bool:
    """Whether a file could be called so."""
    return bool(text) and text.isprintable() and max(map(len, text.encode().split(b"/"))) <= 255


def _check_pairs(object_dir: Path, paths: list[Path]) -> None:
    """Each picture belongs to one frame."""
    framed = {path.resolve() for path in paths}
    if len(framed) < len(paths):
        twice = next(path for index, path in enumerate(paths) if path in paths[:index] or paths.count(path) > 1)
        raise InputError(f"{object_dir / 'transforms.json'} lists {twice.name} more than once; keep one frame of it.")
    folder = object_dir / "train" / GOOD
    found = images_in(folder) if folder.is_dir() else []
    lost = [path for path in found if path.resolve() not in framed]
    if lost:
        raise InputError(
            f"{len(lost)} of {len(found)} pictures in {folder} have no frame in transforms.json, the first is "
            f"{lost[0].name}; add their poses, or move the pictures away."
        )


def read_matrix(object_dir: Path, frame: dict[str, Any], path: Path) -> Tensor:
    """A frame's ``transform_matrix`` (4, 4) float64, finite; whether it is a pose is still to be checked."""
    try:
        matrix = torch.tensor(frame.get("transform_matrix"), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        matrix = torch.empty(0)
    where = _matrix_name(object_dir, path)
    if matrix.shape != (4, 4):
        raise InputError(f"{where} must be a 4x4 matrix of numbers, found something else; write the frame again.")
    if not bool(torch.isfinite(matrix.float()).all()):
        raise InputError(f"{where} must be finite, found NaN or infinity; write the frame again.")
    return matrix


def _matrix_name(object_dir: Path, path: Path) -> str:
    return f"transform_matrix of {path.name} in {object_dir / 'transforms.json'}"


def _pose(object_dir: Path, frame: dict[str, Any], path: Path) -> Tensor:
    """A frame's camera_to_world (4, 4), checked to be a rotation and a translation."""
    pose = read_matrix(object_dir, frame, path)
    rotation = pose[:3, :3]
    error = float((rotation.T @ rotation - torch.eye(3, dtype=torch.float64)).abs().max())
    last_row = pose[3] - torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    if (
        error > RIGID_TOLERANCE
        or float(torch.linalg.det(rotation)) < 0
        or float(last_row.abs().max()) > RIGID_TOLERANCE
    ):
        raise InputError(
            f"{_matrix_name(object_dir, path)} must be a rotation and a translation (camera to world, OpenGL axes), "
            f"found a matrix that scales, shears or mirrors; python -m data doctor says what mends it."
        )
    return pose.float()


def list_queries(object_dir: Path) -> list[Query]:
    """The test pictures of an object, in natural order of their names, with masks paired by stem.

    Errors:
        InputError where there are none, two pictures share a stem, or a defective query has no mask.
    """
    folder = find_object(object_dir) / "test"
    queries: dict[str, Query] = {}
    for kind in folders_in(folder):
        for path in images_in(kind):
            name = f"{kind.name}/{path.stem}"
            if name in queries:
                raise InputError(f"{queries[name].path} and {path} have the same stem; rename one of them.")
            is_anomalous = kind.name != GOOD
            mask_path = object_dir / "ground_truth" / kind.name / f"{path.stem}_mask.png" if is_anomalous else None
            queries[name] = Query(name, path, is_anomalous, mask_path)
    if not queries:
        raise InputError(f"There are no PNG or JPEG pictures in the folders of {folder}; put test pictures there.")
    return list(queries.values())


def check_ground_truth(queries: list[Query]) -> None:
    """Before any work: both classes are there, and each defective query has a mask of its own size."""
    classes = {query.is_anomalous for query in queries}
    if len(classes) < 2:
        found = "defective" if True in classes else "good"
        raise InputError(
            f"Both good and defective queries are needed to measure, found only {found} ones in "
            f"{queries[0].path.parent.parent}; use detect.py for pictures without ground truth."
        )
    for query in queries:
        if query.mask_path is None:
            continue
        if not query.mask_path.is_file():
            raise InputError(f"The query {query.path} has no mask, expected {query.mask_path}; add it.")
        size, mask_size = read_image_size(query.path), read_image_size(query.mask_path)
        if size != mask_size:
            raise InputError(
                f"The mask {query.mask_path} must have the size of its query, {size[0]}x{size[1]} pixels, found "
                f"{mask_size[0]}x{mask_size[1]}; write it again."
            )


def read_true_poses(object_dir: Path) -> dict[str, Tensor] | None:
    """The queries' true camera_to_world (4, 4) by name, where a generator wrote them; for metrics only."""
    path = object_dir / "poses_truth.json"
    if not path.is_file():
        return None
    try:
        return {name: torch.tensor(pose, dtype=torch.float32).reshape(4, 4) for name, pose in read_json(path).items()}
    except (AttributeError, TypeError, RuntimeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} must give a 4x4 pose by query name ({error}); write it again or delete it.") from None


def fingerprint(object_dir: Path) -> str:
    """A hash of all that training reads: changes exactly when poses, views or their foreground masks do."""
    folder = object_dir / "train" / GOOD
    pictures = images_in(folder) if folder.is_dir() else []
    return hash_of_files(object_dir, [_transforms_path(object_dir), *pictures, *_masks_of(object_dir, pictures)])


def query_fingerprint(object_dir: Path, queries: list[Query]) -> str:
    """A hash of all that testing reads."""
    files = [path for query in queries for path in (query.path, query.mask_path) if path is not None]
    truth = object_dir / "poses_truth.json"
    masks = _masks_of(object_dir, [query.path for query in queries])
    return hash_of_files(object_dir, [*files, *masks, *([truth] if truth.is_file() else [])])


def _masks_of(object_dir: Path, pictures: list[Path]) -> list[Path]:
    """The foreground masks that are there."""
    masks = (mask_path(object_dir, picture) for picture in pictures)
    return [mask for mask in masks if mask is not None and mask.is_file()]
