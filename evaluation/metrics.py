"""Metrics: AUROC of images and pixels, AUPRO, AUPIMO, F1 at the threshold, their intervals, PSNR and pose errors.

A metric that is not defined, because only one class is present, is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from torch import Tensor

from evaluation.aupimo import image_aupimo
from evaluation.pixel_metrics import MapOf, MaskOf, count_pixels
from evaluation.results import GOOD, ErrorStatistics, Evaluation, Interval, Metrics, PoseMetrics, QueryResult
from utils.camera import pose_errors
from utils.errors import InputError

RESAMPLES = 2000
NEAR_DEGREES, NEAR_UNITS = 1.0, 0.05
MAX_PSNR = 100.0  # dB; stands for infinity, where two images are equal


def evaluate(
    results: Sequence[QueryResult],
    threshold: float,
    anomaly_map_of: MapOf | None = None,
    mask_of: MaskOf | None = None,
    true_poses: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compute all metrics of one object: overall, each defect type against all good queries, and of the poses.

    Args:
        results: one a query; those without a label count for the poses only.
        threshold: a query is called defective where its score is above it.
        anomaly_map_of: query name → anomaly map, called when needed and not kept; None: no pixel metrics.
        mask_of: name of a defective query → mask of any size with the map's aspect; not called for good queries.
        true_poses: camera_to_world (4, 4) by query name.
        seed: of the bootstrap.

    Returns:
        Fractions in [0, 1] with 95 % intervals, None where not defined.

    Raises:
        InputError: where a score is not finite, a mask does not fit its map, or only some defective queries have one.
    """
    for result in results:
        if not math.isfinite(result.anomaly_score):
            raise InputError(f"query {result.name}: anomaly_score is {result.anomaly_score}, expected a number")
    types = {result.name: result.defect_type for result in results if result.defect_type is not None}
    scores: dict[str, list[float]] = {}
    for result in results:
        if result.defect_type is not None:
            scores.setdefault(result.defect_type, []).append(result.anomaly_score)
    groups = {kind: np.array(values) for kind, values in sorted(scores.items())}
    good = groups.pop(GOOD, np.empty(0))
    curves, aupimo = None, dict[str, float]()
    if anomaly_map_of is not None and mask_of is not None:
        curves = count_pixels(types, anomaly_map_of, mask_of)
        aupimo = image_aupimo(types, anomaly_map_of, mask_of)

    def metrics(kinds: list[str]) -> Metrics:
        pixel_auroc, aupro = (None, None) if curves is None else curves.areas(kinds)
        image = _image_metrics([groups[kind] for kind in kinds], good, threshold, seed)
        of_kinds = [area for name, area in aupimo.items() if types[name] in kinds]
        mean_aupimo = float(np.mean(of_kinds)) if of_kinds else None
        return Metrics(**image, pixel_auroc=pixel_auroc, aupro=aupro, aupimo=mean_aupimo)

    per_defect = {kind: metrics([kind]) for kind in groups}
    return Evaluation(metrics(list(groups)), per_defect, pose_metrics(results, true_poses))


def image_auroc(defective: np.ndarray, good: np.ndarray) -> float | None:
    """Return the area under the ROC curve of two sets of scores, ties counted half; None where one is empty."""
    if len(defective) == 0 or len(good) == 0:
        return None
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415  takes 2 s; needed once an object

    labels = np.concatenate([np.ones(len(defective)), np.zeros(len(good))])
    return float(roc_auc_score(labels, np.concatenate([defective, good])))


def f1_score(defective: np.ndarray, good: np.ndarray, threshold: float) -> float | None:
    """Return F1 of "defective where the score is above the threshold"; None where one set is empty.

    >>> f1_score(np.array([2.0, 3.0]), np.array([1.0, 4.0]), 2.5)
    0.5
    """
    if len(defective) == 0 or len(good) == 0:
        return None
    hits, alarms = int((defective > threshold).sum()), int((good > threshold).sum())
    return 2 * hits / (hits + alarms + len(defective))


def _image_metrics(groups: list[np.ndarray], good: np.ndarray, threshold: float, seed: int) -> dict:
    defective = np.concatenate(groups) if groups else np.empty(0)
    above = [np.mean(values > threshold) if len(values) else None for values in (defective, good)]
    return {
        "queries": len(defective),
        "image_auroc": image_auroc(defective, good),
        "image_f1": f1_score(defective, good, threshold),
        "recall": None if above[0] is None else float(above[0]),
        "fpr": None if above[1] is None else float(above[1]),
        **bootstrap_intervals(groups, good, threshold, seed),
    }


def bootstrap_intervals(
    groups: Sequence[np.ndarray], good: np.ndarray, threshold: float, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval | None]:
    """Compute 95 % percentile intervals of the image metrics; good queries and each type are resampled separately.

    Resampling cannot leave the range of the observed scores: where every query is ranked or judged correctly, the
    interval has no width, and says nothing about the next hundred queries.

    Args:
        groups: scores of each defect type.
        good: scores of the good queries.
        threshold: as in :func:`f1_score`.
        seed: of the resampling.
        resamples: number of resamples.

    Returns:
        ``image_auroc_ci, image_f1_ci, recall_ci, fpr_ci``, each (low, high), or None where not defined.
    """
    random = np.random.default_rng(seed)
    drawn = [random.multinomial(len(v), np.full(len(v), 1 / len(v)), resamples) for v in groups if len(v)]
    defective = np.concatenate([v for v in groups if len(v)]) if drawn else np.empty(0)
    times_defective = np.concatenate(drawn, axis=1).astype(np.float32) if drawn else None  # (resamples, defective)
    times_good = None
    if len(good):
        times_good = random.multinomial(len(good), np.full(len(good), 1 / len(good)), resamples).astype(np.float32)

    def interval(values: np.ndarray) -> Interval:
        low, high = np.quantile(values, [0.025, 0.975])
        return float(low), float(high)

    result: dict[str, Interval | None] = dict.fromkeys(("image_auroc_ci", "image_f1_ci", "recall_ci", "fpr_ci"))
    if times_defective is not None:
        hits = times_defective @ (defective > threshold)
        result["recall_ci"] = interval(hits / len(defective))
    if times_good is not None:
        alarms = times_good @ (good > threshold)
        result["fpr_ci"] = interval(alarms / len(good))
    if times_defective is not None and times_good is not None:
        result["image_f1_ci"] = interval(2 * hits / (hits + alarms + len(defective)))
        wins = np.greater.outer(defective, good) + 0.5 * np.equal.outer(defective, good)  # (defective, good)
        won = np.einsum("rg,rg->r", times_defective @ wins.astype(np.float32), times_good)
        result["image_auroc_ci"] = interval(won / (len(defective) * len(good)))
    return result


def psnr(image: Tensor, truth: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of two images of one shape in [0, 1]; infinite where they are equal.

    >>> import torch
    >>> round(psnr(torch.zeros(2, 2, 3), torch.full((2, 2, 3), 0.1)), 4)
    20.0
    """
    error = float((image.double() - truth.double()).square().mean())
    return -10.0 * math.log10(error) if error > 0 else math.inf


def psnr_of_each(pairs: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """Return the PSNR in dB of each pair of images, as for ``psnr``; equal ones count as ``MAX_PSNR``."""
    return [min(psnr(image.cpu(), truth.cpu()), MAX_PSNR) for image, truth in pairs]


def pose_metrics(results: Sequence[QueryResult], true_poses: Mapping[str, Tensor] | None = None) -> PoseMetrics:
    """Compute the share of poses found, and the errors of all poses whose truth is known, found or not.

    ``within`` counts a query without any pose as wrong; the error statistics leave it out.
    """
    found = sum(result.pose_found for result in results) / len(results) if results else 0.0
    known = [result for result in results if result.name in (true_poses or {})]
    errors = [
        pose_errors(result.camera_to_world, true_poses[result.name])
        for result in known
        if true_poses is not None and result.camera_to_world is not None
    ]
    if not errors:
        return PoseMetrics(found)
    degrees, units = np.degrees([angle for angle, _ in errors]), np.array([distance for _, distance in errors])
    within = float(((degrees <= NEAR_DEGREES) & (units <= NEAR_UNITS)).sum() / len(known))
    return PoseMetrics(found, _statistics(degrees), _statistics(units), within)


def _statistics(errors: np.ndarray) -> ErrorStatistics:
    return ErrorStatistics(float(np.median(errors)), float(np.quantile(errors, 0.9)), float(errors.max()))
