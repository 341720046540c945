"""Makes sets of pictures of brick toys in the MAD folder layout."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from data.synthetic import defects
from data.synthetic.backdrops import pictures_at
from data.synthetic.files import claim_folder, write_json
from data.synthetic.lighting import make_lighting
from data.synthetic.studio import GOOD, TRAIN, Settings, Task, take
from data.synthetic.toys import count_triangles, read_toy, toy_path
from data.synthetic.viewpoints import CAMERA_ANGLE_X, camera_at, grid_angles, spread_views
from utils.errors import InputError
from utils.progress import Progress

VERSION = 2  # raised whenever the same settings give other pictures
POSES_NAME = "poses_truth.json"
# MAD-Sim's numbers for each of its twenty classes: 210 views, 27 good test images and some 230 defective ones.
MAD_20 = {"views": 210, "good": 27, "queries": 77}
LARGEST = 4096  # pixels a side


@dataclass(frozen=True)
class Order:
    """A set and the object's folder that it goes to."""

    settings: Settings
    folder: Path

    @property
    def tasks(self) -> list[Task]:
        """All pictures of the set."""
        return [Task(kind, number) for kind, count in self.settings.counts.items() for number in range(count)]

    def poses(self) -> dict[str, Any]:
        """The poses of the queries that are there."""
        path = self.folder / POSES_NAME
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        except (ValueError, TypeError):
            raise InputError(f"{path} is not valid JSON; delete it, and its pictures are made anew.") from None


def generate(
    orders: Sequence[Order], workers: int = 1, overwrite: bool = False, progress: Progress | None = None
) -> None:
    """Writes the sets that are ordered; pictures that are there already are kept.

    The same settings give the same bytes, whatever the number of workers.

    Args:
        orders: sets and the folders for them, which are made if needed.
        workers: processes that render; they share the pictures of all sets.
        overwrite: make all pictures anew.
        progress: where to show a bar; nowhere by default.
    Errors:
        InputError: no such toy, settings out of range, a bad model, or a folder that holds something else.
    """
    if workers < 1:
        raise InputError(f"workers = {workers}: expected at least 1.")
    records = [_check(order.settings) for order in orders]
    for order, record in zip(orders, records):
        claim_folder(order.folder, record)
    poses = {order: {} if overwrite else order.poses() for order in orders}
    left = {
        order: [task for task in order.tasks if not _done(task, order, poses[order], overwrite)] for order in orders
    }
    jobs = [(order, task) for order in orders for task in left[order]]
    for order in orders:
        if not left[order]:
            _write_transforms(order)
    with (progress or Progress(quiet=True)).bar("pictures", len(jobs), "picture") as bar:
        for order, task, pose in _results(jobs, workers):
            bar.set_postfix_str(order.folder.name)
            bar.update()
            _keep(order, task, pose, poses[order])
            left[order].remove(task)
            if not left[order]:
                _write_transforms(order)


def _check(settings: Settings) -> dict[str, object]:
    """All that decides the set's bytes, as its folder records it."""
    ranges = {"queries": (0, 10_000), "good": (0, 10_000), "image_size": (16, LARGEST), "seed": (0, 2**31)}
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not least <= value <= most:
            raise InputError(f"{name} = {value}: expected {least} to {most}.")
    make_lighting(settings.gloss)
    spread_views(settings.views)
    path = toy_path(settings.toy)
    toy = read_toy(path, Path(settings.ldraw) if settings.ldraw else None)
    files = [path, *(pictures_at(Path(settings.background)) if settings.background else [])]
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:16]
    own = {"toy": path.stem, "background": bool(settings.background), "ldraw": bool(settings.ldraw)}
    return {"version": VERSION, **asdict(settings), **own, "inputs": digest, "triangles": count_triangles(toy)}


def _done(task: Task, order: Order, poses: dict[str, Any], overwrite: bool) -> bool:
    files = task.files(order.folder, order.settings)
    return not overwrite and all(path.is_file() for path in files) and (task.kind == TRAIN or task.name in poses)


def _keep(order: Order, task: Task, pose: list, poses: dict[str, Any]) -> None:
    if task.kind != TRAIN:
        poses[task.name] = pose
        names = [f"{kind}/{number}" for kind in (GOOD, *defects.KINDS) for number in range(order.settings.counts[kind])]
        write_json(order.folder / POSES_NAME, {name: poses[name] for name in names if name in poses})


def _write_transforms(order: Order) -> None:
    angles = grid_angles()
    frames = [
        {"file_path": f"train/good/{index}.png", "transform_matrix": camera_at(*angles[number]).tolist()}
        for index, number in enumerate(spread_views(order.settings.views))
    ]
    write_json(order.folder / "transforms.json", {"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}, indent=1)


def _results(jobs: list[tuple[Order, Task]], workers: int) -> Iterator[tuple[Order, Task, list]]:
    """Does the jobs, here or in other processes, and yields each with its pose when it is done."""
    if workers == 1 or len(jobs) < 2:
        for order, task in jobs:
            yield order, task, take(order.settings, order.folder, task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, torch.set_num_threads, (1,))
    try:
        waiting = {pool.submit(take, order.settings, order.folder, task): (order, task) for order, task in jobs}
        for future in as_completed(waiting):
            yield *waiting.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
