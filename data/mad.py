"""Reads objects in the MAD folder layout: posed good views, queries, and the paths of their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.folders import (
    GOOD,
    find_object,
    folders_in,
    hash_of_files,
    images_in,
    in_threads,
    is_good,
    read_json,
)
from data.ground_truth import FOLDER, expected_truth, find_truth, read_mask, truth_fault, truth_files
from data.masks import existing_masks, images_by_stem, read_cut_out
from data.transforms_file import TransformsFile, good_images, transforms_path
from data.working_size import automatic_size
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import prepare, read_image_size, working_size
from utils.views import Views

TRUE_POSES = "poses_truth.json"  # of the queries, where a generator wrote them


@dataclass(frozen=True)
class Query:
    """A test image with what its folders say about it."""

    name: str  # "<defect type>/<stem>", as in "Burrs/0"
    path: Path
    is_anomalous: bool  # for metrics only
    mask_path: Path | None  # None for good queries and where there is no ground truth at all; for metrics only

    @property
    def defect_type(self) -> str:
        """The defect's name, or "good"."""
        return self.name.split("/")[0] if self.is_anomalous else GOOD


def load_views(object_dir: Path, image_size: int, background: tuple[float, float, float]) -> Views:
    """Read the good views of an object's folder; see ``TransformsFile.read`` and ``read_views``."""
    return read_views(TransformsFile.read(object_dir), image_size, background)


def read_views(
    transforms: TransformsFile,
    image_size: int,
    background: tuple[float, float, float],
    rows: Sequence[int] | None = None,
) -> Views:
    """Read the good views that a transforms file lists.

    Args:
        transforms: of an object's folder, with its images in ``train/good``.
        image_size: longer side in pixels to which larger images are averaged down; smaller ones keep their size.
            ``AUTOMATIC_SIZE``: as many as it takes to show the object well.
        background: RGB in [0, 1] behind transparent images.
        rows: of the frames that are read; all by default.
    Returns:
        The views in the order of the frames. Alpha is kept where every image has an alpha channel and not all of them
        are opaque throughout.
    Raises:
        FileNotFoundError, InputError: as ``TransformsFile.cameras``; for an image that is damaged or of another size.
    """
    cameras, object_dir = transforms.cameras(), transforms.object_dir
    first_size = read_image_size(cameras.paths[0])
    image_size = image_size or automatic_size(cameras.paths, object_dir, background)
    rows = range(len(cameras.paths)) if rows is None else rows
    paths = [cameras.paths[row] for row in rows]
    width, height = working_size(*first_size, image_size)
    images = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    alphas = np.full((len(paths), height, width), 255, dtype=np.uint8)

    def read(index: int) -> bool:
        image = read_cut_out(paths[index], object_dir)
        size = (image.shape[1], image.shape[0])
        if size != first_size:
            raise InputError(
                f"All views must have one size: {paths[index]} has {size[0]}x{size[1]} pixels, "
                f"{paths[0]} has {first_size[0]}x{first_size[1]}; make them equal."
            )
        colour, alpha = prepare(image, image_size, background)
        images[index] = (colour * 255.0).round()
        if alpha is not None:
            alphas[index] = (alpha * 255.0).round()
        return alpha is not None

    has_alpha = all(list(in_threads(read, range(len(paths))))) and bool((alphas < 255).any())
    return Views(
        images=torch.from_numpy(images),
        alphas=torch.from_numpy(alphas) if has_alpha else None,
        camera_to_world=cameras.camera_to_world[list(rows)],
        intrinsics=Intrinsics.from_angle(*first_size, cameras.angle).resized(width, height),
        names=tuple(path.stem for path in paths),
        background=background,
    )


def list_queries(object_dir: Path) -> list[Query]:
    """List the test images of an object in natural order of their names, each with its ground truth.

    Folders named good, ok, normal and the like hold good images. Without a folder of ground truth no query has any:
    only the metrics of whole images are defined then.

    Raises:
        InputError: where there are none, or two images share a stem.
    """
    folder = find_object(object_dir) / "test"
    has_truth = any(images_in(path) or folders_in(path) for path in folders_in(object_dir / FOLDER))
    queries: list[Query] = []
    for class_dir in folders_in(folder):
        for stem, path in images_by_stem(class_dir).items():
            is_anomalous = not is_good(class_dir.name)
            truth = (find_truth(path) or expected_truth(path)) if is_anomalous and has_truth else None
            queries.append(Query(f"{class_dir.name}/{stem}", path, is_anomalous, truth))
    if not queries:
        raise InputError(f"There are no images in the folders of {folder}; put test images there, as test/good/0.png.")
    return queries


def check_ground_truth(queries: list[Query]) -> None:
    """Check that queries of both classes exist, and the ground truth of the defective ones, where there is any.

    Raises:
        InputError: naming the class, query or mask.
    """
    classes = {query.is_anomalous for query in queries}
    if len(classes) < 2:
        found = "defective" if True in classes else "good"
        kinds = ", ".join(sorted({query.path.parent.name for query in queries}))
        raise InputError(
            f"Both good and defective queries are needed to measure, found only {found} ones ({kinds}) in "
            f"{queries[0].path.parent.parent}; good ones belong in a folder good; use detect.py for images without "
            f"ground truth."
        )
    empty = []
    masked = [query for query in queries if query.mask_path is not None]
    for query in masked:
        assert query.mask_path is not None
        if not query.mask_path.exists():
            raise InputError(f"The query {query.path} has no mask, expected {query.mask_path}; add it.")
        size, mask = read_image_size(query.path), read_mask(query.mask_path)
        if size != (mask.shape[1], mask.shape[0]):
            raise InputError(
                f"The mask {query.mask_path} must have the size of its query, {size[0]}x{size[1]} pixels, found "
                f"{mask.shape[1]}x{mask.shape[0]}; write it again."
            )
        fault = truth_fault(mask)
        empty += [query.mask_path] if fault and not bool(mask.any()) else []
        if fault and bool(mask.any()):
            raise InputError(f"The mask {query.mask_path} {fault} White must be where the query is defective.")
    if masked and len(empty) == len(masked):
        raise InputError(
            f"None of the {len(masked)} masks in {empty[0].parent.parent} marks a pixel, the first is {empty[0]}; "
            f"white must be where a query is defective."
        )


def read_true_poses(object_dir: Path) -> dict[str, Tensor] | None:
    """Read the queries' true camera_to_world (4, 4) by name, where a generator wrote them; for metrics only."""
    path = object_dir / TRUE_POSES
    if not path.is_file():
        return None
    try:
        return {name: torch.tensor(pose, dtype=torch.float32).reshape(4, 4) for name, pose in read_json(path).items()}
    except (AttributeError, TypeError, RuntimeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} must give a 4x4 pose by query name ({error}); write it again or delete it.") from None


def views_fingerprint(object_dir: Path) -> str:
    """Return a hash of all that training reads: poses, views and their foreground masks."""
    images = good_images(object_dir)
    return hash_of_files(object_dir, [transforms_path(object_dir), *images, *existing_masks(object_dir, images)])


def query_fingerprint(object_dir: Path, queries: list[Query]) -> str:
    """Return a hash of all that testing reads: queries, their masks and true poses."""
    files = [query.path for query in queries]
    files += [file for query in queries if query.mask_path is not None for file in truth_files(query.mask_path)]
    truth = object_dir / TRUE_POSES
    masks = existing_masks(object_dir, [query.path for query in queries])
    return hash_of_files(object_dir, [*files, *masks, *([truth] if truth.is_file() else [])])
