"""Compares a MAD data set with its known structure."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from data.folders import (
    GOOD,
    find_object,
    folders_below,
    folders_in,
    images_in,
    in_threads,
    is_good,
    unread_in,
)
from data.ground_truth import FOLDER as TRUTH_FOLDER
from data.ground_truth import INVERTED, find_truth, read_mask, truth_folder
from data.mad_facts import STRUCTURES, Structure
from data.masks import images_by_stem
from data.transforms_file import TransformsFile
from utils.errors import InputError, listed_names, nearest
from utils.images import read_image_size
from utils.progress import Progress

ROUGHLY = 0.25  # relative difference allowed between a class and numbers published as "about"


@dataclass
class ClassReport:
    """Findings about one class."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)  # images of train, good and each defect
    masks: int = 0
    sizes: tuple[tuple[int, int], ...] = ()  # width and height, the most frequent first
    angle: float | None = None  # horizontal field of view in degrees
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_verify(args: argparse.Namespace) -> int:
    """Print how a data set differs from what is expected; return 0 where it does not, else 1."""
    structure = STRUCTURES[args.expect]
    reports, problems = verify(args.root, structure, Progress(args.quiet))
    print(class_table(reports))
    for report in reports:
        for kind, sentences in (("wrong", report.problems), ("note", report.notes)):
            for sentence in sentences:
                print(f"{kind}: {report.name}: {sentence}")
    for sentence in problems:
        print(f"wrong: {sentence}")
    count = len(problems) + sum(len(report.problems) for report in reports)
    print(f"{args.root}: {f'{count} differences from' if count else 'agrees with'} {structure.title}.")
    return 1 if count else 0


def verify(root: Path, structure: Structure, progress: Progress) -> tuple[list[ClassReport], list[str]]:
    """Check all classes of a data set.

    Args:
        root: the folder of the classes' folders.
        structure: what is known about the data set.
        progress: shows a bar.
    Returns:
        A report on each class, and what is wrong with the data set as a whole.
    Raises:
        InputError: where there is no class.
    """
    folders = [folder for folder in folders_in(find_object(root)) if (folder / "train").is_dir()]
    if not folders:
        inner = [
            folder.name for folder in folders_in(root) if any((deep / "train").is_dir() for deep in folders_in(folder))
        ]
        hint = f"did you mean {root / inner[0]}?" if inner else "download one with: python -m data download mad-sim"
        raise InputError(f"No folder in {root} has a train folder, so it is no data set; {hint}")
    names, problems = [folder.name for folder in folders], []
    if structure.classes is not None:
        missing = [name for name in structure.classes if name not in names]
        if missing:
            problems.append(f"{len(missing)} of {len(structure.classes)} classes are missing: {listed_names(missing)}")
        for name in names:
            if name not in structure.classes:
                problems.append(f"{name} is no class of {structure.title}{nearest(name, structure.classes)}")
    elif structure.class_count is not None and len(names) != structure.class_count:
        problems.append(f"{len(names)} classes instead of {structure.class_count}")
    return [verify_class(folder, structure) for folder in progress.track(folders, "verify")], problems


def verify_class(folder: Path, structure: Structure) -> ClassReport:
    """Check one class: its counts, its images' sizes, its masks and its poses."""
    report = ClassReport(folder.name)
    kinds = {path.name: path for path in folders_in(folder / "test")}
    splits = {"train": folder / "train" / GOOD, **kinds}
    images = {name: images_in(path) for name, path in splits.items()}
    report.counts = {name: len(paths) for name, paths in images.items()}
    _check_counts(report, structure)
    _check_sizes(report, [path for paths in images.values() for path in paths], structure)
    defects = [kind for kind in kinds if not is_good(kind)]
    _check_names(report, folder, splits, defects)
    if any(folders_in(folder / TRUTH_FOLDER)):
        for kind in defects:
            _check_masks(report, images[kind], truth_folder(folder, kind))
    elif structure.defects:
        report.problems.append(f"no folder {TRUTH_FOLDER}: {', '.join(defects)} have no masks")
    elif defects:
        report.notes.append(f"no folder {TRUTH_FOLDER}: only the metrics of whole images are defined")
    _check_poses(report, folder, structure)
    return report


def _check_counts(report: ClassReport, structure: Structure) -> None:
    counts = report.counts
    queries = sum(counts.values()) - counts["train"]
    if structure.train is not None and counts["train"] != structure.train:
        report.problems.append(f"{counts['train']} training views instead of {structure.train}")
    for found, about, what in zip((counts["train"], queries), structure.about or (), ("training views", "queries")):
        if abs(found / about - 1.0) > ROUGHLY:
            report.notes.append(f"{found} {what} instead of about {about}")
    for kind in (*structure.defects, *([GOOD] if structure.defects else [])):
        if not counts.get(kind):
            report.problems.append(f"no images in test/{kind}")
    for kind in counts.keys() - {"train", GOOD, *structure.defects} if structure.defects else ():
        report.problems.append(f"test/{kind} is no defect type of {structure.title}")
    for what, count in (("training views", counts["train"]), ("queries", queries)):
        if not count:
            report.problems.append(f"no {what}")


def _check_sizes(report: ClassReport, paths: list[Path], structure: Structure) -> None:
    sizes: Counter[tuple[int, int]] = Counter()
    damaged = []
    for path, size in zip(paths, in_threads(_size_or_none, paths)):
        if size is None:
            damaged.append(f"{path.parent.name}/{path.name}")
        else:
            sizes[size] += 1
    report.sizes = tuple(size for size, _ in sizes.most_common())
    if damaged:
        report.problems.append(f"{len(damaged)} images cannot be read: {listed_names(damaged)}")
    if len(sizes) > 1:
        report.problems.append(
            f"images of {len(sizes)} sizes: {listed_names([_size_text(size) for size in report.sizes])}"
        )
    elif structure.size is not None and sizes and report.sizes[0] != structure.size:
        report.problems.append(f"images of {_size_text(report.sizes[0])} instead of {_size_text(structure.size)}")


def _check_names(report: ClassReport, folder: Path, splits: dict[str, Path], defects: list[str]) -> None:
    """Check for what readers would refuse or not look at: equal stems, deeper folders, other formats, no good ones."""
    for name, path in splits.items():
        deeper = [str(image.relative_to(folder)) for place in folders_below(path)[1:] for image in images_in(place)]
        unread = [image.name for image in unread_in(path)]
        if deeper:
            report.problems.append(f"{len(deeper)} images lie deeper than {name}: {listed_names(deeper)}")
        if unread:
            report.problems.append(
                f"{len(unread)} images of {name} are of formats that are not read: {listed_names(unread)}"
            )
        try:
            images_by_stem(path)
        except InputError as error:
            report.problems.append(str(error))
    if defects and len(defects) + 1 == len(splits):
        report.problems.append(
            f"no good queries: name the folder of good ones good ({', '.join(defects)} hold defects)"
        )


def _check_masks(report: ClassReport, images: list[Path], folder: Path | None) -> None:
    truths = {path: truth for path in images if (truth := find_truth(path)) is not None}
    report.masks += len(truths)
    missing = [f"{path.parent.name}/{path.name}" for path in images if path not in truths]
    if missing:
        report.problems.append(f"{len(missing)} queries have no mask: {listed_names(missing)}")
    inside = (
        [] if folder is None else [*images_in(folder), *(place for place in folders_in(folder) if images_in(place))]
    )
    alone = [f"{path.parent.name}/{path.name}" for path in inside if path not in truths.values()]
    if alone:
        report.problems.append(f"{len(alone)} masks have no query: {listed_names(alone)}")
    wrong: dict[str, list[str]] = {}
    for (path, truth), fault in zip(truths.items(), in_threads(lambda pair: _mask_fault(*pair), truths.items())):
        if fault:
            wrong.setdefault(fault, []).append(f"{path.parent.name}/{truth.name}")
    for fault, names in wrong.items():
        report.problems.append(f"{len(names)} masks {fault}: {listed_names(names)}")


def _mask_fault(path: Path, truth: Path) -> str:
    """Return what is wrong with the ground truth of the query ``path``; empty where nothing is."""
    try:
        mask, size = read_mask(truth), _size_or_none(path)
    except (InputError, OSError):
        return "cannot be read or have another size"
    if size != (mask.shape[1], mask.shape[0]):
        return "cannot be read or have another size"
    if not bool(mask.any()):
        return "mark no pixel"
    return "mark most of the image, inverted?" if float(mask.float().mean()) > INVERTED else ""


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


def class_table(reports: list[ClassReport]) -> str:
    """Return a table with one class a line."""
    defects = sorted({kind for report in reports for kind in report.counts} - {"train", GOOD})
    columns = ["train", *defects, GOOD]
    rows = []
    for report in reports:
        counts = [report.counts.get(column, "-") for column in columns]
        size = _size_text(report.sizes[0]) + "*" * (len(report.sizes) > 1) if report.sizes else "-"
        angle = "-" if report.angle is None else f"{report.angle:.2f}"
        verdict = f"{len(report.problems)} wrong" if report.problems else "ok"
        rows.append([report.name, *counts, report.masks, size, angle, verdict])
    heads = ["class", *columns, "masks", "size", "angle", ""]
    alignment = ["left", *["right"] * (len(heads) - 1)]
    return tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=alignment)
