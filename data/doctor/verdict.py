"""From a diagnosis to the lines of the doctor's table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.doctor.fit import Fit
from data.doctor.hypotheses import GIVEN, WORLD_TO_CAMERA, Diagnosis, Hypothesis
from data.doctor.matches import FEWEST_MATCHES, FITTING, MatchDiagnosis
from data.doctor.quick import BAD_VERDICT, FAR, NEAR, NOTE, SCALE, Check, fitting_scale, named

UNEXPLAINED, UNEXPLAINED_FEW = 0.75, 0.5  # median IoU below which poses do not fit, and with fewer than MANY views
MANY = 20
ODD, ODD_FEW = 0.85, 0.5  # shares of the median IoU below which a view does not fit
APART = 6.0  # and the median absolute deviations by which it must lie below the median
MOSTLY = 0.6  # share of the hull between near and far above which the scale is not called wrong if none fits better
INSIDE = 0.95  # share of the hull, over all views, that must lie between near and far


def odd_views(agreement: np.ndarray) -> np.ndarray:
    """The views (indices) that fit much worse than the others, the worst first."""
    middle = float(np.median(agreement))
    share = (ODD if len(agreement) >= MANY else ODD_FEW) * middle
    limit = min(share, middle - APART * float(np.median(np.abs(agreement - middle))))
    order = np.argsort(agreement, kind="stable")
    return order[agreement[order] < limit]


def foreign_views(agreement: np.ndarray, shift: int) -> np.ndarray:
    """The views (indices) whose poses a shift takes from the other end of the sequence, unless they fit as well."""
    ends = np.arange(len(agreement))[-shift:] if shift > 0 else np.arange(-shift)
    return ends[agreement[ends] < np.quantile(agreement, 0.1)]


def unexplained(agreement: np.ndarray) -> bool:
    """Whether the poses fit badly as a whole."""
    return float(np.median(agreement)) < (UNEXPLAINED if len(agreement) >= MANY else UNEXPLAINED_FEW)


def check_fit(diagnosis: Diagnosis, names: Sequence[str]) -> list[Check]:
    """Do the poses fit the pictures, and if not, what is wrong."""
    given, best = diagnosis.given, diagnosis.best
    low, middle = float(given.iou.min()), float(np.median(given.iou))
    figure = f"median IoU {middle:.3f}, worst {low:.3f}"
    if best == Hypothesis():
        if unexplained(diagnosis.agreement):
            advice = "The poses do not fit the pictures, and no known mistake explains it: poses of other pictures?"
            return [Check("poses fit pictures", figure, BAD_VERDICT, advice)]
        return [Check("poses fit pictures", figure), *check_odd(diagnosis.agreement, names)]
    mended = f"median IoU {np.median(diagnosis.fit.iou):.3f} when mended"
    checks = [Check("poses fit pictures", figure, BAD_VERDICT, f"They fit if read as: {best.words()} ({mended}).")]
    checks += [Check(name, words, BAD_VERDICT, advice) for name, words, advice in failures(best)]
    return checks + ([] if best.shift else check_odd(diagnosis.agreement, names))


def check_matches(diagnosis: MatchDiagnosis) -> list[Check]:
    """Do the poses fit what pictures with any background have in common."""
    name, figure = "poses fit matches", f"{diagnosis.given:.0%} of {diagnosis.matches} matches agree"
    if diagnosis.best != Hypothesis():
        mended = f"{diagnosis.share:.0%} when mended"
        checks = [Check(name, figure, BAD_VERDICT, f"They fit if read as: {diagnosis.best.words()} ({mended}).")]
        return checks + [Check(*words[:2], BAD_VERDICT, words[2]) for words in failures(diagnosis.best)]
    if diagnosis.matches < FEWEST_MATCHES or diagnosis.given < FITTING:
        advice = "Matches between the pictures do not prove the poses either: only masks can (--masks)."
        return [Check(name, figure, NOTE, advice)]
    return [Check(name, figure)]


def failures(best: Hypothesis) -> list[tuple[str, str, str]]:
    """Name, finding and mending of each known failure that a hypothesis holds."""
    told = []
    if WORLD_TO_CAMERA in best.reading:
        told.append(("world to camera", best.reading, "Invert the matrices: camera_to_world is wanted."))
    if "transposed" in best.reading:
        told.append(("transposed", best.reading, "Transpose them back."))
    if best.opencv:
        told.append(("axes", "OpenCV: y down, looking along +z", "Negate the second and third columns (OpenGL axes)."))
    if best.shift:
        late = "late" if best.shift > 0 else "early"
        told.append(
            ("lag", f"poses one frame {late}", "Give each picture its neighbour's pose; leave out the last one.")
        )
    if best.order != GIVEN:
        told.append(("order", best.order, "Pair poses and pictures by number: 2 comes before 10."))
    if best.picture != GIVEN:
        told.append(("pictures", best.picture, "Flip the pictures back."))
    if best.focal != 1.0:
        advice = f"Multiply the focal length by {best.focal:.3f}, and correct camera_angle_x."
        told.append(("focal length", f"{1 / best.focal:.3g} times the right one", advice))
    return told


def check_odd(agreement: np.ndarray, names: Sequence[str]) -> list[Check]:
    """Views that do not fit although the others do."""
    odd = odd_views(agreement)
    if len(odd) == 0:
        return []
    told = named([names[view] for view in odd])
    advice = f"{told}: wrong poses or silhouettes; look at them, and leave them out if so."
    return [Check("odd views", f"{len(odd)} of {len(agreement)} do not fit", BAD_VERDICT, advice)]


def depths(fit: Fit, poses: np.ndarray) -> np.ndarray:
    """Depth (views, points) along the viewing axes of the hull in all views."""
    points = fit.points[:: max(1, len(fit.points) // 2000)]
    return np.stack([(points - pose[:3, 3]) @ -pose[:3, 2] for pose in poses])


def share_inside(deep: np.ndarray, factor: float = 1.0) -> float:
    """Share of the depths that ``factor`` brings between near and far."""
    return float(np.mean((factor * deep > NEAR) & (factor * deep < FAR)))


def scale_factor(fit: Fit, poses: np.ndarray) -> float:
    """What translations are to be multiplied by so that the object lies between near and far; 1 where it does.

    1 also where the object lies there in most views, and no factor brings it there in all: the scale is right then,
    but the cameras' distances differ more than far and near do.
    """
    deep = depths(fit, poses)
    inside = share_inside(deep)
    if inside >= INSIDE:
        return 1.0
    factor = fitting_scale(*(float(value) for value in np.quantile(deep, [0.02, 0.98])))
    return 1.0 if inside > MOSTLY and share_inside(deep, factor) < INSIDE else factor


def check_scale(fit: Fit, poses: np.ndarray) -> Check:
    """Whether the object lies at distances at which MAD's settings look for it."""
    deep = depths(fit, poses)
    low, high = np.quantile(deep, [0.02, 0.98])
    factor = scale_factor(fit, poses)
    figure = f"object {low:.3g} to {high:.3g} units from the cameras"
    if factor == 1.0 and share_inside(deep) >= INSIDE:
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
