"""Do poses fit images whose background is not plain? The rays of a point seen in two images must meet.

Silhouettes prove more, but need an object that stands apart. Here scale-invariant features (SIFT, Lowe 2004) of
consecutive images are matched; under right poses the two rays of a match meet in front of both cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from data.doctor.frames import FrameTable
from data.doctor.hypotheses import (
    FOCAL_APART,
    FOCAL_FACTORS,
    HALF_TURN,
    LEFT_RIGHT,
    MIRRORED_WORLD,
    UPSIDE_DOWN,
    Hypothesis,
    apply_to_poses,
    conventions,
    is_mirrored,
    pairings,
    with_focal,
)
from data.folders import in_threads
from data.masks import read_cut_out
from data.settings import BACKGROUNDS
from utils.camera import Intrinsics
from utils.images import prepare, working_size
from utils.progress import Progress

FEATURE_SIZE = 400  # longer side in pixels of images in which features are found
FEATURES = 1500  # an image, at most
STEPS = (1, 2, 4)  # between the two images of a pair
MOST_PAIRS = 180
DISTINCT = 0.75  # Lowe's ratio of distances to the nearest and the next descriptor
NEAR_PIXELS, FOCAL_PIXELS = 2.0, 0.75  # reprojection errors up to which a match agrees, and to judge focal lengths
FEWEST_MATCHES = 300  # needed for a verdict
FITTING = 0.5  # share of the matches that must agree under right poses
FEWER, GAIN = 1.5, 0.03  # factor in disagreeing matches, and share of all, by which a hypothesis must be better
FOCAL_MORE = 1.15  # factor in closely agreeing matches by which another focal length must be better


@dataclass(frozen=True)
class Matches:
    """Points that both images of a pair show."""

    rows: np.ndarray  # (views,) rows of the frame table
    views: np.ndarray  # (matches, 2) indices into rows
    pixels: np.ndarray  # (matches, 2, 2) x and y in the first and the second
    camera: Intrinsics  # for images of this size

    def __len__(self) -> int:
        return len(self.views)


@dataclass(frozen=True)
class MatchDiagnosis:
    """What matches say about the poses."""

    given: float  # share of the matches that agree with the data as given
    best: Hypothesis  # the default where nothing agrees decisively better
    share: float  # under ``best``
    matches: int


def find_matches(frames: FrameTable, progress: Progress) -> Matches:
    """Match features of consecutive images; errors as ``read_cut_out``."""
    rows = np.array([row for row, size in enumerate(frames.sizes) if size == frames.size])
    finder = cv2.SIFT_create(nfeatures=FEATURES)  # type: ignore[attr-defined]

    def features(row: int) -> tuple[np.ndarray, np.ndarray]:
        colour, _ = prepare(read_cut_out(frames.paths[row], frames.folder), FEATURE_SIZE, BACKGROUNDS["white"])
        grey = cv2.cvtColor((colour * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        points, described = finder.detectAndCompute(grey, None)
        places = np.array([point.pt for point in points], dtype=np.float64).reshape(-1, 2) + 0.5
        return places, np.empty((0, 128), np.float32) if described is None else described

    found = list(progress.track(in_threads(features, rows), "features", len(rows)))
    pairs = [(view, view + step) for step in STEPS for view in range(len(rows) - step)]
    pairs = pairs[:: max(1, -(-len(pairs) // MOST_PAIRS))]
    views, pixels = [], []
    for first, second in progress.track(pairs, "matches"):
        ours, theirs = mutual_matches(found[first][1], found[second][1])
        views.append(np.tile([first, second], (len(ours), 1)))
        pixels.append(np.stack([found[first][0][ours], found[second][0][theirs]], axis=1))
    camera = frames.intrinsics.resized(*working_size(*frames.size, FEATURE_SIZE))
    if not views:
        return Matches(rows, np.empty((0, 2), int), np.empty((0, 2, 2)), camera)
    return Matches(rows, np.concatenate(views).astype(int), np.concatenate(pixels), camera)


def mutual_matches(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of descriptors (features, 128) that are nearest to each other and pass Lowe's ratio test."""
    if len(ours) < 2 or len(theirs) < 2:
        return np.empty(0, int), np.empty(0, int)
    matcher = cv2.BFMatcher()
    back = {match.queryIdx: match.trainIdx for match in matcher.match(theirs, ours)}
    kept = [
        (near.queryIdx, near.trainIdx)
        for near, far in matcher.knnMatch(ours, theirs, k=2)
        if near.distance < DISTINCT * far.distance and back[near.trainIdx] == near.queryIdx
    ]
    pairs = np.array(kept, dtype=int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def agreeing_share(
    matches: Matches, poses: np.ndarray, camera: Intrinsics, flip: str, within: float = NEAR_PIXELS
) -> float:
    """Return the share of the matches whose two rays meet, in front of both cameras, ``within`` pixels of both."""
    pixels = matches.pixels.copy()
    if flip in (LEFT_RIGHT, HALF_TURN):
        pixels[..., 0] = camera.width - pixels[..., 0]
    if flip in (UPSIDE_DOWN, HALF_TURN):
        pixels[..., 1] = camera.height - pixels[..., 1]
    x = (pixels[..., 0] - camera.centre_x) / camera.focal_x
    y = (camera.centre_y - pixels[..., 1]) / camera.focal_y
    rays = np.stack([x, y, -np.ones_like(x)], axis=-1)  # (matches, 2, 3) in the cameras' frames
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    directions = np.einsum("mvij,mvj->mvi", poses[matches.views][:, :, :3, :3], rays)
    baseline = poses[matches.views[:, 1], :3, 3] - poses[matches.views[:, 0], :3, 3]
    first, second = directions[:, 0], directions[:, 1]
    cosine = (first * second).sum(-1)
    scale = np.maximum(1.0 - cosine**2, 1e-12)
    along_first = ((first * baseline).sum(-1) - cosine * (second * baseline).sum(-1)) / scale
    along_second = (cosine * (first * baseline).sum(-1) - (second * baseline).sum(-1)) / scale
    gap = 0.5 * np.linalg.norm(along_first[:, None] * first - along_second[:, None] * second - baseline, axis=-1)
    nearest = np.minimum(along_first, along_second)
    return float(np.mean((nearest > 0) & (gap * max(camera.focal_x, camera.focal_y) < within * nearest)))


def diagnose_matches(matrices: np.ndarray, names: Sequence[str], matches: Matches) -> MatchDiagnosis:
    """Evaluate all hypotheses on the matches, and choose one that agrees decisively better than the data as given."""

    def share(hypothesis: Hypothesis, within: float = NEAR_PIXELS) -> float:
        camera = with_focal(matches.camera, hypothesis.focal)
        return agreeing_share(matches, apply_to_poses(matrices, names, hypothesis), camera, hypothesis.flip, within)

    given = share(Hypothesis())
    shares = {item: share(item) for one in conventions(matrices) for item in (one, *pairings(one, names))}
    most = max(shares.values())
    best = min((item for item in shares if shares[item] >= 0.97 * most), key=lambda item: (item.faults, -shares[item]))
    if not is_decisive_share(given, shares[best]):
        best = Hypothesis()
    best = Hypothesis(MIRRORED_WORLD) if is_mirrored(best, matrices) else best
    scales = np.geomspace(FOCAL_FACTORS[0], FOCAL_FACTORS[-1], 61)
    curve = [share(replace(best, focal=float(factor)), FOCAL_PIXELS) for factor in scales]
    factor = float(scales[int(np.argmax(curve))])
    better = max(curve) >= share(best, FOCAL_PIXELS) * FOCAL_MORE and share(replace(best, focal=factor)) >= FITTING
    if better and max(factor, 1 / factor) > FOCAL_APART:
        best = replace(best, focal=factor)
    return MatchDiagnosis(given, best, share(best), len(matches))


def is_decisive_share(given: float, other: float) -> bool:
    """Return whether a share ``other`` of agreeing matches is high, and decisively higher than ``given``."""
    return other >= FITTING and 1.0 - given >= FEWER * (1.0 - other) and other - given >= GAIN
