"""The known ways in which poses fail to fit their images, each evaluated on the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.doctor.fit import FORGIVING_VOTE, VOTE, Fit, fit_hull, hull_silhouette, one_thread
from data.doctor.poses import are_transposed, inverse_poses, mirrors, nearest_poses
from utils.camera import Intrinsics
from utils.progress import Progress

GIVEN = "as given"
WORLD_TO_CAMERA, TRANSPOSED, TRANSPOSED_ROTATIONS = "world-to-camera", "transposed", "rotations transposed"
TRANSPOSED_WORLD_TO_CAMERA = "transposed world-to-camera"
LEFT_HANDED, MIRRORED_WORLD, MIRRORED_AXIS = "left-handed (Unity's)", "mirrored-world", "mirrored-axis"
LEFT_RIGHT, UPSIDE_DOWN, HALF_TURN = "mirrored left to right", "mirrored top to bottom", "rotated by 180°"
IMAGES_AS_TEXT, POSES_AS_TEXT = "images sorted as text", "poses sorted as text"
OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
MIRROR = np.diag([1.0, 1.0, -1.0, 1.0])
QUARTER_TURN = np.array([[0.0, -1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])  # counterclockwise

COARSE_CELLS, FINE_CELLS = 40, 70  # along the object's longest side
COARSE_VIEWS, FINE_VIEWS = 64, 256  # at most
LEADERS, FINALISTS = 6, 5  # hypotheses evaluated with other pairings, and in full
BETTER, SURE = 1.25, 4.0  # factor by which a hypothesis must lower the misfit, and standard errors of the gain
FOCAL_APART = 1.07  # the least factor on the focal length that is reported
FOCAL_FACTORS = tuple(float(factor) for factor in np.geomspace(0.4, 2.5, 15))  # 1 is the middle one
MOST_VIEWS_VOTE = 0.55  # share of the views that carve where some images are turned
TURNED = 1.2  # factor by which turning an image must raise its overlap with the hull
SIMPLER = 1.1  # factor in misfit up to which a simpler hypothesis is preferred


@dataclass(frozen=True)
class PosedMasks:
    """Silhouettes with their matrices, in the natural order of the images' names."""

    matrices: np.ndarray  # (views, 4, 4) float64 as written in the file
    masks: np.ndarray  # (views, height, width) bool
    camera: Intrinsics  # for images of the masks' size
    names: tuple[str, ...]  # of the images


@dataclass(frozen=True)
class Hypothesis:
    """How poses and images are to be read; the default takes them as they are given."""

    convention: str = GIVEN  # of the matrices
    opencv: bool = False  # axes: x right, y down, the camera looks along +z
    flip: str = GIVEN  # of the images
    turn: int = 0  # quarter turns, counterclockwise, of the cameras
    shift: int = 0  # image k belongs to pose k + shift
    order: str = GIVEN  # of images against poses
    focal: float = 1.0  # factor on the focal length

    @property
    def faults(self) -> int:
        """Return the number of ways in which the data would be wrong."""
        return sum(mine != other for mine, other in zip(vars(self).values(), vars(Hypothesis()).values()))

    def describe(self) -> str:
        """Describe the hypothesis for a person.

        >>> Hypothesis(opencv=True, shift=1).describe()
        'OpenCV axes, poses one frame late'
        """
        parts = [] if self.convention == GIVEN else [f"{self.convention} matrices"]
        parts += ["OpenCV axes"] if self.opencv else []
        parts += [f"images a quarter turn {'clockwise' if self.turn > 0 else 'counterclockwise'}"] if self.turn else []
        parts += [] if self.flip == GIVEN else [f"images {self.flip}"]
        parts += [f"poses one frame {'late' if self.shift > 0 else 'early'}"] if self.shift else []
        parts += [] if self.order == GIVEN else [self.order]
        parts += [] if self.focal == 1.0 else [f"focal length off by {1 / self.focal:.3g}"]
        return ", ".join(parts) or GIVEN


@dataclass(frozen=True)
class Diagnosis:
    """What the silhouettes say about the poses."""

    given: Fit  # of the data as they are
    best: Hypothesis  # the default where nothing fits decisively better
    fit: Fit  # under ``best``
    agreement: np.ndarray  # (views,) IoU under ``best``, or with a hull that forgives some wrong views if higher
    trials: tuple[tuple[Hypothesis, float], ...]  # each evaluated hypothesis with its mean IoU, the best first


def apply_to_poses(matrices: np.ndarray, names: Sequence[str], hypothesis: Hypothesis) -> np.ndarray:
    """Return the camera_to_world (views, 4, 4) that ``matrices`` mean under a hypothesis, one for each image."""
    if hypothesis.convention in (TRANSPOSED, TRANSPOSED_WORLD_TO_CAMERA):
        matrices = matrices.transpose(0, 2, 1)
    poses = nearest_poses(matrices)
    if hypothesis.convention in (WORLD_TO_CAMERA, TRANSPOSED_WORLD_TO_CAMERA):
        poses = inverse_poses(poses)
    if hypothesis.convention == TRANSPOSED_ROTATIONS:
        poses[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    if hypothesis.convention in (LEFT_HANDED, MIRRORED_WORLD):
        poses = MIRROR @ poses
    if hypothesis.convention in (LEFT_HANDED, MIRRORED_AXIS):
        poses = poses @ MIRROR
    if hypothesis.opencv:
        poses = poses @ OPENCV_TO_OPENGL
    if hypothesis.turn:
        poses = poses @ np.linalg.matrix_power(QUARTER_TURN, hypothesis.turn % 4)
    if hypothesis.order != GIVEN:
        text = np.argsort(np.array(names), kind="stable")
        poses = poses[text if hypothesis.order == IMAGES_AS_TEXT else np.argsort(text)]
    return np.roll(poses, -hypothesis.shift, axis=0)


def flip_images(images: np.ndarray, flip: str) -> np.ndarray:
    """Return images (..., height, width) flipped as a hypothesis says."""
    if flip in (LEFT_RIGHT, HALF_TURN):
        images = images[..., ::-1]
    return images[..., ::-1, :] if flip in (UPSIDE_DOWN, HALF_TURN) else images


def with_focal(camera: Intrinsics, factor: float) -> Intrinsics:
    """Return a camera whose focal length is ``factor`` times as long."""
    return replace(camera, focal_x=camera.focal_x * factor, focal_y=camera.focal_y * factor)


def evaluate_hypothesis(posed: PosedMasks, hypothesis: Hypothesis, cells: int, most: int, vote: float = VOTE) -> Fit:
    """Return the fit under a hypothesis, from ``most`` views at most, evenly chosen."""
    rows = np.unique(np.linspace(0, len(posed.masks) - 1, min(most, len(posed.masks))).round().astype(int))
    poses = apply_to_poses(posed.matrices, posed.names, hypothesis)[rows]
    masks = np.ascontiguousarray(flip_images(posed.masks[rows], hypothesis.flip))
    return fit_hull(masks, poses, with_focal(posed.camera, hypothesis.focal), cells, vote)


def evaluate_full(posed: PosedMasks, hypothesis: Hypothesis) -> Fit:
    """Return the fit under a hypothesis at full resolution."""
    return evaluate_hypothesis(posed, hypothesis, FINE_CELLS, FINE_VIEWS)


@one_thread()
def diagnose(posed: PosedMasks, progress: Progress) -> Diagnosis:
    """Evaluate all hypotheses, and choose one that fits decisively better than the data as they are given."""
    with progress.bar("hypotheses") as bar:
        coarse = evaluate_coarsely(posed, bar.update)
        given = evaluate_full(posed, Hypothesis())
        fits = {Hypothesis(): given, **{item: evaluate_full(posed, item) for item in finalists(coarse)}}
        best = simplest(fits)
        if not is_decisive(given, fits[best], BETTER):
            best = Hypothesis()
        if is_mirrored(best, posed.matrices):
            best = Hypothesis(MIRRORED_WORLD)
            fits[best] = evaluate_full(posed, best)
        factor = focal_factor(posed, best)
    fit = fits[best]
    if factor != 1.0:
        corrected = replace(best, focal=factor)
        corrected_fit = evaluate_full(posed, corrected)
        if is_decisive(fit, corrected_fit, focal_better(len(fit.iou))):
            best, fit = corrected, corrected_fit
    trials = {**{item: 1.0 - misfit for item, misfit in coarse.items()}, best: float(fit.iou.mean())}
    trials |= {item: float(found.iou.mean()) for item, found in fits.items()}
    forgiving = evaluate_hypothesis(posed, best, FINE_CELLS, FINE_VIEWS, FORGIVING_VOTE)
    agreement = np.maximum(fit.iou, forgiving.iou)
    return Diagnosis(given, best, fit, agreement, tuple(sorted(trials.items(), key=lambda pair: -pair[1])))


def evaluate_coarsely(posed: PosedMasks, step: Callable[[], object]) -> dict[Hypothesis, float]:
    """Return the misfit on a coarse grid of all conventions, and of the leaders with other pairings."""
    coarse: dict[Hypothesis, float] = {}

    def evaluate(hypotheses: Iterable[Hypothesis]) -> None:
        for hypothesis in hypotheses:
            if hypothesis not in coarse:
                coarse[hypothesis] = evaluate_hypothesis(posed, hypothesis, COARSE_CELLS, COARSE_VIEWS).misfit
                step()

    evaluate(conventions(posed.matrices))
    for leader in [Hypothesis(), *sorted(coarse, key=coarse.__getitem__)[:LEADERS]]:
        evaluate(pairings(leader, posed.names))
    return coarse


def finalists(coarse: dict[Hypothesis, float]) -> list[Hypothesis]:
    """Return the hypotheses that a coarse grid finds hardly worse than the best one."""
    best = [item for item in sorted(coarse, key=coarse.__getitem__) if coarse[item] < 0.9][:FINALISTS]
    least = min(coarse.values())
    return [item for item in best if item.faults and coarse[item] <= 1.5 * least + 0.02]


def conventions(matrices: np.ndarray) -> Iterator[Hypothesis]:
    """Yield every convention of the matrices, with both kinds of axes and every flip and turn of the images.

    Mirrored poses and mirrored images look alike: a world of a left hand is more usual than an image upside down.
    """
    if mirrors(matrices).all():
        for convention in (MIRRORED_WORLD, MIRRORED_AXIS):
            for opencv in (False, True):
                yield Hypothesis(convention, opencv)
        return
    kinds = [GIVEN, WORLD_TO_CAMERA, TRANSPOSED_ROTATIONS]
    if are_transposed(matrices):
        kinds += [TRANSPOSED, TRANSPOSED_WORLD_TO_CAMERA]
    for convention in kinds:
        for opencv in (False, True):
            for flip in (GIVEN, LEFT_RIGHT, UPSIDE_DOWN, HALF_TURN):
                yield Hypothesis(convention, opencv, flip)
            for turn in (1, -1):
                yield Hypothesis(convention, opencv, turn=turn)
    yield Hypothesis(LEFT_HANDED)


def pairings(leader: Hypothesis, names: Sequence[str]) -> Iterator[Hypothesis]:
    """Yield a hypothesis with poses and images paired in other ways."""
    yield replace(leader, shift=1)
    yield replace(leader, shift=-1)
    if list(names) != sorted(names):
        yield replace(leader, order=IMAGES_AS_TEXT)
        yield replace(leader, order=POSES_AS_TEXT)


@one_thread()
def turned_views(posed: PosedMasks) -> dict[int, int]:
    """Return the views that fit a hull of most views only when their images are turned, with their quarter turns.

    Quarter turns are counterclockwise, of the cameras; the rest of the views must be the larger part.
    """
    poses = apply_to_poses(posed.matrices, posed.names, Hypothesis())
    fit = fit_hull(posed.masks, poses, posed.camera, COARSE_CELLS, MOST_VIEWS_VOTE)
    found = {}
    for view, (mask, pose) in enumerate(zip(posed.masks, poses)):
        overlap = []
        for turn in range(4):
            hull = hull_silhouette(fit, pose @ np.linalg.matrix_power(QUARTER_TURN, turn), posed.camera)
            overlap.append(int(np.count_nonzero(hull & mask)) / max(1, int(np.count_nonzero(hull | mask))))
        best = int(np.argmax(overlap))
        if overlap[best] > TURNED * overlap[0]:
            found[view] = best
    return found if 0 < len(found) < 0.45 * len(poses) else {}


def is_mirrored(best: Hypothesis, matrices: np.ndarray) -> bool:
    """Return whether matrices that mirror are the only fault: a mirrored object fits them as well as they are."""
    return not best.faults and bool(mirrors(matrices).all())


def simplest(fits: dict[Hypothesis, Fit]) -> Hypothesis:
    """Return the hypothesis with the fewest faults of those that fit about as well as the best one."""
    least = min(fit.misfit for fit in fits.values())
    close = [item for item, fit in fits.items() if fit.misfit <= SIMPLER * least + 1e-3]
    return min(close, key=lambda item: (item.faults, fits[item].misfit))


def is_decisive(given: Fit, other: Fit, factor: float) -> bool:
    """Return whether ``other`` lowers the misfit by ``factor`` and by ``SURE`` standard errors over the views."""
    gain = other.iou - given.iou
    error = float(gain.std()) / len(gain) ** 0.5
    return given.misfit > factor * other.misfit and float(gain.mean()) > SURE * error


def focal_better(views: int) -> float:
    """Return the factor by which another focal length must lower the misfit: few views bulge the hull, which biases it.

    >>> round(focal_better(10), 2), round(focal_better(200), 2)
    (1.3, 1.11)
    """
    return 1.1 + 2.0 / views


def focal_factor(posed: PosedMasks, best: Hypothesis) -> float:
    """Return the factor on the focal length under which the data fit best; 1 where it is within ``FOCAL_APART``.

    A wrong focal length makes the object larger or smaller, which poses allow, but perspective does not: nearer parts
    must look larger. The misfit has one minimum, sought on a coarse scale, then by a parabola through finer trials.
    """

    def misfit(factor: float, cells: int) -> float:
        return evaluate_hypothesis(posed, replace(best, focal=factor), cells, COARSE_VIEWS).misfit

    start = FOCAL_FACTORS[int(np.argmin([misfit(factor, COARSE_CELLS) for factor in FOCAL_FACTORS]))]
    for spread in (0.12, 0.06):
        logs = np.log(start) + spread * np.arange(-2, 3)
        fine = [misfit(float(np.exp(log)), FINE_CELLS) for log in logs]
        curve, slope, _ = np.polyfit(logs - logs[2], fine, 2)
        peak = -0.5 * slope / curve if curve > 0 else logs[int(np.argmin(fine))] - logs[2]
        start = float(np.exp(logs[2] + np.clip(peak, logs[0] - logs[2], logs[-1] - logs[2])))
    return start if max(start, 1 / start) >= FOCAL_APART else 1.0
