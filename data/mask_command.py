"""Makes foreground masks for the photos of an object's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from data.automatic_masks import AutomaticMasks, find_automatic_masks
from data.folders import GOOD, find_object
from data.mask_sheet import FILE as SHEET
from data.mask_sheet import write_sheet
from data.masks import FOLDER
from data.saliency import Saliency, load_saliency
from data.transforms_file import TransformsFile
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import read_image_size, read_uint8, write_png
from utils.progress import Progress
from utils.weights import Weights


def make_masks(object_dir: Path, overwrite: bool, progress: Progress, saliency: Saliency | None = None) -> list[str]:
    """Write the masks of all views, and a sheet that shows them.

    Args:
        object_dir: in the MAD layout.
        overwrite: replace masks that are there.
        progress: shows bars.
        saliency: another network.
    Returns:
        The lines of a summary.
    Raises:
        InputError: where there are masks already, images that differ in size or cannot be read, or no object is found.
    """
    folder = find_object(object_dir) / FOLDER
    if folder.exists() and not overwrite:
        raise InputError(f"There is {folder} already; give --overwrite to replace it.")
    cameras = TransformsFile.read(object_dir).cameras()
    sizes = {read_image_size(path) for path in cameras.paths}
    if len(sizes) > 1:
        raise InputError(f"All views of {object_dir} must have one size, found {sorted(sizes)}; make them equal.")
    saliency = saliency or load_saliency(Weights(quiet=progress.quiet))
    camera = Intrinsics.from_angle(*sizes.pop(), cameras.angle)
    poses = cameras.camera_to_world.numpy().astype(np.float64)
    masks = find_automatic_masks(
        lambda view: read_uint8(cameras.paths[view])[..., :3], poses, camera, saliency, progress
    )
    unfinished = folder.with_name(f"{FOLDER}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    write_view_masks(unfinished / "train" / GOOD, masks, cameras.paths, camera)
    write_sheet(object_dir / SHEET, masks, [path.stem for path in cameras.paths])
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    return [
        f"masks     {len(poses)} views, the network's of {len(masks.corrected)} corrected by the others",
        *([f"warning   {masks.doubt}"] if masks.doubt else []),
        f"look at   {object_dir / SHEET}",
        f"next      python -m data doctor {object_dir}",
        "test      with --query_masks auto, for queries have no poses by which masks could be found beforehand",
    ]


def write_view_masks(folder: Path, masks: AutomaticMasks, paths: list[Path], camera: Intrinsics) -> None:
    """Write the masks of all views at the size of their images."""
    for view, path in enumerate(paths):
        write_png(folder / f"{path.stem}.png", masks.mask(view, read_uint8(path)[..., :3], camera))
