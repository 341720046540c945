"""Checks that need no pixel: files, sizes, intrinsics, and the poses as geometry. They take well under a second."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from data.doctor.frames import FrameTable, read_frame_table
from data.doctor.poses import camera_poses, mirrors, pose_scales, rigid_errors, transposed
from data.folders import GOOD
from data.transforms_file import RIGID_TOLERANCE, TransformsFile
from utils.camera import Intrinsics
from utils.geometry import common_point

GOOD_VERDICT, BAD_VERDICT, NOTE = "good", "bad", "note"
SCALE = "scale"
NEAR, FAR = 2.0, 6.0  # distances along the viewing axis between which MAD's settings look for an object, scene units
AGREE = 0.01  # relative difference up to which two statements of one camera agree
NARROWEST, WIDEST = 3.0, 140.0  # degrees; fields of view beyond these are mistakes
AIMED = 0.9  # share of the cameras that must have the common point in their frame
FEW = 8  # views below which the hull proves little


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table."""

    name: str
    figure: str
    verdict: str = GOOD_VERDICT  # good, bad, or note: worth knowing, nothing to mend
    advice: str = ""  # what is wrong and what mends it


def quick_checks(transforms: TransformsFile) -> list[Check]:
    """Run all checks that need no pixel; errors as ``read_frame_table``."""
    return check_frames(read_frame_table(transforms))


def check_frames(sheet: FrameTable) -> list[Check]:
    """All checks that need no pixel."""
    return [
        check_files(sheet),
        check_sizes(sheet),
        check_intrinsics(sheet),
        check_rigid(sheet.matrices),
        *check_aim(camera_poses(sheet.matrices), sheet.intrinsics),
    ]


def check_files(sheet: FrameTable) -> Check:
    """Each frame has its picture, and each picture its frame."""
    figure = f"{len(sheet.content['frames'])} frames, {len(sheet) + len(sheet.unlisted)} pictures"
    wrong = [
        (sheet.missing, "frames have no picture"),
        (sheet.repeated, "frames repeat a picture"),
        ([path.name for path in sheet.unlisted], f"pictures in train/{GOOD} have no frame"),
    ]
    told = [f"{len(names)} {what} ({named(list(names))})" for names, what in wrong if names]
    if told:
        return Check("files", figure, BAD_VERDICT, f"{'; '.join(told)}: add what is missing, or leave these out.")
    if len(sheet) < FEW:
        return Check("files", figure, NOTE, f"Fewer than {FEW} views: poses can hardly be proved, nor a field trained.")
    return Check("files", figure)


def check_sizes(sheet: FrameTable) -> Check:
    """All pictures have one size."""
    width, height = sheet.size
    other = [path.name for path, size in zip(sheet.paths, sheet.sizes) if size != sheet.size]
    figure = f"{width}x{height} pixels"
    if other:
        advice = f"{len(other)} pictures have another size ({named(other)}): make them equal, or import them anew."
        return Check("picture size", figure, BAD_VERDICT, advice)
    return Check("picture size", figure)


def check_intrinsics(sheet: FrameTable) -> Check:
    """The field of view is an angle in radians, and what else the file says of the camera agrees with it."""
    camera, angle = sheet.intrinsics, float(sheet.content["camera_angle_x"])
    degrees = angle if sheet.in_degrees else math.degrees(angle)
    figure = f"{degrees:.2f}° wide, focal length {camera.focal_x:.1f} pixels"
    if sheet.in_degrees:
        advice = f"camera_angle_x is {angle:g}, which must be degrees: write {math.radians(angle):.6f} radians."
        return Check("intrinsics", figure, BAD_VERDICT, advice)
    if not NARROWEST <= degrees <= WIDEST:
        return Check("intrinsics", figure, BAD_VERDICT, "Such a field of view is hardly meant: correct camera_angle_x.")
    told = disagreements(sheet)
    if told:
        advice = f"{'; '.join(told)}: python -m data import-transforms makes one pinhole camera of it."
        return Check("intrinsics", figure, BAD_VERDICT, advice)
    return Check("intrinsics", figure)


def disagreements(sheet: FrameTable) -> list[str]:
    """Other statements of the file about the camera that do not fit the pictures or ``camera_angle_x``."""

    def stated(key: str) -> float | None:
        value = sheet.content.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
            return None
        return float(value)

    camera = sheet.intrinsics
    width, height = stated("w") or camera.width, stated("h") or camera.height
    expected = {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal_x * width / camera.width,
        "fl_y": camera.focal_y * height / camera.height,
        "cx": width / 2,
        "cy": height / 2,
    }
    told = []
    for key, value in expected.items():
        found = stated(key)
        if found is not None and abs(found - value) > max(AGREE * value, 1.0 if key in ("cx", "cy") else 0.0):
            told.append(f"{key} is {found:g}, the pictures and camera_angle_x give {value:.6g}")
    bent = [key for key in ("k1", "k2", "k3", "k4", "p1", "p2") if abs(stated(key) or 0.0) > 1e-6]
    return told + ([f"the lens distorts ({', '.join(bent)})"] if bent else [])


def check_rigid(matrices: np.ndarray) -> Check:
    """Each matrix (frames, 4, 4) is a rotation and a translation."""
    errors = rigid_errors(matrices)
    bad = errors > RIGID_TOLERANCE
    figure = f"off by {errors.max():.1e}"
    if not bad.any():
        return Check("rigid poses", figure)
    if transposed(matrices):
        advice = "The translation stands in the last row: the matrices are transposed."
    elif mirrors(matrices[bad]).all():
        advice = "The matrices mirror (determinant below 0): one axis points the wrong way."
    elif np.isfinite(pose_scales(matrices)).all():
        low, high = np.quantile(pose_scales(matrices), [0, 1])
        advice = f"The matrices scale by {low:.4g} to {high:.4g}: divide their first three columns by it."
    else:
        advice = f"{bad.sum()} matrices shear: write their poses again."
    return Check("rigid poses", figure, BAD_VERDICT, advice)


def check_aim(poses: np.ndarray, camera: Intrinsics) -> list[Check]:
    """The cameras (views, 4, 4) look at a common point, from places that differ, at a fitting distance."""
    centres, axes = poses[:, :3, 3], -poses[:, :3, 2]
    point = common_point(torch.from_numpy(poses)).numpy().astype(np.float64)
    toward = point - centres
    depth = (toward * axes).sum(axis=1)
    lengths = np.linalg.norm(toward, axis=1)
    sideways = np.sqrt(np.maximum(lengths**2 - depth**2, 0.0))
    reach = 0.5 * max(camera.width, camera.height) / camera.focal_x
    framed = float(np.mean((depth > 0) & (sideways <= reach * depth)))
    apart = float(np.linalg.norm(centres - np.median(centres, axis=0), axis=1).max())
    if apart <= 1e-6 + 1e-3 * np.median(lengths):
        advice = "All cameras stand at one place: these are probably world-to-camera matrices."
        return [Check("cameras apart", f"within {apart:.2g} units", BAD_VERDICT, advice)]
    figure = f"{framed:.0%} have it in their frame"
    if framed < AIMED:
        behind = float(np.mean(depth < 0))
        why = (
            f"{behind:.0%} look away from it, as with OpenCV instead of OpenGL axes"
            if behind > 0.5
            else "the poses may be world-to-camera, transposed, or of other pictures"
        )
        return [Check("common point", figure, BAD_VERDICT, f"The cameras look at no common point: {why}.")]
    low, middle, high = np.quantile(lengths, [0.0, 0.5, 1.0])
    distance = Check(SCALE, f"cameras {low:.3g} to {high:.3g}, median {middle:.3g} units")
    if not NEAR < middle < FAR:
        advice = (
            f"Wrong scale: MAD's settings look for the object between {NEAR:g} and {FAR:g} units; "
            f"{scale_words(float(middle))}."
        )
        distance = Check(distance.name, distance.figure, BAD_VERDICT, advice)
    return [Check("common point", figure), distance]


def looking_distance(poses: np.ndarray) -> float:
    """The median distance of the cameras (views, 4, 4) from the point that they look at."""
    point = common_point(torch.from_numpy(poses)).numpy().astype(np.float64)
    return float(np.median(np.linalg.norm(point - poses[:, :3, 3], axis=1)))


def scale_words(distance: float) -> str:
    """What to multiply translations by, for a person."""
    factor = fitting_scale(distance, distance)
    unit = {1e-3: " (they look like millimetres)", 1e-2: " (they look like centimetres)"}.get(factor, "")
    return f"multiply the translations by {factor:.4g}{unit}"


def fitting_scale(nearest: float, farthest: float) -> float:
    """The factor that brings depths from ``nearest`` to ``farthest`` between near and far: a power of ten if one does.

    >>> fitting_scale(2400.0, 3600.0), fitting_scale(1.0, 1.5), fitting_scale(2.5, 3.5)
    (0.001, 3.2, 1.0)
    """
    if not 0.0 < nearest <= farthest:
        return 1.0
    for power in (0, -3, -2, -1, 1, 2, 3):
        if nearest * 10.0**power >= NEAR and farthest * 10.0**power <= FAR:
            return 10.0**power
    return 0.5 * (NEAR + FAR) / (0.5 * (nearest + farthest))


def named(names: list[str], most: int = 5) -> str:
    """The first few of some names.

    >>> named(["1.png", "2.png"]), named(list("abcdefg"))
    ('1.png, 2.png', 'a, b, c, d, e and 2 more')
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
