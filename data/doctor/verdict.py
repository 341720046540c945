"""Turns a diagnosis into checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.doctor.fit import Fit
from data.doctor.hypotheses import (
    GIVEN,
    LEFT_HANDED,
    MIRRORED_AXIS,
    MIRRORED_WORLD,
    WORLD_TO_CAMERA,
    Diagnosis,
    Hypothesis,
)
from data.doctor.matches import FEWEST_MATCHES, FITTING, MatchDiagnosis
from data.doctor.quick import BAD_VERDICT, FAR, NEAR, NOTE, SCALE, Check, fitting_scale
from utils.errors import listed_names

UNEXPLAINED, UNEXPLAINED_FEW = 0.8, 0.5  # median IoU below which poses do not fit, and with fewer than MANY views
MANY = 20
ODD, ODD_FEW = 0.85, 0.5  # shares of the median IoU below which a view does not fit
APART = 6.0  # median absolute deviations by which it must also lie below the median
MOSTLY = 0.6  # share of the hull between near and far above which a scale is right unless another fits better
INSIDE = 0.95  # share of the hull, over all views, that must lie between near and far


def odd_views(agreement: np.ndarray) -> np.ndarray:
    """Return the views (indices) that fit much worse than the others, the worst first."""
    middle = float(np.median(agreement))
    share = (ODD if len(agreement) >= MANY else ODD_FEW) * middle
    limit = min(share, middle - APART * float(np.median(np.abs(agreement - middle))))
    order = np.argsort(agreement, kind="stable")
    return order[agreement[order] < limit]


def foreign_views(agreement: np.ndarray, shift: int) -> np.ndarray:
    """Return the views (indices) whose poses a shift takes from the other end of the sequence, unless they fit."""
    ends = np.arange(len(agreement))[-shift:] if shift > 0 else np.arange(-shift)
    return ends[agreement[ends] < np.quantile(agreement, 0.1)]


def is_unexplained(agreement: np.ndarray) -> bool:
    """Return whether the poses fit badly as a whole."""
    return float(np.median(agreement)) < (UNEXPLAINED if len(agreement) >= MANY else UNEXPLAINED_FEW)


def check_fit(diagnosis: Diagnosis, names: Sequence[str]) -> list[Check]:
    """Check whether the poses fit the images, and name what is wrong."""
    given, best = diagnosis.given, diagnosis.best
    low, middle = float(given.iou.min()), float(np.median(given.iou))
    figure = f"median IoU {middle:.3f}, worst {low:.3f}"
    if is_unexplained(diagnosis.agreement):
        advice = "The poses do not fit, and no known mistake explains it: poses, or masks, of other images?"
        return [Check("poses fit images", figure, BAD_VERDICT, advice)]
    if best == Hypothesis():
        return [Check("poses fit images", figure), *check_odd(diagnosis.agreement, names)]
    fixed = f"median IoU {np.median(diagnosis.fit.iou):.3f} when fixed"
    checks = [Check("poses fit images", figure, BAD_VERDICT, f"They fit if read as: {best.describe()} ({fixed}).")]
    checks += check_faults(best)
    return checks + ([] if best.shift else check_odd(diagnosis.agreement, names))


def check_matches(diagnosis: MatchDiagnosis) -> list[Check]:
    """Check whether the poses fit what images with any background have in common."""
    name, figure = "poses fit matches", f"{diagnosis.given:.0%} of {diagnosis.matches} matches agree"
    if diagnosis.best != Hypothesis():
        advice = f"They fit if read as: {diagnosis.best.describe()} ({diagnosis.share:.0%} when fixed)."
        return [Check(name, figure, BAD_VERDICT, advice), *check_faults(diagnosis.best)]
    if diagnosis.matches < FEWEST_MATCHES or diagnosis.given < FITTING:
        advice = "Matches between the images do not prove the poses either: only masks can (--masks)."
        return [Check(name, figure, NOTE, advice)]
    return [Check(name, figure)]


def check_faults(best: Hypothesis) -> list[Check]:
    """Return a check for each fault of a hypothesis."""
    faults = []
    if WORLD_TO_CAMERA in best.convention:
        faults.append(("world to camera", best.convention, "Invert the matrices: camera_to_world is needed."))
    if "transposed" in best.convention:
        faults.append(("transposed", best.convention, "Transpose them back."))
    if best.convention in (LEFT_HANDED, MIRRORED_WORLD):
        advice = "Negate the third row and the third column." if best.convention == LEFT_HANDED else "Negate one row."
        faults.append(("handedness", "a world of a left hand", advice))
    if best.convention == MIRRORED_AXIS:
        faults.append(("handedness", "a mirrored camera axis", "Negate the third column."))
    if best.opencv:
        advice = "Negate the second and third columns (OpenGL axes)."
        faults.append(("axes", "OpenCV: y down, looking along +z", advice))
    if best.shift:
        late = "late" if best.shift > 0 else "early"
        advice = "Give each image its neighbour's pose; leave out the last one."
        faults.append(("lag", f"poses one frame {late}", advice))
    if best.order != GIVEN:
        faults.append(("order", best.order, "Pair poses and images by number: 2 comes before 10."))
    if best.turn:
        faults.append(("turn", "images a quarter turn from their poses", "Turn the cameras about their viewing axes."))
    if best.flip != GIVEN:
        faults.append(("flip", best.flip, "Flip the images back."))
    if best.focal != 1.0:
        advice = f"Multiply the focal length by {best.focal:.3f}, and correct camera_angle_x."
        faults.append(("focal length", f"{1 / best.focal:.3g} times the right one", advice))
    return [Check(name, figure, BAD_VERDICT, advice) for name, figure, advice in faults]


def check_turned(turned: dict[int, int], names: Sequence[str]) -> list[Check]:
    """Name views whose images are turned by themselves, with their quarter turns; none where there are none."""
    if not turned:
        return []
    listed = listed_names([f"{names[view]} {90 * turns}°" for view, turns in turned.items()])
    advice = f"Turn these images counterclockwise, and import them anew: {listed}."
    return [Check("turned images", f"{len(turned)} of {len(names)} are turned by themselves", BAD_VERDICT, advice)]


def check_odd(agreement: np.ndarray, names: Sequence[str]) -> list[Check]:
    """Check for views that do not fit although the others do."""
    odd = odd_views(agreement)
    if len(odd) == 0:
        return []
    listed = listed_names([names[view] for view in odd])
    advice = f"{listed}: wrong poses or silhouettes; look at them, and leave them out if so."
    return [Check("odd views", f"{len(odd)} of {len(agreement)} do not fit", BAD_VERDICT, advice)]


def depths(fit: Fit, poses: np.ndarray) -> np.ndarray:
    """Return the depth (views, points) of the hull along the viewing axes."""
    points = fit.points[:: max(1, len(fit.points) // 2000)]
    return np.stack([(points - pose[:3, 3]) @ -pose[:3, 2] for pose in poses])


def share_inside(depth: np.ndarray, factor: float = 1.0) -> float:
    """Return the share of the depths that ``factor`` brings between near and far."""
    return float(np.mean((factor * depth > NEAR) & (factor * depth < FAR)))


def scale_factor(fit: Fit, poses: np.ndarray) -> float:
    """Return the factor on translations that brings the object between near and far; 1 where it lies there.

    It is 1 also where the object lies there in most views and no factor brings it there in all: the scale is right
    then, but the cameras' distances differ more than far and near do.
    """
    depth = depths(fit, poses)
    inside = share_inside(depth)
    if inside >= INSIDE:
        return 1.0
    factor = fitting_scale(*(float(value) for value in np.quantile(depth, [0.02, 0.98])))
    return 1.0 if inside > MOSTLY and share_inside(depth, factor) < INSIDE else factor


def check_scale(fit: Fit, poses: np.ndarray) -> Check:
    """Check whether the object lies at the distances for which MAD's settings are made."""
    depth = depths(fit, poses)
    low, high = np.quantile(depth, [0.02, 0.98])
    factor = scale_factor(fit, poses)
    figure = f"object {low:.3g} to {high:.3g} units from the cameras"
    if factor == 1.0 and share_inside(depth) >= INSIDE:
        return Check(SCALE, figure)
    if factor == 1.0:
        advice = (
            f"The cameras' distances differ too much for {NEAR:g} to {FAR:g} units, which only matters where near and "
            f"far are set by hand."
        )
        return Check(SCALE, figure, NOTE, advice)
    unit = {1e-3: ", as from millimetres", 1e-2: ", as from centimetres"}.get(factor, "")
    advice = f"It must lie between {NEAR:g} and {FAR:g}: multiply the translations by {factor:.4g}{unit}."
    return Check(SCALE, figure, BAD_VERDICT, advice)
