"""Writes an object in the MAD layout from posed images of real lenses: one camera, one size, the object centred."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.folders import (
    GOOD,
    folders_below,
    folders_in,
    images_in,
    in_threads,
    is_good,
    replaced_parts,
    unread_in,
)
from data.ground_truth import FOLDER as TRUTH_FOLDER
from data.ground_truth import expected_truth, find_truth, read_mask, truth_fault
from data.import_options import ImportOptions
from data.lens import Lens, common_camera, cropped_and_filled, rectify
from data.mad import TRUE_POSES
from data.masks import FOLDER as MASKS_FOLDER
from data.masks import apply_mask, find_masks, fitted, images_by_stem, read_foreground
from data.photos import OrientedPhotos, apply_orientation, orientation, upright_size
from data.plain_background import PLAIN_COLOURS, plain_mask
from data.world import apply_similarity, centring_similarity
from utils.camera import Intrinsics
from utils.checkpoint import write_text
from utils.errors import InputError, listed_names
from utils.images import read_image_size, read_uint8, write_png
from utils.progress import Progress

MIN_FRAMES = 3  # below which nothing can be learned
MAX_LISTED = 20  # skipped images that the summary names
PARTS = ("train", "test", TRUTH_FOLDER, TRUE_POSES, "transforms.json")  # of an object
UNKNOWN = "unknown"  # defect type of queries that are not in a folder of one


@dataclass(frozen=True)
class PosedImage:
    """An image with its pose and lens."""

    path: Path
    pose: np.ndarray  # (4, 4) camera_to_world, OpenGL axes
    lens: Lens
    mask: Path | None = None  # used where the options name no folder of masks


@dataclass(frozen=True)
class PosedImages:
    """What an importer found."""

    frames: Sequence[PosedImage]
    skipped: Sequence[str] = ()  # for each image or pose that is left out, its name and why
    points: np.ndarray | None = None  # (points, 3) sparse points in the poses' world
    free_axes: bool = False  # whether the world's axes mean nothing
    unit: str = "source units"  # of the poses' world
    notes: Sequence[str] = ()
    photo_size: tuple[int, int] | None = None  # width and height of the photos, where the frames are smaller copies


@dataclass(frozen=True)
class ImportSummary:
    """What was written."""

    out: Path
    images: int
    queries: int
    truths: int  # of queries that have ground truth
    skipped: Sequence[str]
    camera: Intrinsics
    distances: np.ndarray  # (views,) of the cameras from the origin
    scale: float  # written units to a unit of the source
    unit: str
    cropped: float  # greatest share of an image that the common camera does not see
    filled: float  # greatest share of a written image that its lens did not see
    cut_out: bool  # whether the images have alpha
    notes: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Return the summary as lines of text."""
        camera, angle, more = self.camera, math.degrees(camera_angle(self.camera)), len(self.skipped) - MAX_LISTED
        low, mean, high = self.distances.min(), self.distances.mean(), self.distances.max()
        return [
            *[f"skipped: {name}" for name in self.skipped[:MAX_LISTED]],
            *([f"skipped: and {more} more"] if more > 0 else []),
            *[f"note: {sentence}" for sentence in self.notes],
            f"images    {self.images} of {self.images + len(self.skipped)} imported, {len(self.skipped)} skipped",
            f"queries   {self.queries} imported, {self.truths} with ground truth",
            f"camera    {camera.width}x{camera.height} pixels, {angle:.1f} degrees wide, the same for all",
            f"resampled at most {self.cropped:.1%} of an image cropped, {self.filled:.1%} filled with background",
            f"distance  {low:.2f} to {high:.2f}, {mean:.2f} on average; a unit is {1 / self.scale:.4g} {self.unit}",
            "object    " + ("cut out" if self.cut_out else "not cut out: give --masks or --plain"),
            f"next      python -m data doctor {self.out}",
        ]


def camera_angle(camera: Intrinsics) -> float:
    """Return the horizontal field of view in radians, all that the MAD layout says of a camera."""
    return 2.0 * math.atan(0.5 * camera.width / camera.focal_x)


def scale_to_file(lens: Lens, path: Path) -> Lens:
    """Return ``lens`` for the size of the image file, which may be a smaller copy, or lie as its sensor did.

    Only where the file does not have the lens's proportions and its EXIF orientation gives them is that obeyed.
    """
    stored, upright = read_image_size(path), upright_size(path)
    return scale_lens(lens, upright if not _same_shape(lens, stored) and _same_shape(lens, upright) else stored, path)


def _same_shape(lens: Lens, size: tuple[int, int]) -> bool:
    """Return whether an image of ``size`` (width, height) has the lens's proportions, rounded to pixels."""
    return abs(size[0] * lens.height - size[1] * lens.width) <= 1.5 * max(*size, lens.width, lens.height)


def scale_lens(lens: Lens, size: tuple[int, int], path: Path) -> Lens:
    """Return ``lens`` for an image of ``size`` (width, height); an InputError names ``path`` for other proportions."""
    width, height = size
    if not _same_shape(lens, size):
        raise InputError(
            f"The image {path} has {width}x{height} pixels, its camera {lens.width}x{lens.height}: not the same "
            f"proportions; turn the image upright as it was taken, or correct the camera."
        )
    return lens.resized(width, height)


def write_object(source: PosedImages, options: ImportOptions, progress: Progress) -> ImportSummary:
    """Write ``source`` in the MAD layout: train/good, transforms.json, and test where queries are given.

    Raises:
        InputError: where there is an object already, too few views, or an image or mask that cannot be read.
    """
    listed, twice = without_repetitions(source.frames)
    source = replace(source, skipped=[*source.skipped, *twice])
    frames = [replace(frame, lens=scale_to_file(frame.lens, frame.path)) for frame in listed]
    if len(frames) < MIN_FRAMES:
        lost = f"; {source.skipped[0]}" if source.skipped else "."
        raise InputError(f"At least {MIN_FRAMES} posed images are needed, found {len(frames)}{lost}")
    queries = find_queries(options)
    frames = with_masks(frames, options)
    camera = common_camera([frame.lens for frame in frames], options.image_size)
    poses = np.stack([frame.pose for frame in frames])
    similarity = np.eye(4) if options.keep_world else centring_similarity(poses, source.points, source.free_axes)
    poses = apply_similarity(similarity, poses)
    check_existing(options, [*(frame.path for frame in frames), *(query.path for query in queries)])
    lens, _ = Counter(frame.lens for frame in frames).most_common(1)[0]
    names = image_names([frame.path for frame in frames])
    content = {
        "camera_angle_x": camera_angle(camera),
        "source_to_world": similarity.tolist(),
        "source_unit": source.unit,
        "photo_camera": (lens.resized(*source.photo_size) if source.photo_size else lens).entry(),
        "frames": [
            {"file_path": f"train/{GOOD}/{name}.png", "transform_matrix": pose.tolist(), "source": frame.path.name}
            for name, pose, frame in zip(names, poses, frames)
        ],
    }
    with replaced_parts(options.out, PARTS) as unfinished:
        has_alpha = write_views(frames, names, camera, replace(options, out=unfinished), progress)
        truths = write_queries(queries, lens, camera, replace(options, out=unfinished), progress)
        write_text(unfinished / "transforms.json", json.dumps(content, indent=1))
    cropped, filled = np.max([cropped_and_filled(lens, camera) for lens in {frame.lens for frame in frames}], axis=0)
    return ImportSummary(
        out=options.out,
        images=len(frames),
        queries=len(queries),
        truths=truths,
        skipped=source.skipped,
        camera=camera,
        distances=np.linalg.norm(poses[:, :3, 3], axis=1),
        scale=float(np.cbrt(np.linalg.det(similarity[:3, :3]))),
        unit=source.unit,
        cropped=float(cropped),
        filled=float(filled),
        cut_out=has_alpha,
        notes=[*source.notes, *orientation_notes(frames), *unread_notes(options)],
    )


def without_repetitions(frames: Sequence[PosedImage]) -> tuple[list[PosedImage], list[str]]:
    """Return the frames without those that list an image again with its pose, and what is left out.

    Raises:
        InputError: where an image has two poses.
    """
    kept: dict[Path, PosedImage] = {}
    skipped = []
    for frame in frames:
        first = kept.setdefault(frame.path, frame)
        if first is not frame:
            if not np.allclose(first.pose, frame.pose, atol=1e-4 * (1 + np.abs(frame.pose).max())):
                raise InputError(f"{frame.path} is listed twice with different poses; keep the one that is right.")
            skipped.append(f"{frame.path.name} (listed twice)")
    return list(kept.values()), skipped


def with_masks(frames: Sequence[PosedImage], options: ImportOptions) -> list[PosedImage]:
    """Return the frames with their masks from the options' folder, if they name one; an InputError if some have none.

    Raises:
        InputError: where some frames have a mask of their own and others have none; as ``find_masks``.
    """
    if options.masks is not None:
        masks = find_masks(options.masks, [frame.path for frame in frames])
        return [replace(frame, mask=masks[frame.path]) for frame in frames]
    bare = [frame.path.name for frame in frames if frame.mask is None]
    if 0 < len(bare) < len(frames):
        raise InputError(
            f"{len(bare)} of {len(frames)} frames have no mask_path, the first is that of {bare[0]}; add them, or give "
            f"all masks with --masks."
        )
    return list(frames)


def orientation_notes(frames: Sequence[PosedImage]) -> list[str]:
    """Return a note on images whose EXIF orientation is not applied, because their cameras have the stored shape."""
    flagged = [frame.path for frame in frames if orientation(frame.path) != 1]
    stored = [path.name for path in flagged if read_image_size(path) == upright_size(path)]
    what = f"the EXIF orientation of {len(stored)} images is not applied, the doctor proves which way is right"
    return [f"{what}: {listed_names(stored)}"] if stored else []


def unread_notes(options: ImportOptions) -> list[str]:
    """Return notes on query images of formats that are not read."""
    folders = [] if options.test is None else folders_below(options.test)
    lost = [path.relative_to(options.test) for folder in folders for path in unread_in(folder)] if options.test else []
    listed = listed_names([path.as_posix() for path in lost])
    return [f"{len(lost)} queries are of formats that are not read, convert them: {listed}"] if lost else []


def write_views(
    frames: Sequence[PosedImage], names: Sequence[str], camera: Intrinsics, options: ImportOptions, progress: Progress
) -> bool:
    """Write train/good as ``camera`` sees it; return whether every image has an alpha channel."""

    def write(index: int) -> bool:
        frame = frames[index]
        image = cut_out_view(frame, options)
        path = options.out / "train" / GOOD / f"{names[index]}.png"
        write_png(path, rectify(image, frame.lens, camera, PLAIN_COLOURS[options.fill]))
        return image.shape[2] == 4

    return all(list(progress.track(in_threads(write, range(len(frames))), "images", len(frames))))


def existing_parts(options: ImportOptions) -> list[Path]:
    """List the files and folders of an object at ``out``; an InputError if there are any, unless they may go."""
    existing = [options.out / name for name in PARTS if (options.out / name).exists()]
    if existing and not options.overwrite:
        raise InputError(f"There is {existing[0]} already; name another folder with --out, or give --overwrite.")
    masks = options.out / MASKS_FOLDER
    if masks.exists():
        raise InputError(f"There is {masks}, which would cut out the new images; move it away, or name another --out.")
    return existing


def check_existing(options: ImportOptions, images: Sequence[Path]) -> None:
    """Check that nothing is at ``out`` that may not go: an object without --overwrite, or the ``images`` to be read."""
    existing = existing_parts(options)
    for image in images:
        if any(image.resolve().is_relative_to(path.resolve()) for path in existing):
            raise InputError(f"{image} would be replaced while it is read; name another folder with --out.")


def image_names(paths: Sequence[Path]) -> list[str]:
    """Return file names without suffix: the images' own where they are simple and differ, else numbers."""
    stems = [path.stem for path in paths]
    simple = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", stem) for stem in stems)
    if simple and len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    return [str(index) for index in range(len(paths))]


def cut_out_view(frame: PosedImage, options: ImportOptions) -> np.ndarray:
    """Read a frame's image (height, width, 3 or 4) uint8, cut out by its mask or from the background."""
    image = read_uint8(frame.path)
    if image.shape[:2] != (frame.lens.height, frame.lens.width):
        image = np.ascontiguousarray(apply_orientation(image, orientation(frame.path)))
    if frame.mask is not None:
        foreground = read_foreground(frame.mask, (image.shape[1], image.shape[0]))
        return apply_mask(image, foreground, f"The mask {frame.mask}")
    return cut_out_plain(image, options)


def cut_out_plain(image: np.ndarray, options: ImportOptions) -> np.ndarray:
    """Cut an image (height, width, 3 or 4) without alpha out of a plain background, if the options name one."""
    if options.plain == "none" or image.shape[2] == 4:
        return image
    return apply_mask(image, plain_mask(image, options.plain, options.tolerance))


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
    folder, masks = options.test, options.test_masks or options.masks
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
    masks = options.test_masks or options.masks
    photos = OrientedPhotos.of([query.path for query in queries], masks, lens.width > lens.height)
    for query in progress.track(queries, "queries") if queries else ():
        path, stem = query.path, query.path.stem
        image = photos.read(path)
        image = cut_out_plain(image, options) if masks is None else apply_mask(image, photos.foreground(path))
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
