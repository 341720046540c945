"""Writes an object in the MAD layout from posed images of real lenses: one camera, one size, the object centred."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.automatic_masks import AutomaticMasks, find_masks, network_mask
from data.folders import GOOD, folders_in, images_in, in_threads
from data.import_options import ImportOptions
from data.lens import Lens, common_camera, cropped_and_filled, rectify
from data.mask_sheet import FILE as SHEET
from data.mask_sheet import write_sheet
from data.masks import apply_mask, find_mask, find_query_mask, read_foreground, with_alpha
from data.photos import OrientedPhotos
from data.plain_background import PLAIN_COLOURS, plain_mask
from data.saliency import SIDE, load_saliency
from data.world import apply_similarity, centring_similarity
from utils.camera import Intrinsics
from utils.checkpoint import write_text
from utils.errors import InputError
from utils.images import read_image_size, read_uint8, working_size, write_png
from utils.progress import Progress
from utils.weights import Weights

MIN_FRAMES = 3  # below which nothing can be learned
MAX_LISTED = 20  # skipped images that the summary names
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
    skipped: Sequence[str] = ()  # a sentence for each image or pose that is left out
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
            *[f"skipped: {sentence}" for sentence in self.skipped[:MAX_LISTED]],
            *([f"skipped: and {more} more"] if more > 0 else []),
            *[f"note: {sentence}" for sentence in self.notes],
            f"images    {self.images} imported, {len(self.skipped)} skipped, {self.queries} queries",
            f"camera    {camera.width}x{camera.height} pixels, {angle:.1f} degrees wide, the same for all",
            f"resampled at most {self.cropped:.1%} of an image cropped, {self.filled:.1%} filled with background",
            f"distance  {low:.2f} to {high:.2f}, {mean:.2f} on average; a unit is {1 / self.scale:.4g} {self.unit}",
            "object    " + ("cut out" if self.cut_out else "not cut out: give --masks (auto finds them) or --plain"),
            f"next      python -m data doctor {self.out}",
        ]


def camera_angle(camera: Intrinsics) -> float:
    """Return the horizontal field of view in radians, all that the MAD layout says of a camera."""
    return 2.0 * math.atan(0.5 * camera.width / camera.focal_x)


def scale_to_file(lens: Lens, path: Path) -> Lens:
    """Return ``lens`` for the size of the image file, which may be a smaller copy."""
    return scale_lens(lens, read_image_size(path), path)


def scale_lens(lens: Lens, size: tuple[int, int], path: Path) -> Lens:
    """Return ``lens`` for an image of ``size`` (width, height); an InputError names ``path`` for other proportions."""
    width, height = size
    if abs(width * lens.height - height * lens.width) > 1.5 * max(width, height, lens.width, lens.height):
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
    frames = [replace(frame, lens=scale_to_file(frame.lens, frame.path)) for frame in source.frames]
    if len(frames) < MIN_FRAMES:
        lost = f"; {source.skipped[0]}" if source.skipped else "."
        raise InputError(f"At least {MIN_FRAMES} posed images are needed, found {len(frames)}{lost}")
    camera = common_camera([frame.lens for frame in frames], options.image_size)
    poses = np.stack([frame.pose for frame in frames])
    similarity = np.eye(4) if options.keep_world else centring_similarity(poses, source.points, source.free_axes)
    poses = apply_similarity(similarity, poses)
    names = image_names([frame.path for frame in frames])
    existing_parts(options)
    masks = automatic_masks(frames, poses, camera, options, progress)
    queries = prepare_folder(frames, options)
    if masks is not None:
        write_sheet(options.out / SHEET, masks, names)
    has_alpha = write_views(frames, names, camera, options, progress, masks)
    lens, _ = Counter(frame.lens for frame in frames).most_common(1)[0]
    write_queries(queries, lens, camera, options, progress)
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
    write_text(options.out / "transforms.json", json.dumps(content, indent=1))
    cropped, filled = np.max([cropped_and_filled(lens, camera) for lens in {frame.lens for frame in frames}], axis=0)
    return ImportSummary(
        out=options.out,
        images=len(frames),
        queries=len(queries),
        skipped=source.skipped,
        camera=camera,
        distances=np.linalg.norm(poses[:, :3, 3], axis=1),
        scale=float(np.cbrt(np.linalg.det(similarity[:3, :3]))),
        unit=source.unit,
        cropped=float(cropped),
        filled=float(filled),
        cut_out=has_alpha,
        notes=[*source.notes, *mask_notes(masks, len(queries) if options.query_masks is None else 0)],
    )


def prepare_folder(frames: Sequence[PosedImage], options: ImportOptions) -> dict[str, Path]:
    """Find queries and masks before anything is written, and remove an object that may go; return the queries."""
    queries = find_queries(options)
    if options.mask_folder is not None:
        for frame in frames:
            find_mask(options.mask_folder, frame.path)
    remove_existing(options, [*(frame.path for frame in frames), *queries.values()])
    return queries


def automatic_masks(
    frames: Sequence[PosedImage], poses: np.ndarray, camera: Intrinsics, options: ImportOptions, progress: Progress
) -> AutomaticMasks | None:
    """Find the masks of the frames with ``poses`` (views, 4, 4) as ``camera`` sees them, if the options say so."""
    if not options.automatic:
        return None
    small = camera.resized(*working_size(camera.width, camera.height, SIDE))

    def read(view: int) -> np.ndarray:
        return rectify(read_uint8(frames[view].path), frames[view].lens, small, PLAIN_COLOURS[options.fill])[..., :3]

    return find_masks(read, poses, small, load_saliency(Weights(quiet=progress.quiet)), progress)


def mask_notes(masks: AutomaticMasks | None, queries: int) -> list[str]:
    """Return what is worth knowing of masks that were found, and of ``queries`` without a pose."""
    if masks is None:
        return []
    count = len(masks.corrected)
    notes = [
        f"the network's masks of {count} of {len(masks.poses)} views were corrected, {SHEET} shows all: look at it"
    ]
    return notes + [f"{queries} queries are cut out by the network alone, for want of poses"] * (queries > 0)


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
            seen = rectify(with_alpha(read_uint8(frame.path)), frame.lens, camera, fill)
            seen = apply_mask(seen, masks.mask(index, seen[..., :3], camera))
            seen[seen[..., 3] == 0, :3] = fill
        write_png(path, seen)
        return seen.shape[2] == 4

    return all(list(progress.track(in_threads(write, range(len(frames))), "images", len(frames))))


def existing_parts(options: ImportOptions) -> list[Path]:
    """List the files and folders of an object at ``out``; an InputError if there are any, unless they may go."""
    parts = [options.out / name for name in ("transforms.json", "train", "test", "ground_truth", SHEET)]
    existing = [path for path in parts if path.exists()]
    if existing and not options.overwrite:
        raise InputError(f"There is {existing[0]} already; name another folder with --out, or give --overwrite.")
    return existing


def remove_existing(options: ImportOptions, images: Sequence[Path]) -> None:
    """Remove the object at ``out`` if --overwrite says so, unless it holds one of the ``images`` to be read."""
    existing = existing_parts(options)
    for image in images:
        if any(image.resolve().is_relative_to(path.resolve()) for path in existing):
            raise InputError(f"{image} would be replaced while it is read; name another folder with --out.")
    for path in existing:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def image_names(paths: Sequence[Path]) -> list[str]:
    """Return file names without suffix: the images' own where they are simple and differ, else numbers."""
    stems = [path.stem for path in paths]
    simple = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", stem) for stem in stems)
    if simple and len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    return [str(index) for index in range(len(paths))]


def cut_out_view(frame: PosedImage, options: ImportOptions) -> np.ndarray:
    """Read a frame's image (height, width, 3 or 4) uint8, cut out by the options' masks, its own, or the background."""
    image = read_uint8(frame.path)
    mask = frame.mask if options.mask_folder is None else find_mask(options.mask_folder, frame.path)
    if mask is not None:
        return apply_mask(image, read_foreground(mask, (image.shape[1], image.shape[0])))
    return cut_out_plain(image, options)


def cut_out_plain(image: np.ndarray, options: ImportOptions) -> np.ndarray:
    """Cut an image (height, width, 3 or 4) without alpha out of a plain background, if the options name one."""
    if options.plain == "none" or image.shape[2] == 4:
        return image
    return apply_mask(image, plain_mask(image, options.plain, options.tolerance))


def find_queries(options: ImportOptions) -> dict[str, Path]:
    """Find query images by name "<defect type>/<stem>"; those in the folder itself are "unknown".

    Raises:
        InputError: where there are none in a folder that is named, or where one has no mask in a folder of masks.
    """
    folder, masks = options.test, options.query_masks
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder} of test images; correct --test.")
    found = {f"{kind.name}/{path.stem}": path for kind in folders_in(folder) for path in images_in(kind)}
    found |= {f"{UNKNOWN}/{path.stem}": path for path in images_in(folder)}
    if not found:
        raise InputError(f"There are no PNG or JPEG images in {folder} or its folders; correct --test.")
    if masks is not None:
        for path in found.values():
            find_query_mask(masks, path)
    return found


def write_queries(
    queries: dict[str, Path], lens: Lens, camera: Intrinsics, options: ImportOptions, progress: Progress
) -> None:
    """Write queries, and defect masks where ``<test>/../ground_truth`` has some, as the common camera sees them."""
    masks = options.query_masks
    photos = OrientedPhotos.of(list(queries.values()), masks, lens.width > lens.height)
    saliency = load_saliency(Weights(quiet=progress.quiet)) if queries and options.automatic and not masks else None
    for name, path in progress.track(queries.items(), "queries") if queries else ():
        defect_type, stem = name.split("/")
        image = photos.read(path)
        if saliency is not None:
            image = apply_mask(image, network_mask(image, saliency))
        else:
            image = cut_out_plain(image, options) if masks is None else apply_mask(image, photos.foreground(path))
        photo_lens = scale_lens(lens, photos.size(path), path)
        seen = rectify(image, photo_lens, camera, PLAIN_COLOURS[options.fill])
        write_png(options.out / "test" / defect_type / f"{stem}.png", seen)
        truth = path.parent.parent.parent / "ground_truth" / defect_type / f"{stem}_mask.png"
        if defect_type != UNKNOWN and truth.is_file():
            defect = np.repeat(photos.read_mask_file(truth, path)[..., None], 3, axis=2)
            white = rectify(defect, photo_lens, camera, 0)[..., 0] > 127
            write_png(options.out / "ground_truth" / defect_type / truth.name, white.astype(np.uint8) * 255)
