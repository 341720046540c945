"""Makes a set of pictures of a brick toy in the MAD folder layout."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from data.synthetic import defects
from data.synthetic.assembly import Assembly, assemble
from data.synthetic.defects import Defect, Sight
from data.synthetic.files import claim_folder, write_json, write_picture
from data.synthetic.lighting import Lighting, make_lighting
from data.synthetic.render import render
from data.synthetic.scene import Scene
from data.synthetic.toys import read_toy, toy_path
from data.synthetic.viewpoints import CAMERA_ANGLE_X, camera_at, grid_angles, random_camera, spread_views
from utils.camera import Intrinsics

VERSION = 1  # raised whenever the same settings give other pictures
TRIES = 200  # viewpoints looked at before a defect is given up
GOOD = "good"


@dataclass(frozen=True)
class Settings:
    """What decides every byte of a set."""

    toy: str  # name, or path of a parts list (.txt)
    views: int = 210  # training views, 1 ... 210
    queries: int = 24  # test images of each kind
    image_size: int = 400  # pixels a side
    seed: int = 0
    gloss: str = "mild"  # mild | glaring | none


@dataclass(frozen=True)
class Task:
    """One picture."""

    kind: str  # train | good | Burrs | Missing | Stains
    number: int

    @property
    def name(self) -> str:
        """Such as ``Burrs/0``."""
        return f"{self.kind}/{self.number}"

    def picture(self, folder: Path) -> Path:
        """Where the picture lies."""
        place = "train/good" if self.kind == "train" else f"test/{self.kind}"
        return folder / place / f"{self.number}.png"

    def mask(self, folder: Path) -> Path | None:
        """Where its mask lies, for a defect."""
        if self.kind in defects.KINDS:
            return folder / "ground_truth" / self.kind / f"{self.number}_mask.png"
        return None


@dataclass(frozen=True)
class Studio:
    """The toy under its light, ready for pictures."""

    settings: Settings
    folder: Path
    assembly: Assembly
    scene: Scene
    lighting: Lighting
    intrinsics: Intrinsics


def generate(settings: Settings, folder: Path, workers: int = 1, overwrite: bool = False, quiet: bool = True) -> None:
    """Writes the set that ``settings`` describe; pictures that are there already are kept.

    The same settings give the same bytes, whatever the number of workers.

    Args:
        settings: of the set.
        folder: the object's folder, made if needed.
        workers: processes that render.
        overwrite: make all pictures anew.
        quiet: no progress bar.
    Raises:
        FileNotFoundError: no such toy.
        ValueError: settings out of range, a bad parts list, or a folder that holds another set.
    """
    _check(settings, workers)
    path = toy_path(settings.toy)
    read_toy(path)
    make_lighting(settings.gloss)
    numbers = spread_views(settings.views)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    claim_folder(folder, {"version": VERSION, **asdict(settings), "toy": path.stem, "parts_list": digest})
    poses_path = folder / "poses_truth.json"
    poses = {} if overwrite or not poses_path.is_file() else json.loads(poses_path.read_text(encoding="utf-8"))
    kinds = (GOOD, *defects.KINDS)
    tasks = [Task("train", number) for number in range(settings.views)]
    tasks += [Task(kind, number) for kind in kinds for number in range(settings.queries)]
    names = [task.name for task in tasks]
    left = [task for task in tasks if overwrite or not _finished(task, folder, poses)]
    progress = tqdm(total=len(tasks), initial=len(tasks) - len(left), disable=quiet, unit="picture", desc=path.stem)
    with progress:
        for task, pose in _results(settings, folder, left, workers):
            progress.update()
            if task.kind != "train":
                poses[task.name] = pose
                write_json(poses_path, {name: poses[name] for name in names if name in poses})
    _write_transforms(folder, numbers)


def _check(settings: Settings, workers: int) -> None:
    for name, value, least in (
        ("queries", settings.queries, 0), ("image_size", settings.image_size, 16), ("seed", settings.seed, 0),
        ("workers", workers, 1),
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} = {value}: expected at least {least}")


def _finished(task: Task, folder: Path, poses: dict[str, object]) -> bool:
    mask = task.mask(folder)
    return (
        task.picture(folder).is_file()
        and (mask is None or mask.is_file())
        and (task.kind == "train" or task.name in poses)
    )


def _write_transforms(folder: Path, numbers: list[int]) -> None:
    angles = grid_angles()
    frames = [
        {"file_path": f"train/good/{index}.png", "transform_matrix": camera_at(*angles[number]).tolist()}
        for index, number in enumerate(numbers)
    ]
    write_json(folder / "transforms.json", {"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}, indent=1)


def _results(settings: Settings, folder: Path, tasks: list[Task], workers: int) -> Iterator[tuple[Task, list]]:
    """Does the tasks, here or in other processes, and yields each with its pose when it is done."""
    if not tasks:
        return
    if workers == 1:
        studio = open_studio(settings, folder)
        for task in tasks:
            yield task, _photograph(studio, task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _open_in_worker, (settings, folder))
    try:
        waiting = {pool.submit(_photograph_in_worker, task): task for task in tasks}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


_worker_studio: list[Studio] = []


def _open_in_worker(settings: Settings, folder: Path) -> None:
    torch.set_num_threads(1)
    _worker_studio.append(open_studio(settings, folder))


def _photograph_in_worker(task: Task) -> list:
    return _photograph(_worker_studio[0], task)


def open_studio(settings: Settings, folder: Path) -> Studio:
    """Builds the toy and its light."""
    assembly = assemble(read_toy(toy_path(settings.toy)))
    intrinsics = Intrinsics.from_angle(settings.image_size, settings.image_size, CAMERA_ANGLE_X)
    return Studio(settings, folder, assembly, assembly.scene(), make_lighting(settings.gloss), intrinsics)


def _photograph(studio: Studio, task: Task) -> list:
    """Writes the picture and mask of ``task`` and returns its pose as nested lists."""
    random = np.random.default_rng([studio.settings.seed, zlib.crc32(task.name.encode())])
    if task.kind == "train":
        pose, defect = camera_at(*grid_angles()[spread_views(studio.settings.views)[task.number]]), Defect()
    elif task.kind == GOOD:
        pose, defect = random_camera(random), Defect()
    else:
        pose, defect = plan_defect(studio, task, random)
    grain = int(random.integers(2**31))
    picture, mask = photograph(studio, pose, defect, grain)
    mask_path = task.mask(studio.folder)
    if mask_path is not None:
        write_picture(mask_path, mask.astype(np.uint8) * 255)
    write_picture(task.picture(studio.folder), picture)
    return pose.tolist()


def plan_defect(studio: Studio, task: Task, random: np.random.Generator) -> tuple[torch.Tensor, Defect]:
    """Finds a viewpoint (``camera_to_world``) and a defect of the wanted area that it shows."""
    areas_random = np.random.default_rng([studio.settings.seed, zlib.crc32(task.kind.encode())])
    wanted = float(defects.wanted_areas(task.kind, studio.settings.queries, areas_random)[task.number])
    best, best_factor = None, np.inf
    for attempt in range(TRIES):
        pose = random_camera(random)
        sight = defects.look(studio.assembly, studio.scene, pose, studio.intrinsics)
        defect, factor = _try_defect(sight, task.kind, wanted, random)
        if defect is not None and factor < best_factor:
            best, best_factor = (pose, defect), factor
        if best is not None and (best_factor < 1.25 or attempt >= 12):
            return best
    raise ValueError(
        f"toy '{studio.settings.toy}': no {task.kind} of {wanted:.4f} of the frame shows from {TRIES} viewpoints; "
        "a toy needs parts that show, and pictures of at least some 64 pixels"
    )


def _try_defect(sight: Sight, kind: str, wanted: float, random: np.random.Generator) -> tuple[Defect | None, float]:
    if kind == "Missing":
        return defects.missing_part(sight, wanted) or (None, np.inf)
    make = defects.burr if kind == "Burrs" else defects.stain
    for _ in range(4):
        defect = make(sight, wanted, random)
        if defect is not None:
            return defect, 1.0
    return None, np.inf


def photograph(studio: Studio, pose: torch.Tensor, defect: Defect, grain: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture (height, width, 3) uint8 of the toy with ``defect``, and the mask (height, width) bool of what shows.

    Args:
        studio: the toy under its light.
        pose: ``camera_to_world`` (4, 4).
        defect: what is wrong with the toy; ``Defect()`` for nothing.
        grain: seed of the picture's noise.
    """
    scene, assembly = studio.scene, studio.assembly
    if defect.missing is not None:
        scene = assembly.scene(without=defect.missing)
    elif defect.burr is not None:
        scene = assembly.scene(extra=defect.burr, extra_colour=defect.burr_colour)
    sight = defects.look(assembly, scene, pose, studio.intrinsics)
    picture = render(scene, studio.lighting, sight.rays, sight.hits, studio.intrinsics, grain, defect.stain)
    if defect.missing is not None:  # it is seen in the intact toy only
        sight = defects.look(assembly, studio.scene, pose, studio.intrinsics)
    if defect.stain is not None:
        shows = defect.stain.weight(sight.points) > 0.5
    else:
        number = len(assembly.solids) if defect.missing is None else defect.missing
        shows = sight.scene.part_of_face[sight.hits.faces] == number
    return picture, defects.mask_of(sight.rays, sight.hits.rays[shows], studio.intrinsics)
