"""Cameras of posed views, aligned to the field that was trained on them.

One round of block-coordinate descent: the field stays, each camera takes Gauss-Newton steps towards where the field
shows its image. A camera that turns while it moves aside hardly changes the image, so that an unfinished field would
lead it far astray; it is held, softly, to the pose that was given. As all cameras may drift together, and the field
with them, their mean motion can be taken out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inerf import se3
from inerf.photometric import ReferenceSamples, normal_equations, sample_reference
from inerf.pyramid import PyramidLevel, full_window, make_level
from utils.exposure import match_exposure
from utils.geometry import best_similarity
from utils.rendering import Field, Rendering
from utils.views import Views

ALIGNED_SIDE = 200  # longer side, in pixels, at which views are compared with the field
STEPS = 6  # Gauss-Newton steps after each rendering
ROBUST_SCALE = 0.15  # colour difference (RGB norm) whose robust cost is one half, at full resolution
PRIOR = 0.05  # weight of the given pose, relative to what the image says of a motion of its whole surface
_DAMPING = 1e-3  # Marquardt's, relative to the Hessian's diagonal


def align_cameras(
    views: Views, given: Tensor, field: Field, renders: int = 1, rows: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Align cameras to what ``field`` shows.

    Args:
        views: with the cameras to start from.
        given: (views, 4, 4) poses to which the cameras are held.
        field: trained on these views or on others.
        renders: renderings of each view, between which the camera moves.
        rows: of the views to align; all by default.
    Returns:
        Poses (rows, 4, 4) float32, and by how many pixels each of them moved the image of the object, (rows,).
    """
    rows = range(len(views)) if rows is None else rows
    found = [align_camera(views, row, given[row], field, renders) for row in rows]
    return torch.stack([pose for pose, _ in found]), torch.tensor([pixels for _, pixels in found])


def align_camera(views: Views, row: int, given: Tensor, field: Field, renders: int) -> tuple[Tensor, float]:
    """Align the camera of one view; see ``align_cameras``."""
    camera, image = views.intrinsics, views.image(row)
    factor = max(1, round(max(camera.width, camera.height) / ALIGNED_SIDE))
    level = make_level(image, camera, torch.tensor(views.background), full_window(camera), factor)
    pose, farthest = views.camera_to_world[row].double(), 0.0
    for _ in range(renders):
        rendered = field.render(pose.float(), level.intrinsics)
        rendering = Rendering(rendered.colour.cpu(), rendered.opacity.cpu(), rendered.depth.cpu())
        if field.exposure_varies:
            rendering = match_exposure(rendering, level.query[..., :3], views.background)
        samples = sample_reference(rendering, level)
        if samples is None:
            break
        motion = align_samples(level, samples, HeldPose.of(pose.numpy(), given.double().numpy(), samples.centre))
        farthest = max(farthest, image_motion(motion, samples, level) * factor)
        back = np.linalg.inv(motion)
        back[:3, 3] += samples.centre - back[:3, :3] @ samples.centre
        pose = pose @ torch.from_numpy(back)
    return se3.renormalised(pose).float(), farthest


@dataclass(frozen=True)
class HeldPose:
    """How far a camera is from its given pose, in radians and shares of the object's distance; linear in a twist."""

    offset: np.ndarray  # (6,) rotation and translation, before the twist
    slope: np.ndarray  # (6, 6) of the offset in the twist of the surface
    distance: float  # of the object from the camera, scene units

    @staticmethod
    def of(pose: np.ndarray, given: np.ndarray, centre: np.ndarray) -> HeldPose:
        """Return it for poses (4, 4) and twists of the surface about ``centre`` (3,), in the camera's axes."""
        change, distance, slope = np.linalg.inv(given) @ pose, float(np.linalg.norm(centre)), np.zeros((6, 6))
        slope[:3, 3:] = -np.eye(3)
        slope[3:, :3] = -np.eye(3) / distance
        slope[3:, 3:] = -se3.hat(torch.from_numpy(centre)).numpy() / distance
        return HeldPose(np.concatenate([small_angle(change), change[:3, 3] / distance]), slope, distance)


def align_samples(level: PyramidLevel, samples: ReferenceSamples, held: HeldPose) -> np.ndarray:
    """Return the motion (4, 4) of the surface that explains the image without going far from the given pose."""
    motion, scale = np.eye(4), min(1.0, ROBUST_SCALE * level.factor)
    for _ in range(STEPS):
        equations = normal_equations(level.query, samples, level.intrinsics, motion, scale)
        weight = PRIOR * held.distance**2 * (equations.hessian[0, 0] + equations.hessian[1, 1]) / 2
        offset = held.offset + held.slope @ np.concatenate([motion[:3, 3], small_angle(motion)])
        hessian = equations.hessian + weight * held.slope.T @ held.slope
        gradient = equations.gradient + weight * held.slope.T @ offset
        damping = _DAMPING * hessian.diagonal() + 1e-12
        motion = se3.exp_numpy(np.linalg.solve(hessian + np.diag(damping), -gradient)) @ motion
    return motion


def small_angle(motion: np.ndarray) -> np.ndarray:
    """Return the rotation vector (3,) of a motion (4, 4) that turns little."""
    skew = motion[:3, :3] - motion[:3, :3].T
    return np.array([0.5 * skew[2, 1], 0.5 * skew[0, 2], 0.5 * skew[1, 0]])


def image_motion(motion: np.ndarray, samples: ReferenceSamples, level: PyramidLevel) -> float:
    """Measure by how many pixels of ``level``, root mean square, a motion (4, 4) of the surface shifts its image."""
    points = samples.points.double().numpy()
    before, after = points + samples.centre, points @ motion[:3, :3].T + motion[:3, 3] + samples.centre
    seen = (before[:, 2] < 0) & (after[:, 2] < 0)
    one, other = (at[seen, :2] / at[seen, 2:] for at in (before, after))
    shift = (one - other) * [level.intrinsics.focal_x, level.intrinsics.focal_y]
    return float(np.sqrt(np.square(shift).sum(-1).mean())) if len(shift) else 0.0


def without_drift(camera_to_world: Tensor, given: Tensor) -> Tensor:
    """Take out of moved cameras (views, 4, 4) the similarity by which all of them moved away from ``given``."""
    scale, rotation, shift = best_similarity(camera_to_world, given)
    held = camera_to_world.double()
    held[:, :3, 3] = scale * held[:, :3, 3] @ rotation.T + shift
    held[:, :3, :3] = rotation @ held[:, :3, :3]
    return held.float()
