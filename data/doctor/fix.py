"""A mended copy of an object's folder; the original stays as it is."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data.doctor.frames import FrameTable
from data.doctor.hypotheses import GIVEN, HALF_TURN, LEFT_RIGHT, UPSIDE_DOWN, Hypothesis, apply_to_poses
from data.folders import in_threads
from data.masks import existing_masks
from utils.checkpoint import write_text
from utils.errors import InputError


@dataclass(frozen=True)
class Fix:
    """All that is to be changed."""

    best: Hypothesis  # how poses and pictures are to be read
    scale: float = 1.0  # factor on translations
    dropped: tuple[int, ...] = ()  # frames of the sheet that are left out, with their pictures


def write_fixed(sheet: FrameTable, remedy: Fix, out: Path) -> None:
    """Write a copy of the sheet's folder with poses, field of view and pictures mended.

    Frames without a picture, pictures without a frame, and what the remedy drops are left out; all else is copied.

    Errors:
        InputError where ``out`` is there already or lies within the object's folder.
    """
    if out.exists() or out.resolve().is_relative_to(sheet.folder.resolve()):
        raise InputError(f"--fix must name a new folder outside {sheet.folder}, found {out}; name another.")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        copy_others(sheet, unfinished)
        kept = [row for row in range(len(sheet)) if row not in remedy.dropped and sheet.sizes[row] == sheet.size]
        for _ in in_threads(lambda row: copy_picture(sheet, row, remedy.best, unfinished), kept):
            pass
        write_text(unfinished / "transforms.json", json.dumps(fixed_content(sheet, remedy, kept), indent=1))
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def fixed_content(sheet: FrameTable, remedy: Fix, kept: Sequence[int]) -> dict[str, Any]:
    """``transforms.json`` of the mended copy; what it says beside poses and camera stays."""
    poses = apply_to_poses(sheet.matrices, [path.name for path in sheet.paths], remedy.best)
    poses[:, :3, 3] *= remedy.scale
    frames = [
        {**sheet.content["frames"][sheet.rows[row]], "transform_matrix": poses[row].tolist()}
        for row in sorted(kept, key=lambda row: sheet.rows[row])
    ]
    camera = sheet.intrinsics
    content = {**sheet.content, "frames": frames}
    content["camera_angle_x"] = 2.0 * math.atan(0.5 * camera.width / (camera.focal_x * remedy.best.focal))
    for key in ("fl_x", "fl_y", "camera_angle_y"):
        if remedy.best.focal != 1.0 and key in content:
            del content[key]
    return content


def copy_others(sheet: FrameTable, out: Path) -> None:
    """Copy what is neither a training picture, its mask, nor ``transforms.json``; links are not followed."""
    pictures = {path.resolve() for path in (*sheet.paths, *sheet.unlisted)}

    def skipped(folder: str, names: list[str]) -> set[str]:
        paths = {name: Path(folder) / name for name in names}
        return {
            name
            for name, path in paths.items()
            if path.is_symlink() or path.resolve() in pictures or (path == sheet.folder / "transforms.json")
        }

    shutil.copytree(sheet.folder, out, ignore=skipped)


def copy_picture(sheet: FrameTable, row: int, best: Hypothesis, out: Path) -> None:
    """Copy a training picture, and flip it and its mask as the hypothesis says; an unflipped copy is the same file."""
    for path in (sheet.paths[row], *existing_masks(sheet.folder, [sheet.paths[row]])):
        place = out / path.relative_to(sheet.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        if best.picture == GIVEN:
            shutil.copyfile(path, place)
        else:
            write_flipped(path, place, best.picture)


def write_flipped(path: Path, place: Path, picture: str) -> None:
    """Write a picture that lies right, in the same format, from one that lies as ``picture`` says."""
    flip = {
        LEFT_RIGHT: Image.Transpose.FLIP_LEFT_RIGHT,
        UPSIDE_DOWN: Image.Transpose.FLIP_TOP_BOTTOM,
        HALF_TURN: Image.Transpose.ROTATE_180,
    }[picture]
    with Image.open(path) as file:
        file.transpose(flip).save(place, format=file.format, quality=95)
