"""Learning on: what photos of a side that was not photographed cost and give when added, against training anew.

    python -m bench.measure.learning_on data/LEGO-3D/01Gorilla data/LEGO-3D/02Unicorn --work /tmp/learning

Ten views from all around are taken away, the rest is trained, and the ten are added as photos without poses: they show
sides that are known. Then the lower half of the views is taken away; a dozen of these are added, others measure the new
side. At last half of the good queries are confirmed as a whole lot, the other half tells how many are called defective.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.measure.command import add_run_options, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.mad import TRUE_POSES, read_views
from data.transforms_file import TransformsFile
from evaluation.metrics import psnr
from evaluation.results import GOOD
from pipeline.config import Config
from pipeline.history import Change, read_journal
from pipeline.learning import confirm_good, undo
from pipeline.model import Model
from utils.checkpoint import write_text
from utils.config import Parser
from utils.errors import exit_code_of
from utils.views import Views, split_held_out

ADDED, MEASURED = 12, 20  # photos, and views that measure the new side, at most
KNOWN = 10  # photos of known sides
STAGES = ("before", "added", "from nothing")


@dataclass(frozen=True)
class Halves:
    """An object whose lower half was not photographed."""

    base: Path  # the object without it
    photos: Path  # of the lower half, to be added
    whole: Path  # the object with the views that are added, trained from nothing
    transforms: TransformsFile  # of the object as it is
    old: list[int]  # frames of the held-out views of the base
    new: list[int]  # of the lower half, neither added nor trained on


@dataclass(frozen=True)
class Cost:
    """What a command cost."""

    seconds: float  # wall clock
    processor_seconds: float  # of all cores


@dataclass(frozen=True)
class KnownSides:
    """What adding photos of sides that are known costs."""

    photos: int  # whose poses were found
    adding: Cost
    from_nothing: Cost
    change: Change  # the journal's line
    auroc: tuple[float, float]  # of images, before and after


@dataclass(frozen=True)
class State:
    """An object at one stage."""

    results: dict[str, Any]  # results.json
    old_psnr: float  # dB, mean over the held-out views
    new_psnr: float  # dB, mean over views of the new side
    new_seen: float  # share of what those show that a training view showed, mean
    cost: Cost  # of the whole command


@dataclass(frozen=True)
class Confirmation:
    """What confirming the first half of the good queries changed."""

    photos: int
    others: int
    above: tuple[int, int]  # of the others, above the threshold before and after
    interval: tuple[float, float]  # upper end of the threshold's 95 % interval over its lower one, before and after


@dataclass(frozen=True)
class Outcome:
    """What was found of an object."""

    known: KnownSides
    states: dict[str, State]  # by stage
    photos: int  # of the new side, whose poses were found
    confirmed: Confirmation


def main(argv: list[str]) -> int:
    """Measure the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="object folders in the MAD layout")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made and trained")
    add_run_options(parser)
    add_page_options(parser, "learning_on")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    found: dict[str, Outcome] = {}
    for folder in args.objects:
        found[folder.resolve().name] = measure_object(folder.resolve(), args.work, run_options(args))
        write_section(args.page, args.section, section_of(found))  # now: the next may fail
    print(f"Table: {args.page}")
    return 0


def measure_object(folder: Path, work: Path, options: Sequence[str]) -> Outcome:
    """Measure adding photos of known sides, of a new side, and confirming."""
    known = measure_known_sides(folder, work, options)
    halves = split_object(folder, work / "data")
    states = {"before": measured(halves.base, halves, work, [*options, "--overwrite"])}
    states["added"] = measured(halves.base, halves, work, [*options, "--add", str(halves.photos)])
    place = work / "ckpts" / halves.base.name
    photos = posed_photos(last_addition(place))
    confirmed = measure_confirming(Model.load(place), states["added"].results, halves.base)
    states["from nothing"] = measured(halves.whole, halves, work, [*options, "--overwrite"])
    return Outcome(known, states, photos, confirmed)


def measure_known_sides(folder: Path, work: Path, options: Sequence[str]) -> KnownSides:
    """Add photos from between the views that an object was trained on."""
    count, place = len(TransformsFile.read(folder).frames), work / "data"
    added = [round((number + 0.5) * count / KNOWN) for number in range(KNOWN)]
    base, whole, photos = (place / f"{folder.name}_{kind}" for kind in ("less", "all", "known_photos"))
    write_object(folder, base, [row for row in range(count) if row not in added])
    write_object(folder, whole, list(range(count)))
    write_photos(folder, photos, added)
    command_cost(base, work, [*options, "--overwrite"])
    before = tested(base, work)["image_auroc"]
    adding = command_cost(base, work, [*options, "--add", str(photos)])
    after = tested(base, work)["image_auroc"]
    from_nothing = command_cost(whole, work, [*options, "--overwrite"])
    change = last_addition(work / "ckpts" / base.name)
    return KnownSides(posed_photos(change), adding, from_nothing, change, (before, after))


def last_addition(checkpoint: Path) -> Change:
    """Return the journal's line of the photos that were added last."""
    return next(change for change in reversed(read_journal(checkpoint)) if change.kind == "add")


def posed_photos(change: Change) -> int:
    """Return how many photos were added."""
    return sum(not photo["remark"] for photo in change.photos)


def split_object(folder: Path, place: Path) -> Halves:
    """Write an object without its lower half, with a part of it, and that part as photos."""
    transforms = TransformsFile.read(folder)
    order = transforms.cameras().camera_to_world[:, 2, 3].argsort(descending=True).tolist()
    upper, lower = sorted(order[: len(order) // 2]), sorted(order[len(order) // 2 :])
    added = lower[:: max(1, len(lower) // ADDED)][:ADDED]
    left = [row for row in lower if row not in added]
    measured_rows = left[:: max(1, len(left) // MEASURED)][:MEASURED]
    base, whole, photos = (place / f"{folder.name}_{kind}" for kind in ("upper", "whole", "photos"))
    write_object(folder, base, upper)
    write_object(folder, whole, upper + added)
    write_photos(folder, photos, added)
    held_out = [upper[row] for row in split_held_out(len(upper), Config().val_every)[1]]
    return Halves(base, photos, whole, transforms, held_out, measured_rows)


def write_object(folder: Path, target: Path, rows: Sequence[int]) -> None:
    """Write an object with some of its views and all of its queries."""
    transforms = TransformsFile.read(folder)
    shutil.rmtree(target, ignore_errors=True)
    for part in ("test", "ground_truth"):
        shutil.copytree(folder / part, target / part)
    if (folder / TRUE_POSES).is_file():
        shutil.copy(folder / TRUE_POSES, target)
    write_photos(folder, target / "train" / GOOD, rows)
    paths = transforms.cameras().paths
    frames = [{**transforms.frames[row], "file_path": f"train/{GOOD}/{paths[row].name}"} for row in rows]
    write_text(target / "transforms.json", json.dumps({**transforms.content, "frames": frames}))


def write_photos(folder: Path, target: Path, rows: Sequence[int]) -> None:
    """Copy some of an object's views into a folder of photos."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    paths = TransformsFile.read(folder).cameras().paths
    for row in rows:
        shutil.copy(paths[row], target)


def command_cost(folder: Path, work: Path, options: Sequence[str]) -> Cost:
    """Run a command that trains, or lets learn on; return what it cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = run_script(["anomaly_nerf_lego.py", *object_options(folder, work), *options])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(cost.seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def tested(folder: Path, work: Path) -> dict[str, Any]:
    """Test an object; return its results.json."""
    run_script(["auroc_test.py", *object_options(folder, work), "--quiet"])
    found: dict[str, Any] = json.loads((work / "output" / folder.name / "results.json").read_text(encoding="utf-8"))
    return found


def measured(folder: Path, halves: Halves, work: Path, options: Sequence[str]) -> State:
    """Run a command that trains, or lets learn on, and measure what it gave."""
    cost = command_cost(folder, work, options)
    results = tested(folder, work)
    model = Model.load(work / "ckpts" / folder.name)
    size = max(model.intrinsics.width, model.intrinsics.height)
    (old, _), (new, seen) = (
        quality(model, read_views(halves.transforms, size, model.config.background_rgb, rows))
        for rows in (halves.old, halves.new)
    )
    return State(results, old, new, seen, cost)


def quality(model: Model, views: Views) -> tuple[float, float]:
    """Return the mean PSNR in dB of views at their poses, and the mean share of what they show that was seen."""
    values, seen = [], []
    for index, pose in enumerate(views.camera_to_world):
        image = views.image(index).to(model.device)
        reference = model.reference(image, pose)
        values.append(psnr(reference.colour.cpu(), image.cpu()))
        seen.append(reference.seen_share() or 0.0)
    return float(torch.tensor(values).mean()), float(torch.tensor(seen).mean())


def measure_confirming(model: Model, results: dict[str, Any], folder: Path) -> Confirmation:
    """Confirm every second good query as one lot, count the others above the threshold, and take it back."""
    good = [query for query in results["queries"] if query["defect_type"] == GOOD]
    scores = [query["anomaly_score"] for query in good[1::2]]
    config = replace(model.config, data_dir=str(folder.parent), quiet=True)
    paths = [next((folder / "test").glob(f"{query['name']}.*")) for query in good[::2]]
    change = confirm_good(config, paths, whole_lot=True)
    undo(config)
    each = (change.before, change.after)
    above = [sum(score > one["threshold"] for score in scores) for one in each]
    widths = [one["high"] / one["low"] for one in each]
    return Confirmation(len(paths), len(scores), (above[0], above[1]), (widths[0], widths[1]))


def section_of(found: dict[str, Outcome]) -> str:
    """Return the section's Markdown."""
    first = next(iter(found.values())).states["before"].results
    where = describe_measurement(first["environment"], first["config"], first["remark"])
    costs, sides, gains, confirming = [], [], [], []
    for name, outcome in found.items():
        known, states, confirmed = outcome.known, outcome.states, outcome.confirmed
        costs.append([name, f"{known.photos} of {KNOWN} of known sides", *shares(known.adding, known.from_nothing)])
        sides.append([name, *known_cells(known)])
        new = shares(states["added"].cost, states["from nothing"].cost)
        costs.append([name, f"{outcome.photos} of {ADDED} of a new side", *new])
        for label, value in (
            ("old held-out views, PSNR", lambda one: f"{one.old_psnr:.2f} dB"),
            ("new side, PSNR", lambda one: f"{one.new_psnr:.2f} dB"),
            ("new side, seen", lambda one: f"{one.new_seen:.1%}"),
            ("image AUROC", lambda one: f"{one.results['image_auroc']:.4f}"),
            ("good queries above the threshold", lambda one: f"{one.results['fpr']:.1%}"),
        ):
            gains.append([name, label, *(value(states[stage]) for stage in STAGES)])
        counts = [f"{number} of {confirmed.others}" for number in confirmed.above]
        widths = [f"{width:.2f}" for width in confirmed.interval]
        confirming.append([name, str(confirmed.photos), *counts, *widths])
    heads = ["object", "photos", "adding", "from nothing", "share", "adding, CPU", "from nothing, CPU", "share, CPU"]
    tables = [
        markdown_table(heads, costs),
        markdown_table(["object", "held-out views, PSNR", "image AUROC", "threshold", "kept"], sides),
        markdown_table(["object", "", *STAGES], gains),
        markdown_table(
            ["object", "photos", "others above before", "after", "interval, upper / lower, before", "after"], confirming
        ),
    ]
    text = (
        f"Known sides: {KNOWN} photos from between the views. New side: the lower half of the views is left out of the "
        f"first training; {ADDED} of it are added. From nothing: trained with them at their poses. Poses of added "
        "photos are not given. Whole commands, start included."
    )
    before_and_after = "Known sides, before and after adding:"
    middle = "What the new side gains:"
    last = (
        "After adding, every second good query is confirmed as a lot; counted are the others that are called defective."
    )
    head = f"## Learning on\n\n`python -m bench.measure.learning_on` on {', '.join(found)}: {where}\n\n{text}"
    return "\n\n".join([head, tables[0], before_and_after, tables[1], middle, tables[2], last, tables[3]])


def known_cells(known: KnownSides) -> list[str]:
    """Return the cells of what adding photos of known sides changed."""
    change, (before, after) = known.change, known.auroc
    pairs = [(change.before["psnr"], change.after["psnr"]), (before, after)]
    cells = [f"{old:.{digits}f} to {new:.{digits}f}" for (old, new), digits in zip(pairs, (2, 4))]
    return [*cells, f"{change.before['threshold']:.2f} to {change.after['threshold']:.2f}", change.remark or "yes"]


def shares(adding: Cost, from_nothing: Cost) -> list[str]:
    """Return the cells of two costs and their ratios."""
    return [
        f"{adding.seconds:.1f} s",
        f"{from_nothing.seconds:.1f} s",
        f"{adding.seconds / from_nothing.seconds:.2f}",
        f"{adding.processor_seconds:.1f} s",
        f"{from_nothing.processor_seconds:.1f} s",
        f"{adding.processor_seconds / from_nothing.processor_seconds:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
