"""``python -m data verify``: a MAD data set against its known structure."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data.folders import GOOD, find_object, folders_in, images_in, in_threads
from data.mad_facts import STRUCTURES, Structure
from data.transforms_file import TransformsFile
from utils.errors import InputError, nearest
from utils.images import read_image_size
from utils.progress import Progress

ROUGHLY = 0.25  # by which a class may differ from what its authors give as "about"
SHOWN = 3  # names that a sentence lists


@dataclass
class ClassReport:
    """What was found of one class."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)  # pictures of train, of good and of each defect
    masks: int = 0
    sizes: tuple[tuple[int, int], ...] = ()  # width and height, the most frequent first
    angle: float | None = None  # horizontal field of view in degrees
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(args: argparse.Namespace) -> int:
    """Check a data set; return 0 where it is as it should be, else 1."""
    structure = STRUCTURES[args.expect]
    reports, problems = verify(args.root, structure, Progress(args.quiet))
    print(table(reports))
    for report in reports:
        for kind, sentences in (("wrong", report.problems), ("note", report.notes)):
            for sentence in sentences:
                print(f"{kind}: {report.name}: {sentence}")
    for sentence in problems:
        print(f"wrong: {sentence}")
    count = len(problems) + sum(len(report.problems) for report in reports)
    print(f"{args.root}: {f'{count} differences from' if count else 'as known of'} {structure.title}.")
    return 1 if count else 0


def verify(root: Path, structure: Structure, progress: Progress) -> tuple[list[ClassReport], list[str]]:
    """All classes of a data set.

    Args:
        root: the folder of the classes' folders.
        structure: what is known of the data set; what is not known is not judged.
        progress: where the bar goes.
    Returns:
        A report of each class that is there, and what is wrong with the data set as a whole.
    """
    folders = [folder for folder in folders_in(find_object(root)) if (folder / "train").is_dir()]
    if not folders:
        inner = [
            folder.name for folder in folders_in(root) if any((deep / "train").is_dir() for deep in folders_in(folder))
        ]
        hint = f"did you mean {root / inner[0]}?" if inner else "fetch one with: python -m data download mad-sim"
        raise InputError(f"No folder in {root} has a train folder, so there is no class of a data set; {hint}")
    names, problems = [folder.name for folder in folders], []
    if structure.classes is not None:
        missing = [name for name in structure.classes if name not in names]
        if missing:
            problems.append(f"{len(missing)} of {len(structure.classes)} classes are missing: {_listed(missing)}")
        for name in names:
            if name not in structure.classes:
                problems.append(f"{name} is no class of {structure.title}{nearest(name, structure.classes)}")
    elif structure.class_count is not None and len(names) != structure.class_count:
        problems.append(f"{len(names)} classes instead of {structure.class_count}")
    return [verify_class(folder, structure) for folder in progress.track(folders, "verify")], problems


def verify_class(folder: Path, structure: Structure) -> ClassReport:
    """One class: its counts, its pictures' sizes, its masks and its poses."""
    report = ClassReport(folder.name)
    kinds = {path.name: path for path in folders_in(folder / "test")}
    splits = {"train": folder / "train" / GOOD, **kinds}
    pictures = {name: images_in(path) if path.is_dir() else [] for name, path in splits.items()}
    report.counts = {name: len(paths) for name, paths in pictures.items()}
    _check_counts(report, structure)
    _check_sizes(report, [path for paths in pictures.values() for path in paths], structure)
    for kind in kinds.keys() - {GOOD}:
        _check_masks(report, pictures[kind], folder / "ground_truth" / kind)
    _check_poses(report, folder, structure)
    return report


def _check_counts(report: ClassReport, structure: Structure) -> None:
    counts = report.counts
    queries = sum(counts.values()) - counts["train"]
    if structure.train is not None and counts["train"] != structure.train:
        report.problems.append(f"{counts['train']} training views instead of {structure.train}")
    for found, about, what in zip((counts["train"], queries), structure.about or (), ("training views", "queries")):
        if abs(found / about - 1.0) > ROUGHLY:
            report.notes.append(f"{found} {what}, about {about} are usual")
    for kind in (*structure.defects, *([GOOD] if structure.defects else [])):
        if not counts.get(kind):
            report.problems.append(f"no pictures in test/{kind}")
    for kind in counts.keys() - {"train", GOOD, *structure.defects} if structure.defects else ():
        report.problems.append(f"test/{kind} is no kind of {structure.title}")
    for what, count in (("training views", counts["train"]), ("queries", queries)):
        if not count:
            report.problems.append(f"no {what}")


def _check_sizes(report: ClassReport, paths: list[Path], structure: Structure) -> None:
    sizes: Counter[tuple[int, int]] = Counter()
    decode_errors = []
    for path, size in zip(paths, in_threads(_size_or_none, paths)):
        if size is None:
            decode_errors.append(f"{path.parent.name}/{path.name}")
        else:
            sizes[size] += 1
    report.sizes = tuple(size for size, _ in sizes.most_common())
    if decode_errors:
        report.problems.append(f"{len(decode_errors)} pictures cannot be read: {_listed(decode_errors)}")
    if len(sizes) > 1:
        report.problems.append(
            f"pictures of {len(sizes)} sizes: {_listed([_size_text(size) for size in report.sizes])}"
        )
    elif structure.size is not None and sizes and report.sizes[0] != structure.size:
        report.problems.append(f"pictures of {_size_text(report.sizes[0])} instead of {_size_text(structure.size)}")


def _check_masks(report: ClassReport, pictures: list[Path], folder: Path) -> None:
    masks = {path.stem: path for path in images_in(folder)} if folder.is_dir() else {}
    report.masks += len(masks)
    wanted = {f"{path.stem}_mask": path for path in pictures}
    missing = [f"{path.parent.name}/{path.name}" for stem, path in wanted.items() if stem not in masks]
    if missing:
        report.problems.append(f"{len(missing)} queries have no mask: {_listed(missing)}")
    alone = [f"{folder.name}/{path.name}" for stem, path in masks.items() if stem not in wanted]
    if alone:
        report.problems.append(f"{len(alone)} masks have no query: {_listed(alone)}")
    pairs = [(path, masks[stem]) for stem, path in wanted.items() if stem in masks]
    sizes = in_threads(lambda pair: (_size_or_none(pair[0]), _size_or_none(pair[1])), pairs)
    other = [f"{folder.name}/{mask.name}" for (_, mask), (size, own) in zip(pairs, sizes) if own is None or own != size]
    if other:
        report.problems.append(f"{len(other)} masks cannot be read or have another size: {_listed(other)}")


def _check_poses(report: ClassReport, folder: Path, structure: Structure) -> None:
    if not (folder / "transforms.json").is_file():
        sentence = "no transforms.json; find the poses with: python -m data capture"
        (report.problems if structure.posed else report.notes).append(sentence)
        return
    try:
        report.angle = math.degrees(TransformsFile.read(folder).cameras().angle)
    except (InputError, OSError) as error:
        report.problems.append(str(error))


def _size_or_none(path: Path) -> tuple[int, int] | None:
    try:
        return read_image_size(path)
    except InputError:
        return None


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _listed(names: list[str]) -> str:
    """The first names, and how many there are besides.

    >>> _listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def table(reports: list[ClassReport]) -> str:
    """The classes, one a line."""
    kinds = sorted({kind for report in reports for kind in report.counts} - {"train", GOOD})
    columns = ["train", *kinds, GOOD]
    lines = [["class", *columns, "masks", "size", "angle", ""]]
    for report in reports:
        counts = [str(report.counts.get(column, "-")) for column in columns]
        size = _size_text(report.sizes[0]) + ("*" if len(report.sizes) > 1 else "") if report.sizes else "-"
        angle = "-" if report.angle is None else f"{report.angle:.2f}"
        verdict = f"{len(report.problems)} wrong" if report.problems else "ok"
        lines.append([report.name, *counts, str(report.masks), size, angle, verdict])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )
