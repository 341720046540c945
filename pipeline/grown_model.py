"""A model that has learned added views: its field, gallery and calibration, and whether it is as good as before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from data.folders import find_object
from data.mad import read_views, views_fingerprint
from data.splits import chosen_views
from data.transforms_file import TransformsFile
from evaluation.metrics import psnr_of_each
from pipeline.cameras import FILE as CAMERA_FILE
from pipeline.cameras import HELD_OUT, CameraRounds
from pipeline.coverage import surface_seen
from pipeline.good_parts import GoodParts, laid_on, learn_good_parts
from pipeline.held_out import FARTHER, GoodView, HeldOutPair
from pipeline.history import PHOTOS, Change
from pipeline.model import Model
from pipeline.new_photos import Found, extensible, learned_gallery, views_of
from scoring.calibration import Calibration
from scoring.scorers import Scorer
from utils.errors import InputError
from utils.exposure import rendered_pairs
from utils.images import read_uint8, write_png
from utils.rendering import Field, Rendering
from utils.text import utc_text
from utils.views import Views, split_folds

WORSE_PSNR = 0.01  # dB by which the held-out views may lose; no more than rounding
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


@dataclass(frozen=True)
class JudgedViews:
    """Good views that were judged by a grown model, where it judges them otherwise than before."""

    rows: list[int]  # of the views, first those held out of training, then photos added before, then new ones
    pairs: list[HeldOutPair]  # of those
    maps: list[Tensor]  # anomaly maps (height, width) of those
    scores: list[float]  # of all views


def extended(model: Model, found: Found, held_out: Views) -> Model:
    """Return the model with the photos whose poses were found in field, gallery, calibration, and its record."""
    photos, added = found.posed, views_of(model, found.posed)
    new = [GoodView(added.image(row), added.camera_to_world[row], one.name, NEXT) for row, one in enumerate(photos)]
    known = [replace(view, rendering=one.rendering) for view, one in zip(new, photos)]
    new_surface = any(shows_more(model, view) for view in known)
    field = found.field if new_surface else None
    field = field or extensible(model).extend(model.field, added, model.context, new_surface)
    if new_surface:  # else renderings stay as they were; only what corrects them is more
        pairs = rendered_pairs(field, held_out)
        field, psnr_held = field.calibrate(pairs), psnr_of(pairs)
    else:
        psnr_held = grown_psnr(model, field, held_out)
    grown = replace(model, field=field, gallery=learned_gallery(model, added))
    judged = judged_again(model, grown, held_out, new if new_surface else known)
    poses, number = torch.cat([held_out.camera_to_world, added.camera_to_world]), model.record.learned + 1
    seen = model.record.surface_seen
    measured = new_surface or seen is None or min(seen) < 1.0 - MORE_SEEN
    kept = [
        {"name": f"{number}_{index}", "transform_matrix": pose.tolist()}
        for index, pose in enumerate(added.camera_to_world)
    ]
    record = replace(
        model.record,
        psnr=fmean(psnr_held),
        psnr_by_view=psnr_held,
        trained_views=model.record.trained_views + len(added),
        surface_seen=surface_seen(field, poses, model.intrinsics) if measured else seen,
        photos=[*model.record.photos, *kept],
    )
    rate, confirmed = model.config.score.false_positive_rate, model.scorer.calibration.confirmed
    scorer = Scorer(model.scorer.comparison, Calibration.of(judged.scores, rate, confirmed))
    grown = replace(grown, scorer=scorer, record=record)
    if new_surface and gained(seen, record.surface_seen):
        return replace(grown, good_parts=learn_good_parts(judged.pairs, judged.maps, grown))
    return replace(grown, good_parts=grown_parts(grown, judged))


def grown_psnr(model: Model, field: Field, held_out: Views) -> list[float]:
    """Return the PSNR in dB of each held-out view; those whose references stayed the same are not rendered again."""
    found = list(model.record.psnr_by_view)
    rows = changed_rows(model, field, [(pose, 0) for pose in held_out.camera_to_world])
    for row, value in zip(rows, psnr_of(rendered_pairs(field, held_out.subset(rows)))):
        found[row] = value
    return found


def changed_rows(model: Model, field: Field, references: Sequence[tuple[Tensor, int]]) -> list[int]:
    """Return which references, each a pose (4, 4) and nearest views left out, an extended field makes otherwise."""
    method = extensible(model)
    return [
        row
        for row, (pose, without) in enumerate(references)
        if not method.same_reference(model.field, field, pose, without)
    ]


def psnr_of(pairs: Sequence[tuple[Rendering, Tensor]]) -> list[float]:
    """Return the PSNR in dB of each rendering and what it should show."""
    return psnr_of_each((rendering.colour, truth) for rendering, truth in pairs)


def judged_again(model: Model, grown: Model, held_out: Views, new: Sequence[GoodView]) -> JudgedViews:
    """Compare good views with the references of the grown model; those that stayed the same are not made again."""
    found = {name: torch.tensor(pose) for name, pose in model.record.held_out_poses.items()}
    held = [
        GoodView(held_out.image(row), found[name], name, FARTHER)
        for row, name in enumerate(held_out.names)
        if name in found
    ]
    before, scores = [*held, *added_before(model)], list(model.scorer.calibration.scores)
    rows = changed_rows(model, grown.field, [(view.camera_to_world, view.without) for view in before])
    pairs = [view.pair(grown) for view in [*(before[row] for row in rows), *new]]
    results = [model.scorer.compare(pair.query, pair.reference) for pair in pairs]
    for row, (_, score) in zip(rows, results):
        scores[row] = score
    scores += [score for _, score in results[len(rows) :]]
    rows += range(len(before), len(scores))
    return JudgedViews(rows, pairs, [anomaly_map for anomaly_map, _ in results], scores)


def shows_more(model: Model, view: GoodView) -> bool:
    """Return whether a view shows surface that none of the model's showed."""
    pose = view.camera_to_world.to(model.device)
    seen = model.field.render_reference(pose, model.intrinsics, view.rendering).seen_share()
    return seen is None or seen < 1.0 - MORE_SEEN


def gained(before: tuple[float, float] | None, after: tuple[float, float] | None) -> bool:
    """Return whether more of the surface is seen than before."""
    return before is None or after is None or after[0] > before[0] + MORE_SEEN


def grown_parts(grown: Model, judged: JudgedViews) -> GoodParts:
    """Return what good parts look like to the grown model on the surface as it was, so that maps on it stay too."""
    known = grown.good_parts
    values = torch.full((len(judged.scores), known.values.shape[1]), torch.nan, dtype=known.values.dtype)
    values[: len(known.values)] = known.values
    values[judged.rows] = laid_on(known.surface, judged.pairs, judged.maps, grown)
    return replace(known, values=values)


def added_before(model: Model) -> list[GoodView]:
    """Read the photos that were added earlier."""
    folder = model.config.checkpoint_dir / PHOTOS
    return [
        GoodView(
            torch.from_numpy(read_uint8(folder / f"{one['name']}.png")[..., :3].copy()).float() / 255.0,
            torch.tensor(one["transform_matrix"]),
            one["name"],
            NEXT,
        )
        for one in model.record.photos
    ]


def keep_photos(grown: Model, added: Views) -> None:
    """Write added views where the record of the new state names them."""
    folder = grown.config.checkpoint_dir / PHOTOS
    for image, one in zip(added.images, grown.record.photos[-len(added) :]):
        write_png(folder / f"{one['name']}.png", image.numpy())


def compared(model: Model, grown: Model) -> Change:
    """Return the journal's line of added photos, and whether they are kept: no old view may be shown worse.

    What good views score is no measure of that: where added photos lie near, smaller residuals are expected, and scores
    are in units of these. The threshold follows.
    """
    before, after = figures(model), figures(grown)
    kept = after["psnr"] >= before["psnr"] - WORSE_PSNR
    worse = f"not kept: the held-out views would have {after['psnr']:.2f} dB instead of {before['psnr']:.2f}"
    remark = "" if kept else worse
    return Change(grown.record.learned + 1, "add", utc_text(), kept, before=before, after=after, remark=remark)


def figures(model: Model) -> dict[str, float]:
    """Return the figures by which states are compared."""
    record, calibration = model.record, model.scorer.calibration
    found = {"psnr": record.psnr or 0.0, "views": float(record.trained_views), **threshold_figures(calibration)}
    return found if record.surface_seen is None else {**found, "surface_seen": record.surface_seen[0]}


def threshold_figures(calibration: Calibration) -> dict[str, float]:
    """Return the threshold with its 95 % interval."""
    low, high = calibration.interval or (math.nan, math.nan)
    return {"threshold": calibration.threshold, "low": low, "high": high}
