"""``python -m data capture``: the poses of photos or of a video by COLMAP, and the object that they show.

What is found on the way stays in ``<out>/capture``: upright, scaled-down pictures, matches, and COLMAP's model, which
``import-colmap <out>/capture`` takes over again, for example with masks that were made later.
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
from data.folders import images_in
from data.import_colmap import model_folders, posed_pictures
from data.import_options import make_parser, options_of, tell
from data.layout import Options, Summary, find_queries, refuse_what_is_there, write_object, write_picture
from data.photos import ORIENTATION, OrientedPhotos
from utils.checkpoint import write_atomically
from utils.errors import InputError
from utils.images import read_image_size
from utils.progress import Progress

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
EXIF_IFD = 0x8769
FEWEST = 8  # posed pictures below which the result is worth nothing
EXHAUSTIVE = 80  # pictures up to which each is matched with each
OVERLAP = 10  # pictures after each with which it is matched otherwise
CHUNK = 5  # pictures whose features are found between two moves of the bar
LENSES = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


@dataclass(frozen=True)
class Search:
    """How poses are looked for."""

    frames: int = 80  # pictures taken from a video
    pixels: int = 1200  # longer side of the pictures in which points are looked for
    features: int = 4096  # points a picture, at most
    matching: str = "auto"  # "exhaustive", "sequential", or by the number of pictures
    lens: str = "RADIAL"  # COLMAP's camera model
    turntable: bool = False  # the object turns before a camera that stands: only points on it count
    seed: int = 0
    threads: int = -1  # of COLMAP; with 1 a run can be repeated exactly


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = make_parser("capture", "Find the poses of photos or a video with COLMAP and write the object.")
    default = Search()
    parser.add_argument("source", type=Path, help="a folder of photos (PNG, JPEG), or a video")
    parser.add_argument("--frames", type=int, default=default.frames, help="pictures taken from a video")
    parser.add_argument("--sfm_size", type=int, default=default.pixels, help="longer side on which poses are found")
    parser.add_argument("--features", type=int, default=default.features, help="points a picture, at most")
    parser.add_argument("--matching", choices=("auto", "exhaustive", "sequential"), default=default.matching)
    parser.add_argument("--lens", choices=LENSES, default=default.lens, help="COLMAP's camera model")
    parser.add_argument("--turntable", action="store_true", help="the object turns, the camera stands; needs --masks")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--threads", type=int, default=default.threads, help="1 makes a run repeatable bit for bit")
    found = parser.parse_args(arguments)
    search = Search(
        found.frames,
        found.sfm_size,
        found.features,
        found.matching,
        found.lens,
        found.turntable,
        found.seed,
        found.threads,
    )
    return tell(capture(found.source, search, options_of(found)))


def capture(source: Path, search: Search, options: Options) -> Summary:
    """Find the poses of the photos or video ``source`` and write the object.

    Errors:
        InputError where there are too few pictures, or COLMAP poses fewer than ``FEWEST`` or than half of them.
    """
    colmap = _colmap()
    refuse_what_is_there(options)
    if search.turntable and options.masks is None:
        raise InputError("--turntable needs --masks, for the background stands while the object turns; add them.")
    find_queries(options)  # what is missing is told now, not after minutes
    work = options.out / "capture"
    if work.exists():
        shutil.rmtree(work)
    gathered = gather(source, work, search, options)
    count = gathered.count
    if count < FEWEST:
        raise InputError(f"At least {FEWEST} pictures are needed, found {count} in {source}; take some 50 all around.")
    find_poses(colmap, work, search, options.progress)
    models = {folder: read_model(folder) for folder in model_folders(work)} if any(work.glob("sparse/*/*.bin")) else {}
    folder = max(models, key=lambda place: len(models[place].images), default=None)
    posed = len(models[folder].images) if folder is not None else 0
    if folder is None or posed < max(FEWEST, count / 2):
        raise InputError(
            f"COLMAP found the poses of only {posed} of {count} pictures; take more, ten degrees apart at "
            f"most, sharp, in even light, with a patterned cloth or newspaper under the object (and --matching "
            f"exhaustive), then run this again."
        )
    notes = [f"{len(models)} models, the largest has {posed} of {count} pictures"] if len(models) > 1 else []
    found = posed_pictures(models[folder], work / "images", [*gathered.notes, *notes])
    if options.masks is not None:
        options = replace(options, masks=work / "masks", test_masks=options.test_masks or options.masks)
    return write_object(replace(found, photo_size=gathered.photo_size), options)


def _colmap() -> Any:
    try:
        import pycolmap
    except ImportError:
        raise InputError('capture needs pycolmap, which is not installed; run: pip install -e ".[data]"') from None
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    return pycolmap


@dataclass(frozen=True)
class Gathered:
    """What was put into ``images``, and into ``masks`` where there are any."""

    count: int
    photo_size: tuple[int, int] | None  # width and height of the photos before they were scaled, None where they differ
    notes: tuple[str, ...] = ()


def gather(source: Path, work: Path, search: Search, options: Options) -> Gathered:
    """Put pictures of at most ``search.pixels`` into ``work/images``, all upright but for those held across.

    Masks go to ``work/masks`` under the names that COLMAP looks for, NAME.png.png.
    """
    folder, progress = work / "images", options.progress
    if source.is_file() and source.suffix.lower() in VIDEOS:
        sharpest_frames(source, folder, search, progress)
        written = {path: path for path in images_in(folder)}
    elif not source.is_dir():
        raise InputError(f"There is no folder of photos or video ({', '.join(VIDEOS)}) {source}; correct it.")
    else:
        paths = images_in(source)
        if not paths:
            raise InputError(f"There are no PNG or JPEG pictures in {source}; convert them (HEIC is not read).")
        stems = [path.stem.casefold() for path in paths]
        names = [path.name if stems.count(stem) > 1 else path.stem for path, stem in zip(paths, stems)]
        written = {path: folder / f"{name}.png" for path, name in zip(paths, names)}
    photos = OrientedPhotos.of(list(written), options.masks)
    for path, target in progress.track(written.items(), "photos", len(written)):
        if target != path:
            _write_photo(target, _scaled(photos.read(path), search.pixels), path)
        if options.masks is not None:
            write_picture(work / "masks" / f"{target.name}.png", _scaled(photos.foreground(path), search.pixels))
    sizes = {photos.size(path) for path in written}
    rotated = sum(photos.is_rotated(path) for path in written)
    notes = (f"{rotated} of {len(written)} photos are rotated by a quarter turn to the shape of the others",)
    return Gathered(len(written), sizes.pop() if len(sizes) == 1 else None, notes if rotated else ())


def _write_photo(target: Path, picture: np.ndarray, source: Path) -> None:
    """Write ``picture`` with what the EXIF of its photo says of the focal length, which COLMAP starts from."""
    with Image.open(source) as photo:
        kept = photo.getexif()
        kept.get_ifd(EXIF_IFD)  # read while the file is open
    kept.pop(ORIENTATION, None)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG", exif=kept))


def sharpest_frames(video: Path, folder: Path, search: Search, progress: Progress) -> int:
    """Cut a video into ``search.frames`` windows of equal length and keep the sharpest frame of each."""
    stream = cv2.VideoCapture(str(video))
    total = int(stream.get(cv2.CAP_PROP_FRAME_COUNT))
    window = max(1, total // max(1, search.frames))
    best, sharpest, written, number = None, -1.0, 0, 0
    with progress.bar("video", total if total > 0 else None) as bar:
        while True:
            whole, frame = stream.read()
            if whole:
                sharpness = _sharpness(frame)
                if sharpness > sharpest:
                    best, sharpest = frame, sharpness
                number += 1
                bar.update()
            if best is not None and (not whole or number % window == 0):
                write_picture(folder / f"{written:04d}.png", _scaled(best[..., ::-1], search.pixels))
                best, sharpest, written = None, -1.0, written + 1
            if not whole:
                break
    stream.release()
    if written == 0:
        raise InputError(f"The video {video} cannot be read; convert it to MP4 (H.264), or give a folder of photos.")
    return written


def _sharpness(frame: np.ndarray) -> float:
    """Variance of the Laplacian of a frame, at 480 pixels: blur lowers it."""
    grey = cv2.cvtColor(_scaled(frame, 480), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _scaled(picture: np.ndarray, pixels: int) -> np.ndarray:
    scale = min(1.0, pixels / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)


def find_poses(colmap: Any, work: Path, search: Search, progress: Progress) -> None:
    """COLMAP's pipeline on ``work/images``: features, matches, and models in ``work/sparse/0``, ``1``, ...

    Features and matches are found some pictures at a time, so that a bar can tell how far it is: COLMAP's database
    must not be read meanwhile, for a lock on it ends the process.
    """
    colmap.set_random_seed(search.seed)
    paths = images_in(work / "images")
    find_features(colmap, work, paths, search, progress)
    matching, verification = colmap.FeatureMatchingOptions(), colmap.TwoViewGeometryOptions()
    matching.use_gpu, matching.num_threads = False, search.threads
    verification.ransac.random_seed = search.seed
    imported = colmap.ImportedPairingOptions()
    imported.match_list_path = str(work / "pairs.txt")
    exhaustive = search.matching == "exhaustive" or (search.matching == "auto" and len(paths) <= EXHAUSTIVE)
    pairs = [f"{paths[i].name} {paths[j].name}\n" for i, j in pairs_of(len(paths), exhaustive)]
    with progress.bar("matches", len(pairs)) as bar:
        for chunk in chunks(pairs, 5 * CHUNK):
            Path(imported.match_list_path).write_text("".join(chunk), encoding="utf-8")
            colmap.match_image_pairs(work / "database.db", matching, imported, verification)
            bar.update(len(chunk))
    if build_models(colmap, work, len(paths), search, progress) < len(paths) / 2:
        build_models(colmap, work, len(paths), replace(search, lens=""), progress)


def build_models(colmap: Any, work: Path, count: int, search: Search, progress: Progress) -> int:
    """COLMAP's models from its matches; returns the number of pictures posed in the largest one.

    Without a ``search.lens`` the lens stays without distortion: long lenses have none to speak of, and COLMAP then
    fits nonsense to the first pictures and loses the others.
    """
    mapping = colmap.IncrementalPipelineOptions()
    mapping.random_seed, mapping.num_threads = search.seed, search.threads
    mapping.min_model_size = FEWEST
    mapping.ba_refine_extra_params = mapping.mapper.abs_pose_refine_extra_params = bool(search.lens)
    sparse = work / "sparse"
    if sparse.exists():
        shutil.rmtree(sparse)
    sparse.mkdir(parents=True)
    with progress.bar("poses", count) as bar:
        models = colmap.incremental_mapping(
            work / "database.db", work / "images", sparse, options=mapping, next_image_callback=bar.update
        )
    return max((model.num_reg_images() for model in models.values()), default=0)


def find_features(colmap: Any, work: Path, paths: list[Path], search: Search, progress: Progress) -> None:
    """Points of interest of all pictures; pictures of one size are taken for one camera's."""
    extraction, reader = colmap.FeatureExtractionOptions(), colmap.ImageReaderOptions()
    extraction.max_image_size, extraction.sift.max_num_features = search.pixels, search.features
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
    """``items`` in lists of ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pairs_of(count: int, exhaustive: bool) -> list[tuple[int, int]]:
    """Which pictures are matched: all with all, or each with the next ten and those 16, 32, ... further on.

    The last picture is followed by the first: who walks around an object comes back to where the walk began.

    >>> len(pairs_of(50, exhaustive=True)), len(pairs_of(50, exhaustive=False)), (0, 49) in pairs_of(50, False)
    (1225, 600, True)
    """
    if exhaustive:
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    steps = [*range(1, OVERLAP + 1), *(2**power for power in range(4, 20) if 2**power < count)]
    found = {(min(i, (i + step) % count), max(i, (i + step) % count)) for i in range(count) for step in steps}
    return sorted((i, j) for i, j in found if i != j)
