"""The queries of an import, and their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.folders import folders_below, folders_in, images_in, is_good, unread_in
from data.ground_truth import FOLDER as TRUTH_FOLDER
from data.ground_truth import expected_truth, find_truth, read_mask, truth_fault
from data.import_options import ImportOptions
from data.lens import Lens, rectify, scale_lens
from data.masks import apply_mask, find_masks, fitted, images_by_stem
from data.photos import OrientedPhotos
from data.plain_background import PLAIN_COLOURS, plain_mask
from utils.camera import Intrinsics
from utils.errors import InputError, listed_names
from utils.images import write_png
from utils.progress import Progress

UNKNOWN = "unknown"  # defect type of queries that are not in a folder of one


@dataclass(frozen=True)
class QueryImage:
    """A query that is to be imported."""

    path: Path
    kind: str  # the folder that it goes to
    truth: Path | None  # its ground truth


def find_queries(options: ImportOptions) -> list[QueryImage]:
    """Find query images in folders by defect type; those in the folder itself are "unknown".

    Raises:
        InputError: where there are none in a folder that is named, two have one stem, one has no mask in a folder of
            masks, some lie deeper, or there is ground truth of none or not of all.
    """
    folder, masks = options.test, options.query_masks
    if folder is None:
        return []
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder} of test images; correct --test.")
    kinds = folders_in(folder)
    deeper = [path for kind in kinds for place in folders_below(kind)[1:] for path in images_in(place)]
    if deeper:
        raise InputError(
            f"{len(deeper)} images lie deeper than {folder}/<defect type>, the first is {deeper[0]}; move them up, "
            f"under names that differ."
        )
    found = [QueryImage(path, UNKNOWN, None) for path in images_by_stem(folder).values()]
    found += [
        QueryImage(path, kind.name, None if is_good(kind.name) else find_truth(path))
        for kind in kinds
        for path in images_by_stem(kind).values()
    ]
    if not found:
        raise InputError(f"There are no images in {folder} or its folders; correct --test.")
    if masks is not None:
        find_masks(masks, [query.path for query in found])
    defective = [query for query in found if query.kind != UNKNOWN and not is_good(query.kind)]
    lost = [query.path for query in defective if query.truth is None]
    if lost and any(folders_in(folder.parent / TRUTH_FOLDER)):
        raise InputError(
            f"{len(lost)} of {len(defective)} defective queries have no ground truth, expected "
            f"{expected_truth(lost[0])}; add it, or move {folder.parent / TRUTH_FOLDER} away."
        )
    return found


def write_queries(
    queries: Sequence[QueryImage], lens: Lens, camera: Intrinsics, options: ImportOptions, progress: Progress
) -> int:
    """Write queries and their ground truth as the common camera sees them; return how many have some."""
    masks = options.query_masks
    photos = OrientedPhotos.of([query.path for query in queries], masks, lens.width > lens.height)
    for query in progress.track(queries, "queries") if queries else ():
        path, stem = query.path, query.path.stem
        image = photos.read(path)
        if masks is not None:
            image = apply_mask(image, photos.foreground(path))
        else:
            image = cut_out_plain(image, options)
        photo_lens = scale_lens(lens, photos.size(path), path)
        seen = rectify(image, photo_lens, camera, PLAIN_COLOURS[options.fill])
        write_png(options.out / "test" / query.kind / f"{stem}.png", seen)
        if query.truth is not None:
            defect = np.repeat(read_truth(query.truth, path, photos)[..., None], 3, axis=2)
            white = rectify(defect, photo_lens, camera, 0)[..., 0] > 127
            target = options.out / TRUTH_FOLDER / query.kind / f"{stem}_mask.png"
            write_png(target, white.astype(np.uint8) * 255)
    return sum(query.truth is not None for query in queries)


def read_truth(truth: Path, path: Path, photos: OrientedPhotos) -> np.ndarray:
    """Read the ground truth of the photo ``path``, oriented as it is read: (height, width) uint8, 255 = defective.

    Raises:
        InputError: for ground truth that marks nothing or nearly all, or has other proportions than its photo.
    """
    mask = read_mask(truth)
    if fault := truth_fault(mask):
        raise InputError(f"The ground truth {truth} {fault.rstrip('?')}; white must be where {path} is defective.")
    return photos.oriented(fitted(mask.numpy().astype(np.uint8) * 255, photos.stored_size(path), truth), path)


def unread_notes(options: ImportOptions) -> list[str]:
    """Return notes on query images of formats that are not read."""
    folders = [] if options.test is None else folders_below(options.test)
    lost = [path.relative_to(options.test) for folder in folders for path in unread_in(folder)] if options.test else []
    listed = listed_names([path.as_posix() for path in lost])
    return [f"{len(lost)} queries are of formats that are not read, convert them: {listed}"] if lost else []


def cut_out_plain(image: np.ndarray, options: ImportOptions) -> np.ndarray:
    """Cut an image (height, width, 3 or 4) without alpha out of a plain background, if the options name one."""
    if options.plain == "none" or image.shape[2] == 4:
        return image
    return apply_mask(image, plain_mask(image, options.plain, options.tolerance))
