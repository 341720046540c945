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

from data.automatic_masks import AutomaticMasks, find_automatic_masks
from data.folders import GOOD, in_threads, replaced_parts
from data.ground_truth import FOLDER as TRUTH_FOLDER
from data.import_options import ImportOptions
from data.import_queries import cut_out_plain, find_queries, unread_notes, write_queries
from data.lens import Lens, common_camera, cropped_and_filled, rectify, same_shape, scale_lens
from data.mad import TRUE_POSES
from data.mask_sheet import FILE as SHEET
from data.mask_sheet import write_sheet
from data.masks import FOLDER as MASKS_FOLDER
from data.masks import apply_mask, find_masks, read_foreground, with_alpha
from data.photos import apply_orientation, orientation, upright_size
from data.plain_background import PLAIN_COLOURS
from data.saliency import SIDE, load_saliency
from data.world import apply_similarity, centring_similarity
from utils.camera import Intrinsics
from utils.checkpoint import write_text
from utils.errors import InputError, listed_names
from utils.images import read_image_size, read_uint8, working_size, write_png
from utils.progress import Progress
from utils.weights import Weights

MIN_FRAMES = 3  # below which nothing can be learned
MAX_LISTED = 20  # skipped images that the summary names
PARTS = ("train", "test", TRUTH_FOLDER, TRUE_POSES, SHEET, "transforms.json")  # of an object


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
    return scale_lens(lens, upright if not same_shape(lens, stored) and same_shape(lens, upright) else stored, path)


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
    masks = automatic_masks(frames, poses, camera, options, progress)
    with replaced_parts(options.out, PARTS) as unfinished:
        if masks is not None:
            write_sheet(unfinished / SHEET, masks, names)
        has_alpha = write_views(frames, names, camera, replace(options, out=unfinished), progress, masks)
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
        notes=[
            *source.notes,
            *orientation_notes(frames),
            *unread_notes(options),
            *mask_notes(masks, len(queries) if options.query_masks is None else 0),
        ],
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
    if options.mask_folder is not None:
        masks = find_masks(options.mask_folder, [frame.path for frame in frames])
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


def automatic_masks(
    frames: Sequence[PosedImage], poses: np.ndarray, camera: Intrinsics, options: ImportOptions, progress: Progress
) -> AutomaticMasks | None:
    """Find the masks of the frames with ``poses`` (views, 4, 4) as ``camera`` sees them, if the options say so."""
    if not options.automatic:
        return None
    small = camera.resized(*working_size(camera.width, camera.height, SIDE))

    def read(view: int) -> np.ndarray:
        return rectify(read_view(frames[view]), frames[view].lens, small, PLAIN_COLOURS[options.fill])[..., :3]

    return find_automatic_masks(read, poses, small, load_saliency(Weights(quiet=progress.quiet)), progress)


def mask_notes(masks: AutomaticMasks | None, queries: int) -> list[str]:
    """Return what is worth knowing of masks that were found, and of ``queries`` without a pose."""
    if masks is None:
        return []
    count = len(masks.corrected)
    notes = [
        f"the network's masks of {count} of {len(masks.poses)} views were corrected, {SHEET} shows all: look at it"
    ]
    notes += [masks.doubt] * bool(masks.doubt)
    return notes + [f"{queries} queries are not cut out: test with --query_masks auto"] * (queries > 0)


def write_views(
    frames: Sequence[PosedImage],
    names: Sequence[str],
    camera: Intrinsics,
    options: ImportOptions,
    progress: Progress,
    masks: AutomaticMasks | None,
) -> bool:
    """Write train/good as ``camera`` sees it; return whether every image has an alpha channel."""
    fill = PLAIN_COLOURS[options.fill]

    def write(index: int) -> bool:
        frame = frames[index]
        path = options.out / "train" / GOOD / f"{names[index]}.png"
        if masks is None:
            seen = rectify(cut_out_view(frame, options), frame.lens, camera, fill)
        else:
            seen = rectify(with_alpha(read_view(frame)), frame.lens, camera, fill)
            seen = apply_mask(seen, masks.mask(index, seen[..., :3], camera))
            seen[seen[..., 3] == 0, :3] = fill
        write_png(path, seen)
        return seen.shape[2] == 4

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
    image = read_view(frame)
    if frame.mask is not None:
        foreground = read_foreground(frame.mask, (image.shape[1], image.shape[0]))
        return apply_mask(image, foreground, f"The mask {frame.mask}")
    return cut_out_plain(image, options)


def read_view(frame: PosedImage) -> np.ndarray:
    """Read a frame's image (height, width, 3 or 4) uint8, upright where its camera is."""
    image = read_uint8(frame.path)
    if image.shape[:2] == (frame.lens.height, frame.lens.width):
        return image
    return np.ascontiguousarray(apply_orientation(image, orientation(frame.path)))
