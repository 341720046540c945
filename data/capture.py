"""Captures an object from photos or a video: COLMAP finds the poses.

Upright, scaled-down images, matches, and COLMAP's model stay in ``<out>/capture``, and ``import-colmap <out>/capture``
imports them again, for example with masks that were made later.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data.colmap_files import read_model
from data.folders import folders_below, images_in, unread_in
from data.import_colmap import model_folders, posed_images
from data.import_options import CaptureOptions, ImportOptions
from data.import_queries import find_queries
from data.layout import ImportSummary, existing_parts, write_object
from data.masks import without_masks
from data.photos import ORIENTATION, OrientedPhotos
from utils.errors import InputError, listed_names
from utils.images import read_image_size, write_png
from utils.progress import Progress

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
EXIF_IFD = 0x8769
MIN_POSED = 8  # posed images below which the result is worthless
MAX_EXHAUSTIVE = 80  # images up to which each is matched with each
OVERLAP = 10  # images after each with which it is matched otherwise
CHUNK = 5  # images whose features are found between two updates of the progress bar
SHARPNESS_SIZE = 480  # longer side in pixels at which the sharpness of a frame is measured


def capture(source: Path, search: CaptureOptions, options: ImportOptions, quiet: bool = True) -> ImportSummary:
    """Find the poses of the photos or video ``source`` and write the object.

    Raises:
        InputError: where there are too few images, or COLMAP poses fewer than ``MIN_POSED`` or than half of them.
    """
    colmap, progress = _colmap(), Progress(quiet)
    existing_parts(options)
    if search.turntable and options.mask_folder is None:
        raise InputError("--turntable needs --masks DIR, for the background is fixed while the object turns; add them.")
    find_queries(options)  # missing files are reported now, not after minutes
    work = options.out / "capture"
    if work.exists():
        shutil.rmtree(work)
    gathered = gather(source, work, search, options, progress)
    count = gathered.count
    if count < MIN_POSED:
        raise InputError(f"At least {MIN_POSED} images are needed, found {count} in {source}; take some 50 all around.")
    find_poses(colmap, work, search, progress)
    models = {folder: read_model(folder) for folder in model_folders(work)} if any(work.glob("sparse/*/*.bin")) else {}
    folder = max(models, key=lambda place: len(models[place].images), default=None)
    posed = len(models[folder].images) if folder is not None else 0
    if folder is None or posed < max(MIN_POSED, count / 2):
        raise InputError(
            f"COLMAP found the poses of only {posed} of {count} images; take more, ten degrees apart at most, sharp, "
            f"in even light, with a patterned cloth or newspaper under the object (and --matching exhaustive), then "
            f"run this again."
        )
    notes = [f"{len(models)} models, the largest has {posed} of {count} images"] if len(models) > 1 else []
    found = posed_images(models[folder], work / "images", [*gathered.notes, *notes])
    if options.mask_folder is not None:
        options = replace(options, masks=work / "masks", test_masks=options.query_masks)
    return write_object(replace(found, photo_size=gathered.photo_size), options, progress)


def _colmap() -> Any:
    try:
        import pycolmap  # noqa: PLC0415  optional
    except ImportError:
        raise InputError('capture needs pycolmap, which is not installed; run: pip install -e ".[data]"') from None
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    return pycolmap


@dataclass(frozen=True)
class GatheredImages:
    """What was put into ``images``, and into ``masks`` where there are any."""

    count: int
    photo_size: tuple[int, int] | None  # width and height of the photos before they were scaled, None where they differ
    notes: tuple[str, ...] = ()


def gather(
    source: Path, work: Path, search: CaptureOptions, options: ImportOptions, progress: Progress
) -> GatheredImages:
    """Put images of at most ``search.sfm_size`` pixels into ``work/images``, in the orientation of ``OrientedPhotos``.

    Masks go to ``work/masks`` under the names that COLMAP looks for, NAME.png.png.
    """
    folder = work / "images"
    if source.is_file() and source.suffix.lower() in VIDEOS:
        sharpest_frames(source, folder, search, progress)
        targets = {path: path for path in images_in(folder)}
    elif not source.is_dir():
        raise InputError(f"There is no folder of photos or video ({', '.join(VIDEOS)}) {source}; correct it.")
    else:
        paths = without_masks(images_in(source))
        if not paths:
            unread = f", but {len(unread_in(source))} of other formats" if unread_in(source) else ""
            raise InputError(f"There are no images in {source}{unread}; convert them to JPEG or PNG.")
        stems = [path.stem.casefold() for path in paths]
        names = [path.name if stems.count(stem) > 1 else path.stem for path, stem in zip(paths, stems)]
        targets = {path: folder / f"{name}.png" for path, name in zip(paths, names)}
    photos = OrientedPhotos.of(list(targets), options.mask_folder)
    for path, target in progress.track(targets.items(), "photos", len(targets)):
        if target != path:
            _write_photo(target, _scaled(photos.read(path), search.sfm_size), path)
        if options.mask_folder is not None:
            write_png(work / "masks" / f"{target.name}.png", _scaled(photos.foreground(path), search.sfm_size))
    sizes = {photos.size(path) for path in targets}
    rotated = sum(photos.is_rotated(path) for path in targets)
    notes = [f"{rotated} of {len(targets)} photos are rotated by a quarter turn to the shape of the others"]
    notes = (notes if rotated else []) + skipped_notes(source)
    return GatheredImages(len(targets), sizes.pop() if len(sizes) == 1 else None, tuple(notes))


def skipped_notes(source: Path) -> list[str]:
    """Return notes on what is not taken of a folder of photos: formats that are not read, photos that lie deeper."""
    unread = [path.name for path in unread_in(source)]
    deeper = [path.relative_to(source).as_posix() for place in folders_below(source)[1:] for path in images_in(place)]
    wrong = ((unread, "are of formats that are not read, convert them"), (deeper, "lie in folders, move them up"))
    return [f"{len(names)} photos {what}: {listed_names(names)}" for names, what in wrong if names]


def _write_photo(target: Path, image: np.ndarray, source: Path) -> None:
    """Write ``image`` with the EXIF data of its photo, whose focal length COLMAP starts from."""
    with Image.open(source) as photo:
        exif = photo.getexif()
        exif.get_ifd(EXIF_IFD)  # read while the file is open
    exif.pop(ORIENTATION, None)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png(target, image, exif)


def sharpest_frames(video: Path, folder: Path, search: CaptureOptions, progress: Progress) -> int:
    """Cut a video into ``search.frames`` windows of equal length and write the sharpest frame of each.

    Returns:
        The number of images written.
    """
    stream = cv2.VideoCapture(str(video))
    total = int(stream.get(cv2.CAP_PROP_FRAME_COUNT))
    window = max(1, total // max(1, search.frames))
    best, best_sharpness, written, number = None, -1.0, 0, 0
    with progress.bar("video", total if total > 0 else None) as bar:
        while True:
            success, frame = stream.read()
            if success:
                sharpness = _sharpness(frame)
                if sharpness > best_sharpness:
                    best, best_sharpness = frame, sharpness
                number += 1
                bar.update()
            if best is not None and (not success or number % window == 0):
                write_png(folder / f"{written:04d}.png", _scaled(best[..., ::-1], search.sfm_size))
                best, best_sharpness, written = None, -1.0, written + 1
            if not success:
                break
    stream.release()
    if written == 0:
        raise InputError(f"The video {video} cannot be read; convert it to MP4 (H.264), or give a folder of photos.")
    return written


def _sharpness(frame: np.ndarray) -> float:
    """Return the variance of the Laplacian of a frame, which blur lowers."""
    grey = cv2.cvtColor(_scaled(frame, SHARPNESS_SIZE), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    """Average an image down so that its longer side is ``side`` pixels at most."""
    scale = min(1.0, side / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)


def find_poses(colmap: Any, work: Path, search: CaptureOptions, progress: Progress) -> None:
    """Run COLMAP on ``work/images``: features, matches, and models in ``work/sparse/0``, ``1``, ...

    Features and matches are found some images at a time, for the progress bar: COLMAP's database must not be read
    meanwhile, because a lock on it ends the process.
    """
    colmap.set_random_seed(search.seed)
    paths = images_in(work / "images")
    find_features(colmap, work, paths, search, progress)
    matching, verification = colmap.FeatureMatchingOptions(), colmap.TwoViewGeometryOptions()
    matching.use_gpu, matching.num_threads = False, search.threads
    verification.ransac.random_seed = search.seed
    imported = colmap.ImportedPairingOptions()
    imported.match_list_path = str(work / "pairs.txt")
    exhaustive = search.matching == "exhaustive" or (search.matching == "auto" and len(paths) <= MAX_EXHAUSTIVE)
    pairs = [f"{paths[i].name} {paths[j].name}\n" for i, j in image_pairs(len(paths), exhaustive)]
    with progress.bar("matches", len(pairs)) as bar:
        for chunk in chunks(pairs, 5 * CHUNK):
            Path(imported.match_list_path).write_text("".join(chunk), encoding="utf-8")
            colmap.match_image_pairs(work / "database.db", matching, imported, verification)
            bar.update(len(chunk))
    if build_models(colmap, work, len(paths), search, progress) < len(paths) / 2:
        build_models(colmap, work, len(paths), search, progress, refine_distortion=False)


def build_models(
    colmap: Any, work: Path, count: int, search: CaptureOptions, progress: Progress, refine_distortion: bool = True
) -> int:
    """Build COLMAP's models from its matches; return the number of images posed in the largest one.

    Without ``refine_distortion`` the lens stays without distortion: long lenses have hardly any, and COLMAP then fits
    nonsense to the first images and loses the others.
    """
    mapping = colmap.IncrementalPipelineOptions()
    mapping.random_seed, mapping.num_threads = search.seed, search.threads
    mapping.min_model_size = MIN_POSED
    mapping.ba_refine_extra_params = mapping.mapper.abs_pose_refine_extra_params = refine_distortion
    sparse = work / "sparse"
    if sparse.exists():
        shutil.rmtree(sparse)
    sparse.mkdir(parents=True)
    with progress.bar("poses", count) as bar:
        models = colmap.incremental_mapping(
            work / "database.db", work / "images", sparse, options=mapping, next_image_callback=bar.update
        )
    return max((model.num_reg_images() for model in models.values()), default=0)


def find_features(colmap: Any, work: Path, paths: list[Path], search: CaptureOptions, progress: Progress) -> None:
    """Find the feature points of all images; images of one size are taken for one camera's."""
    extraction, reader = colmap.FeatureExtractionOptions(), colmap.ImageReaderOptions()
    extraction.max_image_size, extraction.sift.max_num_features = search.sfm_size, search.features
    extraction.use_gpu, extraction.num_threads = False, search.threads
    reader.camera_model = search.lens
    if search.turntable:
        reader.mask_path = str(work / "masks")
    single = len({read_image_size(path) for path in paths}) == 1
    mode = colmap.CameraMode.SINGLE if single else colmap.CameraMode.AUTO
    with progress.bar("features", len(paths)) as bar:
        for chunk in chunks([path.name for path in paths], CHUNK):
            colmap.extract_features(work / "database.db", work / "images", chunk, mode, reader, extraction)
            reader.existing_camera_id = 1 if single else -1  # the first chunk's
            bar.update(len(chunk))


def chunks(items: list[str], size: int) -> Iterator[list[str]]:
    """Yield ``items`` in lists of ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def image_pairs(count: int, exhaustive: bool) -> list[tuple[int, int]]:
    """Return the pairs of images to match: all with all, or each with the next ten and the 16th, 32nd, ... after it.

    The last image is followed by the first, because a walk around an object ends where it began.

    >>> len(image_pairs(50, exhaustive=True)), len(image_pairs(50, exhaustive=False)), (0, 49) in image_pairs(50, False)
    (1225, 600, True)
    """
    if exhaustive:
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    steps = [*range(1, OVERLAP + 1), *(2**power for power in range(4, 20) if 2**power < count)]
    found = {(min(i, (i + step) % count), max(i, (i + step) % count)) for i in range(count) for step in steps}
    return sorted((i, j) for i, j in found if i != j)
