"""Reader of the MAD folder layout: posed normal views, queries, and where their masks lie."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.errors import InputError, nearest
from utils.images import SUFFIXES, picture_size, prepare, read_picture, working_size
from utils.views import Views

GOOD = "good"
RIGID_TOLERANCE = 1e-3

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Query:
    """A test picture, as the folders tell of it."""

    name: str  # "<kind>/<stem>", as in "Burrs/0"
    path: Path
    label: int  # 0 good, 1 defective; for metrics only
    mask_path: Path | None  # None for good queries; for metrics only

    @property
    def kind(self) -> str:
        """The defect's name, or "good"."""
        return self.name.split("/")[0]


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """A sorting key by which 2 comes before 10.

    >>> sorted(["10", "2", "1"], key=natural_key)
    ['1', '2', '10']
    """
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def pictures_in(folder: Path) -> list[Path]:
    """PNG and JPEG files of a folder in natural order; hidden files are left out."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    return sorted(found, key=lambda path: natural_key(path.name))


def find_object(object_dir: Path) -> Path:
    """``object_dir`` if there is such a folder; an InputError names the nearest folder otherwise."""
    if object_dir.is_dir():
        return object_dir
    parent = object_dir.parent
    if not parent.is_dir():
        raise InputError(f"There is no folder {parent}; unpack the data there or name its folder with --data_dir.")
    others = sorted(path.name for path in parent.iterdir() if path.is_dir())
    hint = nearest(object_dir.name, others) or (f"; there are {', '.join(others[:5])}." if others else "; it is empty.")
    raise InputError(f"There is no object {object_dir.name!r} in {parent}{hint}")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None) -> Iterable[Result]:
    """``work`` of each item, in order, by threads; Ctrl-C and errors drop what has not begun."""
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
    angle, frames = _read_frames(find_object(object_dir))
    paths = [_frame_path(object_dir, frame, index) for index, frame in enumerate(frames)]
    _check_pairs(object_dir, paths)
    poses = torch.stack([_pose(object_dir, frame, path) for frame, path in zip(frames, paths)])
    first_size = picture_size(paths[0])
    width, height = working_size(*first_size, image_size)
    images = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    alphas = np.full((len(paths), height, width), 255, dtype=np.uint8)

    def read(index: int) -> bool:
        picture = read_picture(paths[index])
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
        camera_to_world=poses,
        intrinsics=Intrinsics.from_angle(*first_size, angle).resized(width, height),
        names=tuple(path.stem for path in paths),
        background=background,
    )


def _transforms_path(object_dir: Path) -> Path:
    path = object_dir / "transforms.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; the poses of the normal views must stand there.")
    return path


def _read_frames(object_dir: Path) -> tuple[float, list[dict[str, Any]]]:
    """Field of view and frames of ``transforms.json``."""
    path = _transforms_path(object_dir)
    try:
        content = _json(path)
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); write it again.") from None
    angle = content.get("camera_angle_x") if isinstance(content, dict) else None
    if not isinstance(angle, (int, float)) or not 0.0 < angle < math.pi:
        raise InputError(f"camera_angle_x in {path} must be an angle between 0 and pi in radians, found {angle!r}.")
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path} must list at least one frame under 'frames', found none; nothing can be trained.")
    return float(angle), frames


def _frame_path(object_dir: Path, frame: object, index: int) -> Path:
    """The picture of a frame, inside the object's folder; Blender's names without a suffix mean PNG."""
    where = f"frame {index} of {object_dir / 'transforms.json'}"
    name = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"file_path in {where} must name a picture, found {name!r}.")
    path = object_dir / name
    if not path.suffix or (not path.is_file() and path.suffix.lower() not in SUFFIXES):
        path = path.with_name(path.name + ".png")
    if not path.resolve().is_relative_to(object_dir.resolve()) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"file_path {name!r} in {where} leaves the object's folder; put the picture inside it.")
    if not path.is_file():
        raise InputError(f"The picture {path} of {where} does not exist; add it, or take the frame out.")
    return path


def _check_pairs(object_dir: Path, paths: list[Path]) -> None:
    """Each picture belongs to one frame."""
    framed = {path.resolve() for path in paths}
    if len(framed) < len(paths):
        twice = next(path for index, path in enumerate(paths) if path in paths[:index] or paths.count(path) > 1)
        raise InputError(f"{object_dir / 'transforms.json'} lists {twice.name} more than once; keep one frame of it.")
    folder = object_dir / "train" / GOOD
    found = pictures_in(folder) if folder.is_dir() else []
    lost = [path for path in found if path.resolve() not in framed]
    if lost:
        raise InputError(
            f"{len(lost)} of {len(found)} pictures in {folder} have no frame in transforms.json, the first is "
            f"{lost[0].name}; add their poses, or move the pictures away."
        )


def _pose(object_dir: Path, frame: dict[str, Any], path: Path) -> Tensor:
    """A frame's camera_to_world (4, 4), checked to be a rotation and a translation."""
    where = f"transform_matrix of {path.name} in {object_dir / 'transforms.json'}"
    try:
        pose = torch.tensor(frame.get("transform_matrix"), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        pose = torch.empty(0)
    if pose.shape != (4, 4):
        raise InputError(f"{where} must be a 4x4 matrix of numbers, found something else; write the frame again.")
    if not bool(torch.isfinite(pose).all()):
        raise InputError(f"{where} must be finite, found NaN or infinity; write the frame again.")
    rotation = pose[:3, :3]
    error = float((rotation.T @ rotation - torch.eye(3, dtype=torch.float64)).abs().max())
    last_row = pose[3] - torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    if (
        error > RIGID_TOLERANCE
        or float(torch.linalg.det(rotation)) < 0
        or float(last_row.abs().max()) > RIGID_TOLERANCE
    ):
        raise InputError(
            f"{where} must be a rotation and a translation (camera to world, OpenGL axes), found a matrix that scales, "
            f"shears or mirrors; remove the scale."
        )
    return pose.float()


def list_queries(object_dir: Path) -> list[Query]:
    """The test pictures of an object, in natural order of their names, with masks paired by stem.

    Errors:
        InputError where there are none, two pictures share a stem, or a defective query has no mask.
    """
    folder = find_object(object_dir) / "test"
    kinds = (
        sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: natural_key(path.name))
        if folder.is_dir()
        else []
    )
    queries: dict[str, Query] = {}
    for kind in kinds:
        for path in pictures_in(kind):
            name = f"{kind.name}/{path.stem}"
            if name in queries:
                raise InputError(f"{queries[name].path} and {path} have the same stem; rename one of them.")
            label = int(kind.name != GOOD)
            mask_path = object_dir / "ground_truth" / kind.name / f"{path.stem}_mask.png" if label else None
            queries[name] = Query(name, path, label, mask_path)
    if not queries:
        raise InputError(f"There are no PNG or JPEG pictures in the folders of {folder}; put test pictures there.")
    return list(queries.values())


def check_ground_truth(queries: list[Query]) -> None:
    """Before any work: both classes are there, and each defective query has a mask of its own size."""
    labels = {query.label for query in queries}
    if len(labels) < 2:
        found = "good" if labels == {0} else "defective"
        raise InputError(
            f"Both good and defective queries are needed to measure, found only {found} ones in "
            f"{queries[0].path.parent.parent}; use detect.py for pictures without ground truth."
        )
    for query in queries:
        if query.mask_path is None:
            continue
        if not query.mask_path.is_file():
            raise InputError(f"The query {query.path} has no mask, expected {query.mask_path}; add it.")
        size, mask_size = picture_size(query.path), picture_size(query.mask_path)
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
        return {name: torch.tensor(pose, dtype=torch.float32).reshape(4, 4) for name, pose in _json(path).items()}
    except (AttributeError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} must give a 4x4 pose by query name ({error}); write it again or delete it.") from None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def fingerprint(object_dir: Path) -> str:
    """A hash of all that training reads: changes exactly when poses or views do."""
    _transforms_path(object_dir)
    folder = object_dir / "train" / GOOD
    return hash_of_files(
        object_dir, [object_dir / "transforms.json", *(pictures_in(folder) if folder.is_dir() else [])]
    )


def query_fingerprint(object_dir: Path, queries: list[Query]) -> str:
    """A hash of all that testing reads."""
    files = [path for query in queries for path in (query.path, query.mask_path) if path is not None]
    truth = object_dir / "poses_truth.json"
    return hash_of_files(object_dir, [*files, *([truth] if truth.is_file() else [])])


def hash_of_files(root: Path, files: list[Path]) -> str:
    """A hash of the files' contents and of their places under ``root``."""
    digest = hashlib.blake2b(digest_size=16)
    contents = in_threads(lambda path: hashlib.blake2b(path.read_bytes(), digest_size=16).digest(), files)
    for path, content in zip(files, contents):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + content)
    return digest.hexdigest()
