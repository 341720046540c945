"""Learning on: photos are added to a trained object, good parts that were called defective are confirmed as good.

Adding does not train again: what the object's views showed stays as it is, what they did not is learned from the new
photos, and these correct renderings from near them. Both are measured on the held-out views before they count.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.folders import find_object
from data.import_options import AUTO
from data.mad import read_views, views_fingerprint
from data.splits import chosen_views
from data.transforms_file import TransformsFile
from evaluation.metrics import psnr
from nerf.fields import ExtensibleMethod
from pipeline.cameras import FILE as CAMERA_FILE
from pipeline.cameras import HELD_OUT, CameraRounds
from pipeline.config import Config
from pipeline.coverage import surface_seen
from pipeline.held_out import FARTHER, pairs_at
from pipeline.history import PHOTOS, Change, complete_journal, dated, locked, take_back, take_effect
from pipeline.history import append_change as journal
from pipeline.methods import field_method
from pipeline.model import Model, load_model
from pipeline.photos import find_photos
from retrieval.galleries import ExtensibleGallery
from scoring.calibration import CAP, MIN_SCORE, Calibration, Confirmed
from scoring.scorers import Scorer, compare_seen
from utils.errors import InputError
from utils.exposure import rendered_pairs
from utils.images import read_uint8, to_bytes, write_png
from utils.views import Views, split_folds
from utils.weights import U2NETP_NAME, obtain

ROUNDS = 3  # searches for photos whose poses are not found before others have been learned
SURE = 0.55  # confidence in a pose from which a photo is learned before the others are searched again
WORSE_PSNR = 0.01  # dB by which the held-out views may lose; no more than rounding
WORSE_SCORE = 0.02  # by which the mean logarithm of their scores may rise
MAX_PSNR = 100.0  # dB; stands for infinity


@dataclass(frozen=True)
class NewPhoto:
    """A photo that is to be added."""

    name: str
    path: Path
    image: Tensor  # (height, width, 3) float32, cut out where it has a mask
    pose: Tensor | None = None  # (4, 4) camera_to_world, where it is known
    remark: str = ""

    def entry(self) -> dict[str, Any]:
        """Return what the journal says of it."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {"name": self.name, "sha256": digest, "source": str(self.path), "remark": self.remark}


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
        found, lost = find_poses(model, read_photos(model, [Path(folder)], masks), masks)
        if not found:
            raise InputError(f"The pose of none of the {len(lost)} photos in {folder} was found; {UNFOUND}.")
        added = views_of(model, found)
        grown = extended(model, added, held_out)
        change = replace(compared(model, grown), photos=[one.entry() for one in (*found, *lost)], note=note)
        change = replace(change, seconds=round(time.perf_counter() - start, 3))
        if change.kept:
            keep_photos(grown, added)
            results = {"field": grown.field, "gallery": grown.gallery, "calibration": grown.scorer}
            take_effect(config.checkpoint_dir, grown.record, results, change)
        else:
            journal(config.checkpoint_dir, change)
    return change


UNFOUND = "they must show the object as the training views do, partly from sides that those show"


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
            detection = (
                model.detect_uncut(photo.image, photo.name)[0]
                if masks_found(masks)
                else model.detect_image(photo.image, photo.name)
            )
            if detection.pose_found:
                judged.append(Confirmed(detection.anomaly_score, calibration.threshold, not whole_lot))
            entries.append(
                {
                    **replace(
                        photo, remark=remark_on(detection.pose_found, detection.anomaly_score, calibration)
                    ).entry(),
                    "score": detection.anomaly_score,
                }
            )
        if not judged:
            raise InputError(f"The pose of none of the {len(entries)} photos was found; {UNFOUND}.")
        learned = calibration.confirming(judged, config.score.false_positive_rate)
        change = Change(
            number=model.record.learned + 1,
            kind="confirm_good",
            date=dated(),
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
    if not (config.checkpoint_dir / "config.txt").is_file():
        name = config.object_name
        raise InputError(
            f"There is no trained object in {config.checkpoint_dir}; run anomaly_nerf_lego.py --obj {name} first."
        )
    return config.checkpoint_dir


def masks_found(masks: str | Path | None) -> bool:
    """Return whether masks are to be found by a network."""
    return masks is not None and Path(masks) == AUTO


def remark_on(pose_found: bool, score: float, calibration: Calibration) -> str:
    """Return what is to be said of a photo that was confirmed as good, or ""."""
    if not pose_found:
        return "left out: its pose was not found"
    if score > CAP * calibration.threshold:
        times = score / calibration.threshold
        return f"scores {times:.1f} thresholds and counts as {CAP:.0f}: look again whether it is good"
    return ""


def read_photos(model: Model, places: list[Path], masks: str | Path | None) -> list[NewPhoto]:
    """Read photos as the model's camera would have taken them, with the poses that a ``transforms.json`` gives."""
    automatic = masks_found(masks)
    if masks is not None and not automatic and not Path(masks).exists():
        raise InputError(f"There is no folder {masks}; correct --masks.")
    if automatic:
        obtain(U2NETP_NAME, model.context.weights)
    poses = {path: pose for place in places for path, pose in given_poses(place).items()}
    return [
        NewPhoto(name, path, model.photos.read(path, None if automatic else masks), poses.get(path.resolve()))
        for name, path in find_photos(places).items()
    ]


def given_poses(folder: Path) -> dict[Path, Tensor]:
    """Return the poses (4, 4) of the images that a folder's ``transforms.json`` lists, by resolved path."""
    if not (folder / "transforms.json").is_file():
        return {}
    transforms = TransformsFile.read(folder)
    paths = [transforms.image_path(index) for index in range(len(transforms.frames))]
    return {path.resolve(): transforms.pose(index, path) for index, path in enumerate(paths)}


def find_poses(model: Model, photos: list[NewPhoto], masks: str | Path | None) -> tuple[list[NewPhoto], list[NewPhoto]]:
    """Find the poses of photos: those whose pose is found, and those whose is not.

    A side that no view showed is known a little better with each photo: what is found for sure is learned, then the
    others are searched again.
    """
    posed, left = [one for one in photos if one.pose is not None], [one for one in photos if one.pose is None]
    knowing = model
    for number in range(ROUNDS):
        if (number and not posed) or not left:
            break
        if posed and number:
            knowing = replace(
                model, field=learned_field(model, posed), gallery=learned_gallery(model, views_of(model, posed))
            )
        tries = [searched(knowing, one, masks) for one in left]
        good = [one for one, confidence in tries if confidence >= SURE] if number + 1 < ROUNDS else []
        good = good or [one for one, confidence in tries if confidence > 0]
        if not good:
            break
        posed += good
        names = {one.name for one in good}
        left = [one for one in left if one.name not in names]
    return posed, [replace(one, remark="left out: its pose was not found") for one in left]


def searched(model: Model, photo: NewPhoto, masks: str | Path | None) -> tuple[NewPhoto, float]:
    """Search the pose of a photo; return the photo with it, and the confidence, 0 where it was not found."""
    if masks_found(masks):
        detection, query = model.detect_uncut(photo.image, photo.name)
        found = replace(photo, image=query, pose=detection.pose)
        return found, (detection.pose_confidence or 0.0) * detection.pose_found
    refined = model.locate(model.condition(photo.image), photo.name)
    return replace(photo, pose=refined.camera_to_world.cpu()), refined.confidence * refined.found


def views_of(model: Model, photos: Sequence[NewPhoto]) -> Views:
    """Return posed photos as views."""
    images = [torch.from_numpy(to_bytes(model.condition(one.image))) for one in photos]
    poses = [one.pose for one in photos if one.pose is not None]
    names = tuple(one.name for one in photos)
    return Views(torch.stack(images), None, torch.stack(poses), model.intrinsics, names, model.config.background_rgb)


def held_out_views(model: Model) -> Views:
    """Read the views that were held out of an object's training.

    Raises:
        InputError: where they are not those of the training any more, or there are none.
    """
    config, record = model.config, model.record
    if views_fingerprint(find_object(config.object_dir)) != record.data:
        raise InputError(f"The views in {config.object_dir} are not those of the training; train it again.")
    folds = split_folds(record.views, config.val_every)
    if len(folds) > 1:
        raise InputError(
            f"{config.object_name} was trained on all of its {record.views} views, and none is left to prove that "
            f"added photos do no harm; take more photos, and train with them from the start."
        )
    transforms = TransformsFile.read(config.object_dir)
    chosen = chosen_views(transforms.cameras().camera_to_world, config.robustness, config.seed)
    rows = [chosen[row] for row in folds[0][1]]
    size = max(model.intrinsics.width, model.intrinsics.height)
    views = read_views(transforms, size, config.background_rgb, rows)
    rounds = CameraRounds.read(config.checkpoint_dir / CAMERA_FILE, record.steps["field"])
    return replace(views, camera_to_world=rounds.poses(HELD_OUT)) if HELD_OUT in rounds.rounds else views


def learned_field(model: Model, photos: Sequence[NewPhoto]) -> Any:
    """Return the model's field with posed photos learned."""
    return extensible(model).extend(model.field, views_of(model, photos), model.context)


def learned_gallery(model: Model, views: Views) -> Any:
    """Return the model's gallery with more views."""
    if not isinstance(model.gallery, ExtensibleGallery):
        method = model.config.retrieval.method
        raise InputError(f"Photos cannot be added to a gallery of the retrieval {method}; train with all of them.")
    return model.gallery.extended(views)


def extensible(model: Model) -> ExtensibleMethod:
    """Return the method by which a model's field learns on; an InputError says that it has none."""
    method = field_method(model.config)
    if not isinstance(method, ExtensibleMethod):
        raise InputError(f"Photos cannot be added to a field of the method {method.name}; train with all of them.")
    return method


def extended(model: Model, added: Views, held_out: Views) -> Model:
    """Return the model with ``added`` views in field, gallery, calibration, and the figures of its record."""
    field = extensible(model).extend(model.field, added, model.context)
    pairs = rendered_pairs(field, held_out)
    quality = [min(psnr(rendering.colour.cpu(), truth.cpu()), MAX_PSNR) for rendering, truth in pairs]
    field, gallery = field.calibrate(pairs), learned_gallery(model, added)
    poses, number = torch.cat([held_out.camera_to_world, added.camera_to_world]), model.record.learned + 1
    kept = [
        {"name": f"{number}_{index}", "transform_matrix": pose.tolist()}
        for index, pose in enumerate(added.camera_to_world)
    ]
    grown = replace(model, field=field, gallery=gallery)
    held, others = good_scores(grown, held_out), good_scores(grown, added, 1)
    if model.record.photos:
        others += good_scores(grown, added_before(model), 1)
    rate, confirmed = model.config.score.false_positive_rate, model.scorer.calibration.confirmed
    record = replace(
        model.record,
        psnr=sum(quality) / len(quality),
        trained_views=model.record.trained_views + len(added),
        surface_seen=surface_seen(field, poses, model.intrinsics),
        log_score=mean_logarithm(held),
        photos=[*model.record.photos, *kept],
    )
    scorer = Scorer(model.scorer.comparison, Calibration.of([*held, *others], rate, confirmed))
    return replace(grown, scorer=scorer, record=record)


def good_scores(model: Model, views: Views, without: int = FARTHER) -> list[float]:
    """Score good views, whose poses are known, as queries from farther away; those whose pose is lost are left out.

    Args:
        without: nearest views that references do without: ``FARTHER`` of held-out views; 1, itself, of an added one, for these
            lie farther from one another than queries from them.
    """
    pairs = [pair for pair in pairs_at(views, model, without) if pair is not None]
    return [compare_seen(model.scorer.comparison, query, reference)[1] for query, reference in pairs]


def mean_logarithm(scores: Sequence[float]) -> float:
    """Return the mean logarithm of at least one score."""
    return sum(math.log(max(score, MIN_SCORE)) for score in scores) / len(scores) if scores else math.inf


def added_before(model: Model) -> Views:
    """Read the photos that were added earlier, as views."""
    folder, photos = model.config.checkpoint_dir / PHOTOS, model.record.photos
    images = [torch.from_numpy(read_uint8(folder / f"{one['name']}.png")[..., :3].copy()) for one in photos]
    poses = torch.tensor([one["transform_matrix"] for one in photos])
    names = tuple(one["name"] for one in photos)
    return Views(torch.stack(images), None, poses, model.intrinsics, names, model.config.background_rgb)


def keep_photos(grown: Model, added: Views) -> None:
    """Write added views where the record of the new state names them."""
    folder = grown.config.checkpoint_dir / PHOTOS
    for image, one in zip(added.images, grown.record.photos[-len(added) :]):
        write_png(folder / f"{one['name']}.png", image.numpy())


def compared(model: Model, grown: Model) -> Change:
    """Return the journal's line of added photos, and whether the object may keep them: no old view is worse than before."""
    before, after = figures(model), figures(grown)
    remarks = []
    if after["psnr"] < before["psnr"] - WORSE_PSNR:
        remarks.append(f"the held-out views would have {after['psnr']:.2f} dB instead of {before['psnr']:.2f}")
    if after["log_score"] > before["log_score"] + WORSE_SCORE:
        rise = math.expm1(after["log_score"] - before["log_score"])
        remarks.append(f"good held-out views would score {rise:.0%} higher")
    remark = f"not kept: {' and '.join(remarks)}" if remarks else ""
    return Change(grown.record.learned + 1, "add", dated(), not remarks, before=before, after=after, remark=remark)


def figures(model: Model) -> dict[str, float]:
    """Return the figures by which states are compared."""
    record, calibration = model.record, model.scorer.calibration
    found = {"psnr": record.psnr or 0.0, "views": float(record.trained_views), **threshold_figures(calibration)}
    found["log_score"] = mean_logarithm(calibration.scores) if record.log_score is None else record.log_score
    return found if record.surface_seen is None else {**found, "surface_seen": record.surface_seen[0]}


def threshold_figures(calibration: Calibration) -> dict[str, float]:
    """Return the threshold with its 95 % interval."""
    low, high = calibration.interval or (math.nan, math.nan)
    return {"threshold": calibration.threshold, "low": low, "high": high}
