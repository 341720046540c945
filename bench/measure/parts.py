"""Verdicts on parts from several photos, against those on the same photos alone.

    python -m data generate --toy snail --specimens 8 --out data/samples/snail
    python -m bench.measure.parts data/samples/snail --work /tmp/parts

Each photo is detected once; parts are made of 2, 4 and 8 photos of a specimen, none used twice for one number.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.measure.command import add_run_options, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.synthetic.defects import SMALLEST_AREA
from data.synthetic.specimens import SpecimenTruth, read_specimen_truths
from evaluation.results import DEFECTIVE, GOOD
from pipeline.model import Model
from pipeline.parts import COLOUR, SHAPE, PartDetection, Shot
from utils.config import Parser, values_of
from utils.device import environment
from utils.errors import exit_code_of
from utils.progress import Progress
from utils.text import MISSING, format_decimal

WAYS = ("part", "best photo", "mean of photos", "one photo")
RESAMPLES = 2000
COLUMNS = ["object", "photos", "parts", *WAYS]
MORE = [
    "object",
    "photos",
    "good called defective",
    "defects found",
    "kind right",
    "confirmed by",
    "shown by",
    "off by",
]


@dataclass(frozen=True)
class Outcome:
    """One part made of some photos of a specimen."""

    specimen: str
    kind: str  # good, or the type of its defect
    scores: tuple[float, ...]  # by the ``WAYS``
    found: bool  # whether it is called defective
    named: str | None  # kind of its most anomalous defect
    confirmed: int  # photos that confirm that
    shown: int  # photos in which the true defect shows
    off: float | None  # distance from that to the true one, scene units

    @property
    def counts(self) -> bool:
        """Whether the part is good, or one of its photos shows the defect."""
        return self.kind == GOOD or self.shown > 0


def main(argv: list[str]) -> int:
    """Measure the objects that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="toys with specimens")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; what is trained there is used")
    parser.add_argument(
        "--photos", nargs="+", type=int, default=[1, 2, 4, 8], help="photos of a part (default: 1 2 4 8)"
    )
    add_run_options(parser)
    add_page_options(parser, "parts")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    found: dict[str, dict[int, list[Outcome]]] = {}
    for folder in args.objects:
        run_script(["anomaly_nerf_lego.py", *object_options(folder, args.work), *run_options(args)])
        model = Model.load(args.work / "ckpts" / folder.resolve().name, args.device)
        found[folder.resolve().name] = measure_object(model, folder, args)
        where = describe_measurement(environment(model.device), values_of(model.config), "", varied=["score"])
        write_section(args.page, args.section, section_of(found, where, args.section.replace("_", " ").capitalize()))
    print(f"Table: {args.page}")
    return 0


def measure_object(model: Model, folder: Path, args: argparse.Namespace) -> dict[int, list[Outcome]]:
    """Judge parts of each number of photos; see the head of this file."""
    outcomes: dict[int, list[Outcome]] = {count: [] for count in args.photos}
    for truth in Progress(args.quiet).track(read_specimen_truths(folder), folder.resolve().name):
        name = f"{truth.kind}/{truth.number}"
        taken = [model.shoot(path, None, f"{name}/{path.stem}") for path in truth.photos]
        for count in args.photos:
            for first in range(0, len(taken) - count + 1, count):
                chosen = range(first, first + count)
                if any(taken[one].detection.pose_found for one in chosen):
                    part = model.judge_shots([taken[one] for one in chosen], name)
                    outcomes[count].append(outcome_of(truth, chosen, taken, part))
    return outcomes


def outcome_of(truth: SpecimenTruth, chosen: Sequence[int], taken: Sequence[Shot], part: PartDetection) -> Outcome:
    """Compare the verdict on a part of the ``chosen`` photos with the truth, and with the photos' own scores."""
    alone = [taken[one].detection.anomaly_score for one in chosen]
    worst = part.defects[0] if part.defects else None
    off = None
    if worst is not None and truth.centre is not None:
        off = float(np.linalg.norm(np.array(worst.centre) - np.array(truth.centre)))
    return Outcome(
        specimen=part.name,
        kind=truth.kind,
        scores=(part.anomaly_score / part.threshold, max(alone), float(np.mean(alone)), alone[0]),
        found=part.verdict == DEFECTIVE,
        named=None if worst is None else worst.kind,
        confirmed=0 if worst is None else len(worst.confirmed_by),
        shown=sum(truth.visible[one] >= SMALLEST_AREA for one in chosen),
        off=off,
    )


def auroc_with_interval(outcomes: Sequence[Outcome], way: int, seed: int = 0) -> tuple[float, float, float]:
    """Return the AUROC of the scores of a way, and its 95 % interval, by bootstrap over the specimens.

    Parts of one specimen are drawn together. NaN where there are not both good and defective ones.
    """
    good = [one for one in outcomes if one.kind == GOOD]
    defective = [one for one in outcomes if one.kind != GOOD]
    if not good or not defective:
        return float("nan"), float("nan"), float("nan")
    scores = [np.array([one.scores[way] for one in group]) for group in (defective, good)]
    above = (scores[0][:, None] > scores[1]) + 0.5 * (scores[0][:, None] == scores[1])  # (defective, good)
    random, values = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        rows, columns = weights_of(defective, random), weights_of(good, random)
        values.append(rows @ above @ columns / (rows.sum() * columns.sum()))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(above.mean()), float(low), float(high)


def weights_of(outcomes: Sequence[Outcome], random: np.random.Generator) -> np.ndarray:
    """Return how often each of the outcomes (parts,) is drawn when their specimens are resampled."""
    names = sorted({one.specimen for one in outcomes})
    drawn = dict(zip(names, random.multinomial(len(names), np.full(len(names), 1.0 / len(names)))))
    return np.array([drawn[one.specimen] for one in outcomes], float)


def section_of(found: dict[str, dict[int, list[Outcome]]], where: str, title: str = "Parts") -> str:
    """Return the section's Markdown."""
    rows, more = [], []
    for name, by_count in found.items():
        for count, outcomes in by_count.items():
            rows.append(auroc_row(name, count, outcomes))
            more.append(verdict_row(name, count, outcomes))
    head = f"## {title}\n\n`python -m bench.measure.parts` on {', '.join(found)}: {where}"
    note = (
        "AUROC of whole parts, good against defective, by the score of the part, the largest and the mean score of its "
        "photos, and the score of one of them; 95 % intervals by bootstrap over the specimens. Counted are good parts "
        "and those whose defect shows in a photo at least."
    )
    text = (
        "At the threshold: shares of good and of defective parts that are called defective; of these the share whose "
        "most anomalous defect is rightly called one of shape or of colour, the mean numbers of photos that confirm it "
        "and that truly show it, and the median distance of its centre from the true one, in scene units (the object "
        "is about 1.5 large)."
    )
    return "\n\n".join([head, note, markdown_table(COLUMNS, rows), text, markdown_table(MORE, more)])


def auroc_row(name: str, count: int, outcomes: Sequence[Outcome]) -> list[str]:
    """Return a row of the first table."""
    counted = [one for one in outcomes if one.counts]
    cells = []
    for way in range(len(WAYS)):
        value, low, high = auroc_with_interval(counted, way)
        cells.append(f"{format_decimal(value, 3)} ({format_decimal(low, 3)} to {format_decimal(high, 3)})")
    return [name, str(count), str(len(counted)), *cells]


def verdict_row(name: str, count: int, outcomes: Sequence[Outcome]) -> list[str]:
    """Return a row of the second table."""
    good = [one.found for one in outcomes if one.kind == GOOD]
    defective = [one for one in outcomes if one.kind != GOOD and one.counts]
    found = [one for one in defective if one.found]
    right = [one.named == (COLOUR if one.kind == "Stains" else SHAPE) for one in found]
    off = [one.off for one in found if one.off is not None]
    return [
        name,
        str(count),
        f"{share(good)} of {len(good)}",
        f"{share([one.found for one in defective])} of {len(defective)}",
        share(right),
        format_decimal(float(np.mean([one.confirmed for one in found])), 1) if found else MISSING,
        format_decimal(float(np.mean([one.shown for one in found])), 1) if found else MISSING,
        format_decimal(float(np.median(off)), 3) if off else MISSING,
    ]


def share(values: Sequence[bool]) -> str:
    """Format the share of True as a percentage.

    >>> share([True, False, False]), share([])
    ('33 %', '–')
    """
    return f"{100 * np.mean(values):.0f} %" if values else MISSING


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
