"""A model that has learned added views: its field, gallery and calibration, and whether it is as good as before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from data.folders import find_object
from data.mad import read_views, views_fingerprint
from data.splits import chosen_views
from data.transforms_file import TransformsFile
from evaluation.metrics import mean_psnr
from pipeline.cameras import FILE as CAMERA_FILE
from pipeline.cameras import HELD_OUT, CameraRounds
from pipeline.coverage import surface_seen
from pipeline.good_parts import GoodParts, learn_good_parts, maps_on
from pipeline.held_out import FARTHER, HeldOutPair, pairs_at
from pipeline.history import PHOTOS, Change
from pipeline.model import Model
from pipeline.new_photos import extensible, learned_gallery
from scoring.calibration import MIN_SCORE, Calibration
from scoring.scorers import Scorer
from utils.errors import InputError
from utils.exposure import rendered_pairs
from utils.images import read_uint8, write_png
from utils.text import utc_text
from utils.views import Views, split_folds

WORSE_PSNR = 0.01  # dB by which the held-out views may lose; no more than rounding
WORSE_SCORE = 0.02  # by which the mean logarithm of their scores may rise
NEXT = 1  # nearest views, itself, that references of an added view do without: it lies far from the others
MORE_SEEN = 0.002  # share of the surface that must be new for the surface to be collected again


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


def extended(model: Model, added: Views, held_out: Views) -> Model:
    """Return the model with ``added`` views in field, gallery, calibration, and the figures of its record."""
    new_surface, psnr_held = shows_more(model, added), model.record.psnr
    field = extensible(model).extend(model.field, added, model.context, new_surface)
    if new_surface:  # else renderings stay as they were; only what corrects them is more
        pairs = rendered_pairs(field, held_out)
        field, psnr_held = field.calibrate(pairs), mean_psnr((rendering.colour, truth) for rendering, truth in pairs)
    gallery = learned_gallery(model, added)
    poses, number = torch.cat([held_out.camera_to_world, added.camera_to_world]), model.record.learned + 1
    kept = [
        {"name": f"{number}_{index}", "transform_matrix": pose.tolist()}
        for index, pose in enumerate(added.camera_to_world)
    ]
    grown = replace(model, field=field, gallery=gallery)
    found = {name: torch.tensor(pose) for name, pose in model.record.held_out_poses.items()}
    pairs_held, pairs_added = pairs_at(held_out, grown, FARTHER, found or None), pairs_at(added, grown, NEXT)
    if model.record.photos:
        pairs_added += pairs_at(added_before(model), grown, NEXT)
    held, others = (scores_of(model.scorer, pairs) for pairs in (pairs_held, pairs_added))
    rate, confirmed = model.config.score.false_positive_rate, model.scorer.calibration.confirmed
    record = replace(
        model.record,
        psnr=psnr_held,
        trained_views=model.record.trained_views + len(added),
        surface_seen=surface_seen(field, poses, model.intrinsics),
        log_score=mean_logarithm(held),
        photos=[*model.record.photos, *kept],
    )
    scorer = Scorer(model.scorer.comparison, Calibration.of([*held, *others], rate, confirmed))
    grown = replace(grown, scorer=scorer, record=record)
    return replace(grown, good_parts=grown_parts(model, grown, pairs_held, pairs_added))


def shows_more(model: Model, added: Views) -> bool:
    """Return whether views show surface that none of the model's showed."""
    for pose in added.camera_to_world:
        seen = model.field.render_reference(pose.to(model.device), model.intrinsics).seen_share()
        if seen is None or seen < 1.0 - MORE_SEEN:
            return True
    return False


def grown_parts(model: Model, grown: Model, pairs_held: list[HeldOutPair], pairs_added: list[HeldOutPair]) -> GoodParts:
    """Return what good parts look like to the grown model: on the surface as it was, unless more of it is seen now.

    What the object's views showed stays where it was, so that maps on its surface stay too.
    """
    before, after = model.record.surface_seen, grown.record.surface_seen
    if model.record.photos or before is None or after is None or after[0] > before[0] + MORE_SEEN:
        return learn_good_parts([*pairs_held, *pairs_added], grown, grown.scorer)
    known = model.good_parts
    return replace(known, values=torch.cat([known.values, maps_on(known.surface, pairs_added, grown, grown.scorer)]))


def scores_of(scorer: Scorer, pairs: Sequence[HeldOutPair]) -> list[float]:
    """Score good views against their references."""
    return [scorer.compare(pair.query, pair.reference)[1] for pair in pairs]


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
    """Return the journal's line of added photos, and whether they are kept: no old view may be worse than before."""
    before, after = figures(model), figures(grown)
    remarks = []
    if after["psnr"] < before["psnr"] - WORSE_PSNR:
        remarks.append(f"the held-out views would have {after['psnr']:.2f} dB instead of {before['psnr']:.2f}")
    if after["log_score"] > before["log_score"] + WORSE_SCORE:
        rise = math.expm1(after["log_score"] - before["log_score"])
        remarks.append(f"good held-out views would score {rise:.0%} higher")
    remark = f"not kept: {' and '.join(remarks)}" if remarks else ""
    return Change(grown.record.learned + 1, "add", utc_text(), not remarks, before=before, after=after, remark=remark)


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
