"""One verdict on a part from several photos, and where on its surface the defects are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import grey_dilation, label
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from evaluation.results import verdict_at
from pipeline.detection import Detection
from pipeline.good_parts import GoodParts
from pipeline.surface import Sight, Surface, reach_of, sampled
from scoring.calibration import Calibration
from scoring.defect_kind import colour_novelty, outline_difference
from scoring.parts import blended, largest_of
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.rendering import Rendering

SHAPE, COLOUR = "shape", "colour"
CONNECTED = 2.0  # spacings between two points of one defect, at most
WELL = 0.5  # cosine between normal and direction to the camera from which a photo shows a point well: 60 degrees
MIN_GAIN = 0.005  # share of the surface for which no further photo is asked
SUSPICIOUS = 0.5  # of the threshold, from which a point that was seen once is worth another look
ANOMALOUS = 0.5  # of a photo's threshold, from which a place counts as part of an anomalous region
OUTLINE, NEW_COLOUR = 0.25, 0.016  # see ``kind_of``


@dataclass(frozen=True)
class SurfaceDefect:
    """A defect of a part: connected points of its surface above the threshold."""

    kind: str  # "shape": something is missing or sticks out; "colour": a stain
    centre: tuple[float, float, float]  # world
    normal: tuple[float, float, float]  # outward unit vector, the mean over its points
    extent: float  # diagonal of its box, scene units
    area: float  # of the surface, square scene units
    anomaly_score: float  # its largest value on the surface
    p_value: float  # probability that a good part scores at least as much anywhere
    confirmed_by: tuple[str, ...]  # photos that alone would call it a defect
    seen_by: tuple[str, ...]  # photos that show the place
    points: Tensor  # (points,) int64: which of the surface


@dataclass(frozen=True)
class NextView:
    """From where to photograph a part next."""

    camera_to_world: Tensor  # (4, 4) float32
    azimuth: float  # degrees around the world's z axis, 0 toward x, of the camera as seen from the object
    elevation: float  # degrees above the plane of x and y
    gain: float  # share of the surface that it would show and no photo has, or one with something suspicious


@dataclass(frozen=True)
class PartDetection:
    """The verdict on one part of which there are several photos, and what led to it."""

    name: str
    verdict: str  # "good" or "defective": anomaly_score against the threshold
    p_value: float  # probability that a good part scores at least as much in as many photos
    anomaly_score: float  # the largest value anywhere on the surface
    threshold: float  # for this number of photos
    photos: tuple[Detection, ...]  # of every photo
    counted: tuple[str, ...]  # names of those that count: whose pose was found, the same photo once
    repeated: tuple[str, ...]  # names of those that are the same as one before, pixel by pixel
    seen_share: float  # of the surface that training views showed, the share that the photos show, in [0, 1]
    seen_twice_share: float  # that two photos show or more
    seen_well_share: float  # that a photo shows from less than 60 degrees beside its normal
    defects: tuple[SurfaceDefect, ...]  # the most anomalous first
    next_view: NextView | None  # None where no view would show half a percent more
    surface_score: Tensor  # (points,) float32: the anomaly of each point of the surface; NaN where not seen
    times_seen: Tensor  # (points,) int64: photos that show it


@dataclass(frozen=True)
class Shot:
    """A photo of a part, and what was detected in it."""

    detection: Detection
    query: Tensor  # (height, width, 3) as it was compared
    rendering: Rendering  # of the object at the pose
    background: tuple[float, float, float]  # RGB of the photo's


def judge_shots(
    name: str,
    taken: Sequence[Shot],
    good: GoodParts,
    intrinsics: Intrinsics,
    false_positive_rate: float,
) -> PartDetection:
    """Judge a part.

    Args:
        taken: all photos; those whose pose was not found do not count, nor what shows the same as one before.
        good: what good parts look like.
        intrinsics: camera of the photos.
        false_positive_rate: share of good parts that may be called defective.
    Raises:
        InputError: where no pose was found.
    """
    found = [shot for shot in taken if shot.detection.pose_found]
    shots = distinct(found)
    if not shots:
        raise InputError(
            f"The pose of none of the {len(taken)} photos of {name} was found, so that there is no verdict; "
            f"photograph the whole object as the training views show it, or give --masks."
        )
    sights = [good.surface.sight(shot.detection.pose, intrinsics, shot.rendering) for shot in shots]
    values = torch.stack([sampled(shot.detection.anomaly_map, sight) for shot, sight in zip(shots, sights)])
    calibration = good.views.calibration(len(shots), false_positive_rate)
    relative, facing = good.views.relative(values), torch.stack([sight.facing for sight in sights])
    score, times = blended(relative), (facing > 0).sum(0)
    anomaly_score = largest_of(score)
    return PartDetection(
        name=name,
        verdict=verdict_at(anomaly_score, calibration.threshold),
        p_value=calibration.p_value(anomaly_score),
        anomaly_score=anomaly_score,
        threshold=calibration.threshold,
        photos=tuple(shot.detection for shot in taken),
        counted=tuple(shot.detection.name for shot in shots),
        repeated=tuple(shot.detection.name for shot in found if all(shot is not one for one in shots)),
        seen_share=share(times >= 1),
        seen_twice_share=share(times >= 2),
        seen_well_share=share(facing.amax(0) >= WELL),
        defects=find_defects(score, values, calibration, good, shots, sights),
        next_view=find_next_view(good, times, score, calibration.threshold),
        surface_score=score,
        times_seen=times,
    )


def distinct(shots: Sequence[Shot]) -> list[Shot]:
    """Return photos without those that are the same as one before: a copy confirms nothing."""
    kept: list[Shot] = []
    for shot in shots:
        if not any(torch.equal(shot.query, one.query) for one in kept):
            kept.append(shot)
    return kept


def share(where: Tensor) -> float:
    """Return the share of True in ``where`` (points,), 0 of nothing."""
    return float(where.float().mean()) if len(where) else 0.0


def find_defects(
    score: Tensor,
    values: Tensor,
    calibration: Calibration,
    good: GoodParts,
    shots: Sequence[Shot],
    sights: Sequence[Sight],
) -> tuple[SurfaceDefect, ...]:
    """Return the connected regions of the surface whose ``score`` (points,) is above the threshold.

    Args:
        values: (photos, points) of the single photos.
    """
    surface = good.surface
    groups = connected(surface.points, score > calibration.threshold, CONNECTED * surface.spacing)
    groups.sort(key=lambda points: -float(score[points].max()))
    images = [regions_at(points, values, shots, sights) for points in groups]
    kept: list[int] = []
    for number, shown in enumerate(images):
        if not any(explained(shown, images[other]) for other in kept):
            kept.append(number)
    return tuple(describe(groups[number], score, values, calibration, surface, shots, sights) for number in kept)


def regions_at(points: Tensor, values: Tensor, shots: Sequence[Shot], sights: Sequence[Sight]) -> list[frozenset[int]]:
    """Return for each photo the numbers of the anomalous regions of its map that touch ``points`` of the surface."""
    found = []
    for row, shot, sight in zip(values, shots, sights):
        level = ANOMALOUS * shot.detection.threshold
        labels, _ = label(shot.detection.anomaly_map.cpu().numpy() > level, np.ones((3, 3)))
        labels = grey_dilation(labels, 2 * reach_of(labels.shape) + 3).reshape(-1)
        pixels = sight.pixels[points[row[points] > level]].numpy()
        found.append(frozenset(labels[pixels].tolist()) - {0})
    return found


def explained(shown: Sequence[frozenset[int]], by: Sequence[frozenset[int]]) -> bool:
    """Return whether all that photos show of one place belongs to what they show of another, photo by photo.

    What one photo shows beside a defect, as on the surface behind it, is no other defect.

    >>> explained([frozenset({1}), frozenset()], [frozenset({1, 2}), frozenset({1})])
    True
    """
    return all(regions <= others for regions, others in zip(shown, by))


def describe(
    points: Tensor,
    score: Tensor,
    values: Tensor,
    calibration: Calibration,
    surface: Surface,
    shots: Sequence[Shot],
    sights: Sequence[Sight],
) -> SurfaceDefect:
    """Describe the defect that consists of ``points`` (points,) of the surface; the rest as for ``find_defects``."""
    where, peak = surface.points[points], float(score[points].max())
    single = values[:, points].nan_to_num(-1.0).amax(1).tolist()  # (photos,)
    shown = [(shot.detection, value) for shot, value in zip(shots, single) if value >= 0]
    return SurfaceDefect(
        kind=kind_of(points, values, shots, sights),
        centre=vector(where.mean(0)),
        normal=vector(normalize(surface.normals[points].mean(0), dim=0)),
        extent=float((where.amax(0) - where.amin(0)).norm()) + surface.spacing,
        area=len(points) * surface.spacing**2,
        anomaly_score=peak,
        p_value=calibration.p_value(peak),
        confirmed_by=tuple(photo.name for photo, value in shown if value > photo.threshold),
        seen_by=tuple(photo.name for photo, _ in shown),
        points=points,
    )


def vector(values: Tensor) -> tuple[float, float, float]:
    """Return a point or direction (3,) as numbers."""
    x, y, z = values.tolist()
    return x, y, z


def connected(points: Tensor, chosen: Tensor, reach: float) -> list[Tensor]:
    """Return the groups of ``chosen`` (points,) bool among ``points`` (points, 3) whose gaps are at most ``reach``."""
    numbers = chosen.nonzero()[:, 0]
    if len(numbers) == 0:
        return []
    pairs = cKDTree(points[numbers].numpy()).query_pairs(reach, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(numbers),) * 2)
    count, labels = connected_components(links, directed=False)
    return [numbers[torch.from_numpy(labels == label)] for label in range(count)]


def kind_of(points: Tensor, values: Tensor, shots: Sequence[Shot], sights: Sequence[Sight]) -> str:
    """Tell whether the shape or the colour is another at ``points`` (points,) of the surface.

    See ``scoring/defect_kind.py``; a photo counts as much as it shows of the defect.
    """
    outline, novelty, weights = [], [], []
    for row, shot, sight in zip(values, shots, sights):
        shown = row[points] > ANOMALOUS * shot.detection.threshold
        if not bool(shown.any()):
            continue
        pixels = sight.pixels[points[shown]]
        where = torch.zeros(shot.rendering.opacity.numel(), dtype=torch.bool)
        where[pixels] = True
        where = where.view(shot.rendering.opacity.shape)
        differs = outline_difference(shot.query, shot.rendering, shot.background)
        outline.append(float(differs.cpu()[where].float().mean()))
        novelty.append(float(colour_novelty(shot.query, shot.rendering, where).cpu()[where].mean()))
        weights.append(float(row[points[shown]].sum()))
    if not weights or np.average(outline, weights=weights) > OUTLINE:
        return SHAPE
    return COLOUR if np.average(novelty, weights=weights) > NEW_COLOUR else SHAPE


def find_next_view(good: GoodParts, times: Tensor, score: Tensor, threshold: float) -> NextView | None:
    """Choose the view that shows most of what no photo has shown, or only one and there is something suspicious.

    Args:
        times: (points,) how many photos show each point.
        score: (points,) how anomalous each point is.
    """
    if not len(times) or not len(good.poses):
        return None
    wanted = (times == 0) | ((times == 1) & (score.nan_to_num(0.0) > SUSPICIOUS * threshold))
    gains = ((good.facing > 0) & wanted).float().mean(1)  # (candidates,)
    best = int(gains.argmax())
    if gains[best] < MIN_GAIN:
        return None
    pose = good.poses[best]
    away = pose[:3, 3] - good.surface.points.mean(0)
    azimuth, flat = math.degrees(math.atan2(away[1], away[0])), math.hypot(away[0], away[1])
    return NextView(pose, azimuth, math.degrees(math.atan2(away[2], flat)), float(gains[best]))
