"""Learning on: photos are added to a trained object, good parts that were called defective are confirmed as good.

Adding does not train again: what the object's views showed stays as it is, what they did not is learned from the new
photos, and these correct renderings from near them. Both are measured on the held-out views before they count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.config import Config
from pipeline.grown_model import compared, extended, held_out_views, keep_photos, threshold_figures
from pipeline.history import Change, Saveable, append_change, complete_journal, locked, take_back, take_effect
from pipeline.model import Detection, Model, check_there, load_model
from pipeline.new_photos import find_poses, read_photos, views_of
from pipeline.photos import masks_found
from scoring.calibration import CAP, Calibration, Confirmed
from scoring.scorers import Scorer
from utils.errors import InputError
from utils.text import utc_text

UNFOUND = "they must show the object as the training views do, partly from sides that those show"


def add(source: Model | Config, folder: str | Path, masks: str | Path | None = None, note: str = "") -> Change:
    """Add photos of good specimens to a trained object without training it again.

    Their poses are found; photos whose pose is not found are named and left out. Where the object would show or score
    its held-out views worse than before, it stays as it is.

    Args:
        source: the object, trained.
        folder: of the photos; poses in the object's frame in a ``transforms.json`` there are used.
        masks: a folder with ``NAME.png`` for each ``NAME.jpg``, or "auto".
        note: for the journal.
    Returns:
        The line of the journal. Load the object again to use what it learned.
    Raises:
        FileNotFoundError, InputError: for photos that cannot be read, an object that is not trained or whose training
            views have changed, or where no pose is found.
    """
    start, config = time.perf_counter(), config_of(source)
    with locked(existing(config)):
        model = load_model(config)
        complete_journal(config.checkpoint_dir, model.record.learned)
        held_out = held_out_views(model)
        found = find_poses(model, read_photos(model, [Path(folder)], masks), masks)
        if not found.posed:
            raise InputError(f"The pose of none of the {len(found.lost)} photos in {folder} was found; {UNFOUND}.")
        grown = extended(model, found, held_out)
        entries = [one.entry() for one in (*found.posed, *found.lost)]
        change = replace(compared(model, grown), photos=entries, note=note)
        change = replace(change, seconds=round(time.perf_counter() - start, 3))
        if change.kept:
            keep_photos(grown, views_of(model, found.posed))
            results: dict[str, Saveable] = {
                "field": grown.field,
                "gallery": grown.gallery,
                "calibration": grown.scorer,
                "parts": grown.good_parts,
            }
            take_effect(config.checkpoint_dir, grown.record, results, change)
        else:
            append_change(config.checkpoint_dir, change)
    return change


def confirm_good(
    source: Model | Config,
    photos: Sequence[str | Path],
    masks: str | Path | None = None,
    note: str = "",
    whole_lot: bool = False,
) -> Change:
    """Confirm photos of good parts as good: their scores join those from which the threshold is learned.

    Photos that are confirmed because they were called defective are no sample of good ones; how their scores count is
    told at ``Calibration``. They hardly move the threshold where it is right, however many they are; that good parts
    are called defective too often is learned from ``whole_lot``.

    Args:
        source: the object, trained.
        photos: files, or folders of them.
        masks: a folder with ``NAME.png`` for each ``NAME.jpg``, or "auto".
        note: for the journal.
        whole_lot: these are all good photos of a lot, whichever verdict they got.
    Returns:
        The line of the journal. Load the object again to use the new threshold.
    Raises:
        FileNotFoundError, InputError: for photos that cannot be read, or an object that is not trained.
    """
    start, config = time.perf_counter(), config_of(source)
    with locked(existing(config)):
        model = load_model(config)
        complete_journal(config.checkpoint_dir, model.record.learned)
        calibration = model.scorer.calibration
        judged, entries = [], []
        for photo in read_photos(model, [Path(place) for place in photos], masks):
            if masks_found(masks):
                detection = model.detect_uncut(photo.image, photo.name)[0]
            else:
                detection = model.detect_image(photo.image, photo.name)
            score, remark = detection.anomaly_score, remark_on(detection, calibration)
            if detection.pose_found:
                judged.append(Confirmed(score, calibration.threshold, not whole_lot))
            entries.append({**replace(photo, remark=remark).entry(), "score": score})
        if not judged:
            raise InputError(f"The pose of none of the {len(entries)} photos was found; {UNFOUND}.")
        learned = calibration.confirming(judged, config.score.false_positive_rate)
        change = Change(
            number=model.record.learned + 1,
            kind="confirm_good",
            date=utc_text(),
            photos=entries,
            before=threshold_figures(calibration),
            after=threshold_figures(learned),
            note=note,
            seconds=round(time.perf_counter() - start, 3),
        )
        results = {"calibration": Scorer(model.scorer.comparison, learned)}
        take_effect(config.checkpoint_dir, model.record, results, change)
    return change


def undo(source: Model | Config, note: str = "") -> Change:
    """Take back the last change of a trained object; its state before is restored byte for byte.

    Args:
        source: the object.
        note: for the journal.
    Returns:
        The line of the journal.
    Raises:
        InputError: where it has learned nothing, or the state before was removed to save space.
    """
    folder = existing(config_of(source))
    with locked(folder):
        return take_back(folder, note)


def config_of(source: Model | Config) -> Config:
    """Return the settings that name an object."""
    return source.config if isinstance(source, Model) else source


def existing(config: Config) -> Path:
    """Return the folder of a trained object; an InputError says that there is none."""
    check_there(config.checkpoint_dir)
    return config.checkpoint_dir


def remark_on(detection: Detection, calibration: Calibration) -> str:
    """Return what is to be said of a photo that was confirmed as good, or ""."""
    if not detection.pose_found:
        return "left out: its pose was not found"
    if detection.anomaly_score > CAP * calibration.threshold:
        times = detection.anomaly_score / calibration.threshold
        return f"scores {times:.1f} thresholds and counts as {CAP:.0f}: look again whether it is good"
    return ""
