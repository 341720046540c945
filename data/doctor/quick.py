"""Checks that need no pixel: files, sizes, intrinsics, and the poses as geometry, well under a second in all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from data.doctor.frames import FrameTable, read_frame_table
from data.doctor.poses import are_transposed, mirrors, nearest_poses, pose_scales, rigid_errors
from data.folders import GOOD, unread_in
from data.photos import orientation
from data.transforms_file import RIGID_TOLERANCE, TransformsFile
from utils.camera import Intrinsics
from utils.errors import listed_names
from utils.geometry import common_point

GOOD_VERDICT, BAD_VERDICT, NOTE = "good", "bad", "note"
SCALE = "scale"
NEAR, FAR = 2.0, 6.0  # scene units along the viewing axis between which MAD's settings expect an object
AGREE = 0.01  # relative difference up to which two entries on one camera agree
NARROWEST, WIDEST = 3.0, 140.0  # degrees; other fields of view are mistakes
AIMED = 0.9  # share of the cameras that must have the common point in their frame
FEW = 8  # views below which the hull proves little


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    figure: str
    verdict: str = GOOD_VERDICT  # good, bad, or note: worth knowing, nothing to fix
    advice: str = ""  # what is wrong and how to fix it


def quick_checks(transforms: TransformsFile) -> list[Check]:
    """Run all checks that need no pixel; errors as ``read_frame_table``."""
    return check_frames(read_frame_table(transforms))


def check_frames(frames: FrameTable) -> list[Check]:
    """Run all checks that need no pixel."""
    return [
        check_files(frames),
        check_sizes(frames),
        check_intrinsics(frames),
        check_rigid(frames.matrices),
        *check_aim(nearest_poses(frames.matrices), frames.intrinsics),
    ]


def check_files(frames: FrameTable) -> Check:
    """Check that each frame has its image, and each image its frame."""
    figure = (
        f"{len(frames.content['frames'])} frames, {len(frames) + len(frames.poseless) + len(frames.unlisted)} images"
    )
    wrong = [
        (frames.missing, "frames have no image"),
        (frames.repeated, "frames repeat an image"),
        ([path.name for path in frames.poseless], "frames have no pose"),
        ([path.name for path in frames.unlisted], f"images in train/{GOOD} have no frame"),
        ([path.name for path in unread_in(frames.folder / "train" / GOOD)], "images have formats that are not read"),
    ]
    found = [f"{len(names)} {what} ({listed_names(names)})" for names, what in wrong if names]
    if found:
        return Check("files", figure, BAD_VERDICT, f"{'; '.join(found)}: add what is missing, or leave these out.")
    if len(frames) < FEW:
        return Check("files", figure, NOTE, f"Fewer than {FEW} views: too few to verify poses or train a field.")
    return Check("files", figure)


def check_sizes(frames: FrameTable) -> Check:
    """Check that all images have one size."""
    width, height = frames.size
    other = [path.name for path, size in zip(frames.paths, frames.sizes) if size != frames.size]
    figure = f"{width}x{height} pixels"
    turned = [path.name for path in frames.paths if orientation(path) != 1]
    if turned and not other:
        advice = f"{len(turned)} have an EXIF orientation, which is not applied here ({listed_names(turned)})."
        return Check("image size", figure, NOTE, advice)
    if other:
        advice = f"{len(other)} images have another size ({listed_names(other)}): make them equal, or import them anew."
        return Check("image size", figure, BAD_VERDICT, advice)
    return Check("image size", figure)


def check_intrinsics(frames: FrameTable) -> Check:
    """Check that the field of view is an angle in radians, and that other entries on the camera agree with it."""
    camera, angle = frames.intrinsics, float(frames.content["camera_angle_x"])
    degrees = angle if frames.in_degrees else math.degrees(angle)
    figure = f"{degrees:.2f}° wide, focal length {camera.focal_x:.1f} pixels"
    if frames.in_degrees:
        advice = f"camera_angle_x is {angle:g}, which must be in degrees: write {math.radians(angle):.6f} radians."
        return Check("intrinsics", figure, BAD_VERDICT, advice)
    if not NARROWEST <= degrees <= WIDEST:
        return Check("intrinsics", figure, BAD_VERDICT, "Such a field of view is improbable: correct camera_angle_x.")
    found = disagreements(frames)
    if found:
        advice = f"{'; '.join(found)}: python -m data import-transforms makes one pinhole camera of it."
        return Check("intrinsics", figure, BAD_VERDICT, advice)
    return Check("intrinsics", figure)


def disagreements(frames: FrameTable) -> list[str]:
    """List entries on the camera that do not fit the images or ``camera_angle_x``."""

    def entry(key: str) -> float | None:
        value = frames.content.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
            return None
        return float(value)

    camera = frames.intrinsics
    width, height = entry("w") or camera.width, entry("h") or camera.height
    expected = {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal_x * width / camera.width,
        "fl_y": camera.focal_y * height / camera.height,
        "cx": width / 2,
        "cy": height / 2,
    }
    wrong = []
    for key, value in expected.items():
        found = entry(key)
        if found is not None and abs(found - value) > max(AGREE * value, 1.0 if key in ("cx", "cy") else 0.0):
            wrong.append(f"{key} is {found:g}, the images and camera_angle_x give {value:.6g}")
    lens = [key for key in ("k1", "k2", "k3", "k4", "p1", "p2") if abs(entry(key) or 0.0) > 1e-6]
    return wrong + ([f"the lens distorts ({', '.join(lens)})"] if lens else [])


def check_rigid(matrices: np.ndarray) -> Check:
    """Check that each matrix (frames, 4, 4) is a rotation and a translation."""
    errors = rigid_errors(matrices)
    bad = errors > RIGID_TOLERANCE
    figure = f"off by {errors.max():.1e}"
    if not bad.any():
        return Check("rigid poses", figure)
    if are_transposed(matrices):
        advice = "The translation is in the last row: the matrices are transposed."
    elif mirrors(matrices[bad]).all():
        advice = "The matrices mirror (determinant below 0): one axis points the wrong way."
    elif np.isfinite(pose_scales(matrices)).all():
        low, high = np.quantile(pose_scales(matrices), [0, 1])
        advice = f"The matrices scale by {low:.4g} to {high:.4g}: divide their first three columns by it."
    else:
        advice = f"{bad.sum()} matrices shear: write their poses again."
    return Check("rigid poses", figure, BAD_VERDICT, advice)


def check_aim(poses: np.ndarray, camera: Intrinsics) -> list[Check]:
    """Check that cameras (views, 4, 4) look at a common point, from different places, at a fitting distance."""
    centres, axes = poses[:, :3, 3], -poses[:, :3, 2]
    point = common_point(torch.from_numpy(poses)).numpy().astype(np.float64)
    toward = point - centres
    depth = (toward * axes).sum(axis=1)
    lengths = np.linalg.norm(toward, axis=1)
    sideways = np.sqrt(np.maximum(lengths**2 - depth**2, 0.0))
    reach = 0.5 * max(camera.width, camera.height) / camera.focal_x
    framed = float(np.mean((depth > 0) & (sideways <= reach * depth)))
    spread = float(np.linalg.norm(centres - np.median(centres, axis=0), axis=1).max())
    if spread <= 1e-6 + 1e-3 * np.median(lengths):
        advice = "All cameras are in one place: these are probably world-to-camera matrices."
        return [Check("cameras apart", f"within {spread:.2g} units", BAD_VERDICT, advice)]
    figure = f"{framed:.0%} have it in their frame"
    if framed < AIMED:
        behind = float(np.mean(depth < 0))
        why = (
            f"{behind:.0%} look away from it, as with OpenCV instead of OpenGL axes"
            if behind > 0.5
            else "the poses may be world-to-camera, transposed, or of other images"
        )
        return [Check("common point", figure, BAD_VERDICT, f"The cameras look at no common point: {why}.")]
    low, middle, high = np.quantile(lengths, [0.0, 0.5, 1.0])
    distance = Check(SCALE, f"cameras {low:.3g} to {high:.3g}, median {middle:.3g} units")
    if not NEAR < middle < FAR:
        advice = (
            f"Wrong scale: MAD's settings expect the object between {NEAR:g} and {FAR:g} units; "
            f"{scale_advice(float(middle))}."
        )
        distance = Check(distance.name, distance.figure, BAD_VERDICT, advice)
    return [Check("common point", figure), distance]


def looking_distance(poses: np.ndarray) -> float:
    """Return the median distance of cameras (views, 4, 4) from the point that they look at."""
    point = common_point(torch.from_numpy(poses)).numpy().astype(np.float64)
    return float(np.median(np.linalg.norm(point - poses[:, :3, 3], axis=1)))


def scale_advice(distance: float) -> str:
    """Return an advice on what to multiply translations by."""
    factor = fitting_scale(distance, distance)
    unit = {1e-3: " (they look like millimetres)", 1e-2: " (they look like centimetres)"}.get(factor, "")
    return f"multiply the translations by {factor:.4g}{unit}"


def fitting_scale(nearest: float, farthest: float) -> float:
    """Return the factor that brings depths from ``nearest`` to ``farthest`` between near and far, if possible 10^n.

    >>> fitting_scale(2400.0, 3600.0), fitting_scale(1.0, 1.5), fitting_scale(2.5, 3.5)
    (0.001, 3.2, 1.0)
    """
    if not 0.0 < nearest <= farthest:
        return 1.0
    for power in (0, -3, -2, -1, 1, 2, 3):
        if nearest * 10.0**power >= NEAR and farthest * 10.0**power <= FAR:
            return 10.0**power
    return 0.5 * (NEAR + FAR) / (0.5 * (nearest + farthest))
