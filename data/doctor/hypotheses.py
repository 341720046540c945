"""The known ways in which poses fail to fit their pictures, each tried out on the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.doctor.fit import FORGIVING_VOTE, VOTE, Fit, fit_hull, one_thread
from data.doctor.poses import camera_poses, inverses, transposed
from utils.camera import Intrinsics
from utils.progress import Progress

GIVEN = "as given"
WORLD_TO_CAMERA, TRANSPOSED, TURNED = "world-to-camera", "transposed", "rotations transposed"
TRANSPOSED_WORLD_TO_CAMERA = "transposed world-to-camera"
LEFT_RIGHT, UPSIDE_DOWN, HALF_TURN = "mirrored left to right", "mirrored top to bottom", "turned by half a turn"
TEXT, NUMBERS = "pictures sorted as text", "poses sorted as text"
OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])

COARSE_CELLS, FINE_CELLS = 40, 70  # along the object's longest side
COARSE_VIEWS, FINE_VIEWS = 64, 256  # at most
LEADERS, FINALISTS = 6, 5  # hypotheses tried with other orders, and in full
BETTER, SURE = 1.25, 4.0  # factor by which a hypothesis must lower the misfit, and standard errors of the gain
FOCAL_APART = 1.07  # the least factor on the focal length worth telling
FOCAL_FACTORS = tuple(float(factor) for factor in np.geomspace(0.4, 2.5, 15))  # 1 is the middle one
SIMPLER = 1.1  # factor in misfit up to which a simpler hypothesis is preferred


@dataclass(frozen=True)
class PosedMasks:
    """What is examined: frames in the natural order of their pictures' names."""

    matrices: np.ndarray  # (views, 4, 4) float64 as they stand in the file
    masks: np.ndarray  # (views, height, width) bool
    camera: Intrinsics  # for pictures of the masks' size
    names: tuple[str, ...]  # of the pictures


@dataclass(frozen=True)
class Hypothesis:
    """How poses and pictures are to be read; the default takes them as they are given."""

    reading: str = GIVEN  # of the matrices
    opencv: bool = False  # axes: x right, y down, the camera looks along +z
    picture: str = GIVEN  # how the pictures lie
    shift: int = 0  # picture k belongs to pose k + shift
    order: str = GIVEN  # of pictures against poses
    focal: float = 1.0  # factor on the focal length

    @property
    def faults(self) -> int:
        """The number of ways in which the data would be wrong."""
        return sum(mine != other for mine, other in zip(vars(self).values(), vars(Hypothesis()).values()))

    def words(self) -> str:
        """The hypothesis for a person.

        >>> Hypothesis(opencv=True, shift=1).words()
        'OpenCV axes, poses one frame late'
        """
        told = [] if self.reading == GIVEN else [f"{self.reading} matrices"]
        told += ["OpenCV axes"] if self.opencv else []
        told += [] if self.picture == GIVEN else [f"pictures {self.picture}"]
        told += [f"poses one frame {'late' if self.shift > 0 else 'early'}"] if self.shift else []
        told += [] if self.order == GIVEN else [self.order]
        told += [] if self.focal == 1.0 else [f"focal length off by {1 / self.focal:.3g}"]
        return ", ".join(told) or GIVEN


def apply_to_poses(matrices: np.ndarray, names: Sequence[str], hypothesis: Hypothesis) -> np.ndarray:
    """The camera_to_world (views, 4, 4) that ``matrices`` mean under a hypothesis, one for each picture."""
    if hypothesis.reading in (TRANSPOSED, TRANSPOSED_WORLD_TO_CAMERA):
        matrices = matrices.transpose(0, 2, 1)
    poses = camera_poses(matrices)
    if hypothesis.reading in (WORLD_TO_CAMERA, TRANSPOSED_WORLD_TO_CAMERA):
        poses = inverses(poses)
    if hypothesis.reading == TURNED:
        poses[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    if hypothesis.opencv:
        poses = poses @ OPENCV_TO_OPENGL
    if hypothesis.order != GIVEN:
        text = np.argsort(np.array(names), kind="stable")
        poses = poses[text if hypothesis.order == TEXT else np.argsort(text)]
    return np.roll(poses, -hypothesis.shift, axis=0)


def flip_images(pictures: np.ndarray, picture: str) -> np.ndarray:
    """Pictures (..., height, width) as they lie under a hypothesis."""
    if picture in (LEFT_RIGHT, HALF_TURN):
        pictures = pictures[..., ::-1]
    return pictures[..., ::-1, :] if picture in (UPSIDE_DOWN, HALF_TURN) else pictures


def with_focal(camera: Intrinsics, factor: float) -> Intrinsics:
    """A camera with another focal length."""
    return replace(camera, focal_x=camera.focal_x * factor, focal_y=camera.focal_y * factor)


def evaluate_hypothesis(subject: PosedMasks, hypothesis: Hypothesis, cells: int, most: int, vote: float = VOTE) -> Fit:
    """The fit under a hypothesis, from ``most`` views at most, evenly chosen."""
    rows = np.unique(np.linspace(0, len(subject.masks) - 1, min(most, len(subject.masks))).round().astype(int))
    poses = apply_to_poses(subject.matrices, subject.names, hypothesis)[rows]
    masks = np.ascontiguousarray(flip_images(subject.masks[rows], hypothesis.picture))
    return fit_hull(masks, poses, with_focal(subject.camera, hypothesis.focal), cells, vote)


def evaluate_full(subject: PosedMasks, hypothesis: Hypothesis) -> Fit:
    """The fit under a hypothesis as it is judged."""
    return evaluate_hypothesis(subject, hypothesis, FINE_CELLS, FINE_VIEWS)


@dataclass(frozen=True)
class Diagnosis:
    """What the pictures say of the poses."""

    given: Fit  # of the data as they are
    best: Hypothesis  # how they should be read; the default where nothing fits decisively better
    fit: Fit  # under ``best``
    agreement: (
        np.ndarray
    )  # (views,) the IoU under ``best``, with a hull that forgives some wrong views where it is higher
    trials: tuple[tuple[Hypothesis, float], ...]  # each hypothesis tried, with its mean IoU, the best first


@one_thread()
def diagnose(subject: PosedMasks, progress: Progress) -> Diagnosis:
    """Try all hypotheses, and keep one that fits decisively better than the data as they are given."""
    coarse: dict[Hypothesis, float] = {}

    def try_out(hypotheses: Iterator[Hypothesis]) -> None:
        for hypothesis in hypotheses:
            if hypothesis not in coarse:
                coarse[hypothesis] = evaluate_hypothesis(subject, hypothesis, COARSE_CELLS, COARSE_VIEWS).misfit
                bar.update()

    with progress.bar("hypotheses") as bar:
        try_out(readings(subject.matrices))
        for leader in [Hypothesis(), *sorted(coarse, key=coarse.__getitem__)[:LEADERS]]:
            try_out(orders(leader, subject.names))
        finalists = [item for item in sorted(coarse, key=coarse.__getitem__) if coarse[item] < 0.9][:FINALISTS]
        least = min(coarse.values())
        finalists = [item for item in finalists if item.faults and coarse[item] <= 1.5 * least + 0.02]
        given = evaluate_full(subject, Hypothesis())
        fits = {Hypothesis(): given, **{item: evaluate_full(subject, item) for item in finalists}}
        best = simplest(fits)
        if not decisive(given, fits[best], BETTER):
            best = Hypothesis()
        factor = focal_factor(subject, best, bar.update)
    fit = fits[best]
    if factor != 1.0:
        corrected = replace(best, focal=factor)
        fit_corrected = evaluate_full(subject, corrected)
        if decisive(fit, fit_corrected, focal_better(len(fit.iou))):
            best, fit = corrected, fit_corrected
    trials = {**{item: 1.0 - misfit for item, misfit in coarse.items()}, best: float(fit.iou.mean())}
    trials |= {item: float(found.iou.mean()) for item, found in fits.items()}
    forgiving = evaluate_hypothesis(subject, best, FINE_CELLS, FINE_VIEWS, FORGIVING_VOTE)
    agreement = np.maximum(fit.iou, forgiving.iou)
    return Diagnosis(given, best, fit, agreement, tuple(sorted(trials.items(), key=lambda pair: -pair[1])))


def readings(matrices: np.ndarray) -> Iterator[Hypothesis]:
    """Every reading of the matrices, with both kinds of axes and each way in which pictures may lie."""
    kinds = [GIVEN, WORLD_TO_CAMERA, TURNED]
    if transposed(matrices):
        kinds += [TRANSPOSED, TRANSPOSED_WORLD_TO_CAMERA]
    for reading in kinds:
        for opencv in (False, True):
            for picture in (GIVEN, LEFT_RIGHT, UPSIDE_DOWN, HALF_TURN):
                yield Hypothesis(reading, opencv, picture)


def orders(leader: Hypothesis, names: Sequence[str]) -> Iterator[Hypothesis]:
    """A hypothesis with poses and pictures paired in other ways."""
    yield replace(leader, shift=1)
    yield replace(leader, shift=-1)
    if list(names) != sorted(names):
        yield replace(leader, order=TEXT)
        yield replace(leader, order=NUMBERS)


def simplest(fits: dict[Hypothesis, Fit]) -> Hypothesis:
    """Of the hypotheses that fit about as well as the best one, that with the fewest faults."""
    least = min(fit.misfit for fit in fits.values())
    close = [item for item, fit in fits.items() if fit.misfit <= SIMPLER * least + 1e-3]
    return min(close, key=lambda item: (item.faults, fits[item].misfit))


def decisive(given: Fit, other: Fit, factor: float) -> bool:
    """Whether ``other`` has a misfit lower by ``factor``, and surely so: by ``SURE`` standard errors over the views."""
    gain = other.iou - given.iou
    error = float(gain.std()) / len(gain) ** 0.5
    return given.misfit > factor * other.misfit and float(gain.mean()) > SURE * error


def focal_better(views: int) -> float:
    """The factor by which another focal length must lower the misfit: few views bulge the hull, which favours some.

    >>> round(focal_better(10), 2), round(focal_better(200), 2)
    (1.3, 1.11)
    """
    return 1.1 + 2.0 / views


def focal_factor(subject: PosedMasks, best: Hypothesis, step: object) -> float:
    """The factor on the focal length under which the data fit best; 1 where it is within ``FOCAL_APART``.

    A wrong focal length makes the object larger or smaller, which poses allow, but perspective does not: nearer parts
    must look larger. The misfit has one minimum, sought on a coarse scale, then by a parabola through finer trials.
    """
    coarse = [
        evaluate_hypothesis(subject, replace(best, focal=item), COARSE_CELLS, COARSE_VIEWS).misfit
        for item in FOCAL_FACTORS
    ]
    start = FOCAL_FACTORS[int(np.argmin(coarse))]
    for spread in (0.12, 0.06):
        logs = np.log(start) + spread * np.arange(-2, 3)
        fine = [
            evaluate_hypothesis(subject, replace(best, focal=float(np.exp(log))), FINE_CELLS, COARSE_VIEWS).misfit
            for log in logs
        ]
        curve, slope, _ = np.polyfit(logs - logs[2], fine, 2)
        peak = -0.5 * slope / curve if curve > 0 else logs[int(np.argmin(fine))] - logs[2]
        start = float(np.exp(logs[2] + np.clip(peak, logs[0] - logs[2], logs[-1] - logs[2])))
    return start if max(start, 1 / start) >= FOCAL_APART else 1.0
