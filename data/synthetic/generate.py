"""Generates sets of images of brick toys in the MAD folder layout."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from data.mad_facts import DEFECTS
from data.synthetic.backgrounds import background_images
from data.synthetic.config import GOOD, RECORD_NAME, TRAIN, DatasetJob, ImageSpec, ToyConfig, toy_path
from data.synthetic.toy_renderer import write_image_files
from data.synthetic.toys import count_triangles, read_toy
from data.synthetic.viewpoints import CAMERA_ANGLE_X, camera_at, grid_angles, spread_views
from utils.checkpoint import write_text
from utils.errors import InputError
from utils.progress import Progress

VERSION = 2  # raised whenever the same settings give other images
POSES_NAME = "poses_truth.json"


def generate(
    jobs: Sequence[DatasetJob], workers: int = 1, overwrite: bool = False, progress: Progress | None = None
) -> None:
    """Write sets of images; existing images are kept.

    The same settings give the same bytes, whatever the number of workers.

    Args:
        jobs: sets and their folders, which are made if needed.
        workers: processes that render; they share the images of all sets.
        overwrite: render existing images again.
        progress: shows a bar; none by default.
    Raises:
        InputError: for an unknown toy, a damaged model, or a folder that holds something else.
    """
    if workers < 1:
        raise InputError(f"workers = {workers}: expected at least 1.")
    records = [record_of(job.config) for job in jobs]
    for job, record in zip(jobs, records):
        claim_folder(job.folder, record)
    poses = {job: {} if overwrite else _read_poses(job) for job in jobs}
    left = {job: [image for image in job.images if overwrite or not _is_done(image, job, poses[job])] for job in jobs}
    images = [(job, image) for job in jobs for image in left[job]]
    for job in jobs:
        if not left[job]:
            _write_transforms(job)
    with (progress or Progress(quiet=True)).bar("images", len(images), "image") as bar:
        for job, image, pose in _render_all(images, workers):
            bar.set_postfix_str(job.folder.name)
            bar.update()
            _keep_pose(job, image, pose, poses[job])
            left[job].remove(image)
            if not left[job]:
                _write_transforms(job)


def record_of(config: ToyConfig) -> dict[str, object]:
    """Return all that decides the bytes of a set, as its folder records it."""
    path = toy_path(config.toy)
    toy = read_toy(path, config.ldraw)
    files = [path, *(background_images(config.background) if config.background else [])]
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:16]
    own = {"toy": path.stem, "background": bool(config.background), "ldraw": bool(config.ldraw)}
    return {"version": VERSION, **asdict(config), **own, "inputs": digest, "triangles": count_triangles(toy)}


def claim_folder(folder: Path, record: dict[str, object]) -> None:
    """Record that a folder is made with these settings.

    Raises:
        InputError: where the folder was made with others, or holds something that was not generated.
    """
    path = folder / RECORD_NAME
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        found = found if isinstance(found, dict) else {}
        different = [key for key in record if found.get(key) != record[key]]
        if different:
            what = ", ".join(f"{key} = {found.get(key)!r} there, {record[key]!r} now" for key in different)
            raise InputError(f"{path}: this folder holds images of other settings ({what}); choose another --out.")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is not empty and was not made by this generator; choose another --out.")
    write_json(path, record, indent=1)


def _read_poses(job: DatasetJob) -> dict[str, Any]:
    """Read the poses of the existing queries."""
    path = job.folder / POSES_NAME
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError):
        raise InputError(f"{path} is not valid JSON; delete it, and its images are rendered again.") from None


def _is_done(image: ImageSpec, job: DatasetJob, poses: dict[str, Any]) -> bool:
    files = image.files(job.folder, job.config.background is not None)
    return all(path.is_file() for path in files) and (image.kind == TRAIN or image.name in poses)


def _keep_pose(job: DatasetJob, image: ImageSpec, pose: list[list[float]], poses: dict[str, Any]) -> None:
    if image.kind != TRAIN:
        poses[image.name] = pose
        names = [f"{kind}/{number}" for kind in (GOOD, *DEFECTS) for number in range(job.config.counts[kind])]
        write_json(job.folder / POSES_NAME, {name: poses[name] for name in names if name in poses})


def _write_transforms(job: DatasetJob) -> None:
    angles = grid_angles()
    frames = [
        {"file_path": f"train/good/{index}.png", "transform_matrix": camera_at(*angles[number]).tolist()}
        for index, number in enumerate(spread_views(job.config.views))
    ]
    write_json(job.folder / "transforms.json", {"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}, indent=1)


def write_json(path: Path, content: object, indent: int | None = None) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def _render_all(
    images: list[tuple[DatasetJob, ImageSpec]], workers: int
) -> Iterator[tuple[DatasetJob, ImageSpec, list[list[float]]]]:
    """Render images, here or in other processes, and yield each with its pose when it is done."""
    if workers == 1 or len(images) < 2:
        for job, image in images:
            yield job, image, write_image_files(job.config, job.folder, image)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(images)), context, torch.set_num_threads, (1,))
    try:
        waiting = {pool.submit(write_image_files, job.config, job.folder, image): (job, image) for job, image in images}
        for future in as_completed(waiting):
            yield *waiting.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
