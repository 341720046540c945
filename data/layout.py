"""Writing an object in the MAD layout from posed pictures of real lenses: one camera, one size, the object centred."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from data.folders import GOOD, folders_in, images_in, in_threads
from data.lens import Lens, common_camera, cropped_and_filled, rectify
from data.masks import cut_out, find_mask, find_query_mask, read_foreground
from data.photos import OrientedPhotos
from data.plain_background import PLAIN_COLOURS, plain_mask
from data.world import apply_similarity, centring_similarity
from utils.camera import Intrinsics
from utils.checkpoint import write_atomically, write_text
from utils.errors import InputError
from utils.images import read_image_size, read_uint8
from utils.progress import Progress

FEWEST = 3  # views below which nothing can be learned


@dataclass(frozen=True)
class Options:
    """What all importers have in common."""

    out: Path  # the object's folder
    image_size: int = 800  # longer side of the pictures written, at most
    masks: Path | None = None  # folder of masks, by stem, 255 = object
    plain: str = ""  # "white" or "black": the background is plain and is taken out
    tolerance: int = 24  # 8-bit steps by which a plain background may differ from its colour
    test: Path | None = None  # folder of query pictures, or of folders of them by kind
    test_masks: Path | None = None  # folder of the queries' masks; None for ``masks``
    keep_world: bool = False  # leave the poses where they are
    fill: str = "white"  # colour where a lens did not look
    overwrite: bool = False
    progress: Progress = Progress(quiet=True)  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class Frame:
    """A picture with its pose and lens."""

    path: Path
    pose: np.ndarray  # (4, 4) camera_to_world, OpenGL axes
    lens: Lens
    mask: Path | None = None  # used where the options name no folder of masks


@dataclass(frozen=True)
class Source:
    """What an importer found."""

    frames: Sequence[Frame]
    skipped: Sequence[str] = ()  # a sentence for each picture or pose that is left out
    points: np.ndarray | None = None  # (points, 3) sparse points in the poses' world
    free_axes: bool = False  # whether the world's axes mean nothing
    unit: str = "source units"  # of the poses' world
    notes: Sequence[str] = ()
    photo_size: tuple[int, int] | None = None  # width and height of the photos, where the frames are smaller copies


@dataclass(frozen=True)
class Summary:
    """What was written."""

    out: Path
    pictures: int
    queries: int
    skipped: Sequence[str]
    camera: Intrinsics
    distance: tuple[float, float, float]  # least, mean and greatest distance of a camera from the origin
    scale: float  # written units to a unit of the source
    unit: str
    cropped: float  # greatest share of a picture that the common camera does not see
    filled: float  # greatest share of a written picture that its lens did not see
    cut_out: bool  # whether the pictures have alpha
    notes: Sequence[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary, for a person."""
        camera, angle = self.camera, math.degrees(camera_angle(self.camera))
        return [
            *[f"skipped: {sentence}" for sentence in self.skipped[:20]],
            *([f"skipped: and {len(self.skipped) - 20} more"] if len(self.skipped) > 20 else []),
            *[f"note: {sentence}" for sentence in self.notes],
            f"pictures  {self.pictures} taken over, {len(self.skipped)} skipped, {self.queries} queries",
            f"camera    {camera.width}x{camera.height} pixels, {angle:.1f} degrees wide, the same for all",
            f"resampled at most {self.cropped:.1%} of a picture cropped, {self.filled:.1%} filled with background",
            "distance  {:.2f} to {:.2f}, {:.2f} on average".format(*(self.distance[i] for i in (0, 2, 1)))
            + f"; a unit is {1 / self.scale:.4g} {self.unit}",
            "object    " + ("cut out" if self.cut_out else "not cut out: give --masks or --plain"),
            f"next      python -m data doctor {self.out}",
        ]


def camera_angle(camera: Intrinsics) -> float:
    """The horizontal field of view in radians, which is all that the MAD layout tells of a camera."""
    return 2.0 * math.atan(0.5 * camera.width / camera.focal_x)


def sized(lens: Lens, path: Path) -> Lens:
    """``lens`` for the size that the picture has on the disk, which may be a smaller copy."""
    return fitted(lens, read_image_size(path), path)


def fitted(lens: Lens, size: tuple[int, int], path: Path) -> Lens:
    """``lens`` for a picture of ``size`` (width, height), which came from ``path``."""
    width, height = size
    if abs(width * lens.height - height * lens.width) > 1.5 * max(width, height, lens.width, lens.height):
        raise InputError(
            f"The picture {path} has {width}x{height} pixels, its camera {lens.width}x{lens.height}: not the same "
            f"proportions; turn the picture upright as it was taken, or correct the camera."
        )
    return lens.resized(width, height)


def write_object(source: Source, options: Options) -> Summary:
    """Write ``source`` in the MAD layout: train/good, transforms.json, and test where queries are given.

    Errors:
        InputError where there is an object already, too few views, or a picture or mask that cannot be read.
    """
    frames = [replace(frame, lens=sized(frame.lens, frame.path)) for frame in source.frames]
    if len(frames) < FEWEST:
        lost = f"; {source.skipped[0]}" if source.skipped else "."
        raise InputError(f"At least {FEWEST} posed pictures are needed, found {len(frames)}{lost}")
    camera = common_camera([frame.lens for frame in frames], options.image_size)
    poses = np.stack([frame.pose for frame in frames])
    similarity = np.eye(4) if options.keep_world else centring_similarity(poses, source.points, source.free_axes)
    poses = apply_similarity(similarity, poses)
    queries = find_queries(options)
    if options.masks is not None:
        for frame in frames:
            find_mask(options.masks, frame.path)
    make_room(options, [*(frame.path for frame in frames), *queries.values()])
    names = picture_names([frame.path for frame in frames])
    cut_out = write_views(frames, names, camera, options)
    lens, _ = Counter(frame.lens for frame in frames).most_common(1)[0]
    write_queries(queries, lens, camera, options)
    photo_lens = lens.resized(*source.photo_size) if source.photo_size else lens
    told = {
        "camera_angle_x": camera_angle(camera),
        "source_to_world": similarity.tolist(),
        "source_unit": source.unit,
        "photo_camera": photo_lens.entry(),
        "frames": frame_entries(frames, names, poses),
    }
    write_text(options.out / "transforms.json", json.dumps(told, indent=1))
    shares = [cropped_and_filled(lens, camera) for lens in {frame.lens for frame in frames}]
    distance = np.linalg.norm(poses[:, :3, 3], axis=1)
    return Summary(
        out=options.out,
        pictures=len(frames),
        queries=len(queries),
        skipped=source.skipped,
        camera=camera,
        distance=(float(distance.min()), float(distance.mean()), float(distance.max())),
        scale=float(np.cbrt(np.linalg.det(similarity[:3, :3]))),
        unit=source.unit,
        cropped=max(share for share, _ in shares),
        filled=max(share for _, share in shares),
        cut_out=cut_out,
        notes=source.notes,
    )


def frame_entries(frames: Sequence[Frame], names: Sequence[str], poses: np.ndarray) -> list[dict[str, object]]:
    """The frames of ``transforms.json``."""
    return [
        {"file_path": f"train/{GOOD}/{name}.png", "transform_matrix": pose.tolist(), "source": frame.path.name}
        for name, pose, frame in zip(names, poses, frames)
    ]


def write_views(frames: Sequence[Frame], names: Sequence[str], camera: Intrinsics, options: Options) -> bool:
    """Write train/good as ``camera`` sees it; returns whether every picture has an alpha channel."""

    def write(index: int) -> bool:
        frame = frames[index]
        picture = masked(read_uint8(frame.path), frame.path, frame.mask, options)
        path = options.out / "train" / GOOD / f"{names[index]}.png"
        write_picture(path, rectify(picture, frame.lens, camera, PLAIN_COLOURS[options.fill]))
        return picture.shape[2] == 4

    return all(list(options.progress.track(in_threads(write, range(len(frames))), "pictures", len(frames))))


def refuse_what_is_there(options: Options) -> list[Path]:
    """What an object at ``out`` consists of now; an InputError if there is any, but for --overwrite."""
    parts = [options.out / name for name in ("transforms.json", "train", "test", "ground_truth")]
    there = [path for path in parts if path.exists()]
    if there and not options.overwrite:
        raise InputError(f"There is {there[0]} already; name another folder with --out, or give --overwrite.")
    return there


def make_room(options: Options, pictures: Sequence[Path]) -> None:
    """Take away the object at ``out`` if --overwrite says so, unless it holds the ``pictures`` that are read."""
    there = refuse_what_is_there(options)
    for picture in pictures:
        if any(picture.resolve().is_relative_to(path.resolve()) for path in there):
            raise InputError(f"{picture} would be replaced while it is read; name another folder with --out.")
    for path in there:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def picture_names(paths: Sequence[Path]) -> list[str]:
    """File names without suffix: the pictures' own where they are plain and differ, else numbers."""
    stems = [path.stem for path in paths]
    plain = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", stem) for stem in stems)
    if plain and len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    return [str(index) for index in range(len(paths))]


def masked(picture: np.ndarray, path: Path, mask: Path | None, options: Options) -> np.ndarray:
    """``picture`` (height, width, 3 or 4) with its mask as alpha: by the options' folder, by ``mask``, or plain."""
    size = (picture.shape[1], picture.shape[0])
    if options.masks is not None:
        alpha = read_foreground(find_mask(options.masks, path), size)
    elif mask is not None:
        alpha = read_foreground(mask, size)
    elif options.plain and picture.shape[2] == 3:
        alpha = plain_mask(picture, options.plain, options.tolerance)
    else:
        return picture
    return cut_out(picture, alpha)


def find_queries(options: Options) -> dict[str, Path]:
    """Query pictures by name "<kind>/<stem>"; those that lie in the folder itself are of kind "unknown".

    Errors:
        InputError where there are none in a folder that is named, or where one has no mask in a folder of masks.
    """
    folder, masks = options.test, options.test_masks or options.masks
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder} of test pictures; correct --test.")
    found = {f"{kind.name}/{path.stem}": path for kind in folders_in(folder) for path in images_in(kind)}
    found |= {f"unknown/{path.stem}": path for path in images_in(folder)}
    if not found:
        raise InputError(f"There are no PNG or JPEG pictures in {folder} or its folders; correct --test.")
    if masks is not None:
        for path in found.values():
            find_query_mask(masks, path)
    return found


def write_queries(queries: dict[str, Path], lens: Lens, camera: Intrinsics, options: Options) -> None:
    """Write queries, and defect masks where ``<test>/../ground_truth`` has some, as the common camera sees them."""
    masks = options.test_masks or options.masks
    photos = OrientedPhotos.of(list(queries.values()), masks, lens.width > lens.height)
    for name, path in options.progress.track(queries.items(), "queries") if queries else ():
        kind, stem = name.split("/")
        picture = photos.read(path)
        if masks is not None:
            picture = cut_out(picture, photos.foreground(path))
        elif picture.shape[2] == 3 and options.plain:
            picture = np.dstack([picture, plain_mask(picture, options.plain, options.tolerance)])
        own = fitted(lens, photos.size(path), path)
        seen = rectify(picture, own, camera, PLAIN_COLOURS[options.fill])
        write_picture(options.out / "test" / kind / f"{stem}.png", seen)
        truth = path.parent.parent.parent / "ground_truth" / kind / f"{stem}_mask.png"
        if kind != "unknown" and truth.is_file():
            defect = np.repeat(photos.read_mask_file(truth, path)[..., None], 3, axis=2)
            white = rectify(defect, own, camera, 0)[..., 0] > 127
            write_picture(options.out / "ground_truth" / kind / truth.name, white.astype(np.uint8) * 255)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write (height, width[, 3 or 4]) uint8 as a PNG, whole or not at all."""
    write_atomically(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))
