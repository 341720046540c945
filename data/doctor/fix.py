"""Writes a fixed copy of an object's folder; the original is left unchanged."""

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

TRANSPOSE = {
    LEFT_RIGHT: Image.Transpose.FLIP_LEFT_RIGHT,
    UPSIDE_DOWN: Image.Transpose.FLIP_TOP_BOTTOM,
    HALF_TURN: Image.Transpose.ROTATE_180,
}


@dataclass(frozen=True)
class Fix:
    """All that is to be changed."""

    hypothesis: Hypothesis  # how poses and images are to be read
    scale: float = 1.0  # factor on translations
    dropped: tuple[int, ...] = ()  # rows of the frame table that are left out, with their images


def write_fixed(frames: FrameTable, fix: Fix, out: Path) -> None:
    """Write a copy of an object's folder with poses, field of view and images fixed.

    Frames without an image, images without a frame and dropped frames are left out; all else is copied.

    Raises:
        InputError: where ``out`` exists or lies within the object's folder.
    """
    if out.exists() or out.resolve().is_relative_to(frames.folder.resolve()):
        raise InputError(f"--fix must name a new folder outside {frames.folder}, found {out}; name another.")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        copy_others(frames, unfinished)
        kept = [row for row in range(len(frames)) if row not in fix.dropped and frames.sizes[row] == frames.size]
        for _ in in_threads(lambda row: copy_image(frames, row, fix.hypothesis, unfinished), kept):
            pass
        write_text(unfinished / "transforms.json", json.dumps(fixed_content(frames, fix, kept), indent=1))
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def fixed_content(frames: FrameTable, fix: Fix, kept: Sequence[int]) -> dict[str, Any]:
    """Return ``transforms.json`` of the fixed copy; entries other than poses and camera are kept."""
    poses = apply_to_poses(frames.matrices, [path.name for path in frames.paths], fix.hypothesis)
    poses[:, :3, 3] *= fix.scale
    entries = [
        {**frames.content["frames"][frames.rows[row]], "transform_matrix": poses[row].tolist()}
        for row in sorted(kept, key=lambda row: frames.rows[row])
    ]
    camera = frames.intrinsics
    content = {**frames.content, "frames": entries}
    content["camera_angle_x"] = 2.0 * math.atan(0.5 * camera.width / (camera.focal_x * fix.hypothesis.focal))
    for key in ("fl_x", "fl_y", "camera_angle_y"):
        if fix.hypothesis.focal != 1.0 and key in content:
            del content[key]
    return content


def copy_others(frames: FrameTable, out: Path) -> None:
    """Copy all but the training images and ``transforms.json``; links are not followed."""
    images = {path.resolve() for path in (*frames.paths, *frames.poseless, *frames.unlisted)}

    def skipped(folder: str, names: list[str]) -> set[str]:
        paths = {name: Path(folder) / name for name in names}
        return {
            name
            for name, path in paths.items()
            if path.is_symlink() or path.resolve() in images or (path == frames.folder / "transforms.json")
        }

    shutil.copytree(frames.folder, out, ignore=skipped)


def copy_image(frames: FrameTable, row: int, hypothesis: Hypothesis, out: Path) -> None:
    """Copy a training image and its mask, flipped where the hypothesis says so, else byte by byte."""
    for path in (frames.paths[row], *existing_masks(frames.folder, [frames.paths[row]])):
        copy = out / path.relative_to(frames.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if hypothesis.flip == GIVEN:
            shutil.copyfile(path, copy)
        else:
            write_upright(path, copy, hypothesis.flip)


def write_upright(path: Path, copy: Path, flip: str) -> None:
    """Write an upright copy of a flipped or rotated image in the same format."""
    with Image.open(path) as image:
        image.transpose(TRANSPOSE[flip]).save(copy, format=image.format, quality=95)
