"""``python -m data doctor``: proves, before any training, that an object's folder can be trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.doctor.fix import Fix, write_fixed
from data.doctor.frames import read_frame_table
from data.doctor.hypotheses import Hypothesis, PosedMasks, apply_to_poses, diagnose
from data.doctor.matches import FEWEST_MATCHES, diagnose_matches, find_matches
from data.doctor.page import write_page
from data.doctor.quick import (
    FAR,
    GOOD_VERDICT,
    NEAR,
    SCALE,
    Check,
    check_aim,
    check_frames,
    fitting_scale,
    looking_distance,
    quick_checks,
)
from data.doctor.report import DoctorReport
from data.doctor.silhouettes import check_silhouettes, read_pictures
from data.doctor.verdict import (
    check_fit,
    check_matches,
    check_scale,
    foreign_views,
    odd_views,
    scale_factor,
    unexplained,
)
from data.transforms_file import TransformsFile
from utils.errors import InputError
from utils.progress import Progress

__all__ = ["DoctorReport", "examine", "mend", "quick_checks", "run"]

EXIT_GOOD, EXIT_BAD = 0, 1


def examine(folder: Path, masks: Path | None, background: str, progress: Progress) -> DoctorReport:
    """Examine an object's folder.

    Args:
        folder: in the MAD layout.
        masks: a folder with a mask for each picture, 255 = object; None: masks beside them, alpha, or background.
        background: "white" or "black", the colour behind the object.
    Errors:
        InputError or FileNotFoundError for what cannot be read or understood at all.
    """
    sheet = read_frame_table(TransformsFile.read(folder))
    checks = check_frames(sheet)
    pictures = read_pictures(sheet, masks, background, progress)
    seen = check_silhouettes(pictures)
    checks.append(seen)
    if seen.verdict != GOOD_VERDICT:
        return examine_matches(DoctorReport(sheet, checks, pictures, None, Fix(Hypothesis())), progress)
    subject = PosedMasks(
        sheet.matrices[pictures.rows],
        pictures.masks,
        pictures.camera,
        tuple(sheet.paths[row].name for row in pictures.rows),
    )
    diagnosis = diagnose(subject, progress)
    checks += check_fit(diagnosis, subject.names)
    remedy = Fix(diagnosis.best)
    if not unexplained(diagnosis.agreement):
        poses = apply_to_poses(subject.matrices, subject.names, diagnosis.best)
        checks = [check for check in checks if check.name != SCALE]
        checks.append(check_scale(diagnosis.fit, poses))
        views = {*odd_views(diagnosis.agreement), *foreign_views(diagnosis.agreement, diagnosis.best.shift)}
        dropped = tuple(sorted(int(pictures.rows[view]) for view in views))
        remedy = Fix(diagnosis.best, scale_factor(diagnosis.fit, poses), dropped)
    return DoctorReport(sheet, checks, pictures, diagnosis, remedy)


def examine_matches(found: DoctorReport, progress: Progress) -> DoctorReport:
    """The examination of pictures without silhouettes, completed by what they have in common."""
    matches = find_matches(found.sheet, progress)
    matrices = found.sheet.matrices[matches.rows]
    names = [found.sheet.paths[row].name for row in matches.rows]
    best = Hypothesis()
    if len(matches) >= FEWEST_MATCHES:
        diagnosis = diagnose_matches(matrices, names, matches)
        found.checks.extend(check_matches(diagnosis))
        best = diagnosis.best
    poses = apply_to_poses(matrices, names, best)
    found.checks[:] = [check for check in found.checks if check.name != SCALE]
    found.checks.extend(check for check in check_aim(poses, found.sheet.intrinsics) if check.name == SCALE)
    distance = looking_distance(poses)
    scale = 1.0 if NEAR < distance < FAR else fitting_scale(distance, distance)
    ends = {best.shift: (int(matches.rows[-1 if best.shift > 0 else 0]),), 0: ()}
    return replace(found, remedy=Fix(best, scale, ends[best.shift]))


def mend(examination: DoctorReport, out: Path) -> None:
    """Write a mended copy of the folder to ``out``; errors as ``write_fixed``."""
    if examination.diagnosis is not None and unexplained(examination.diagnosis.agreement):
        raise InputError(
            f"{examination.sheet.folder} cannot be mended: its poses do not fit its pictures, and no known mistake "
            f"explains it; find the poses anew with python -m data capture."
        )
    write_fixed(examination.sheet, examination.remedy, out)


def table(checks: Sequence[Check]) -> str:
    """The checks as lines of text, advice below what needs it."""
    names, figures = max(len(check.name) for check in checks), max(len(check.figure) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.name:{names}}  {check.figure:{figures}}  {check.verdict}")
        lines += [f"{'':{names}}  -> {check.advice}"] if check.advice else []
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Examine the folder that the command line names: 0 good, 1 something to fix."""
    if args.masks is not None and not args.masks.is_dir():
        raise InputError(f"There is no folder {args.masks} of masks; correct --masks.")
    if args.fix is not None and args.fix.exists():
        raise InputError(f"There is {args.fix} already; name a new folder with --fix.")
    progress = Progress(args.quiet)
    found = examine(args.folder, args.masks, args.background, progress)
    print(table(found.checks))
    if args.page is not None:
        write_page(args.page, found)
        progress.info(f"Page: {args.page}")
    if found.good:
        print(f"{args.folder}: good")
        return EXIT_GOOD
    print(f"{args.folder}: not good")
    if args.fix is not None:
        mend(found, args.fix)
        print(f"Mended copy: {args.fix} ({told(found)})")
    else:
        print("--fix OUT writes a mended copy.")
    return EXIT_BAD


def told(found: DoctorReport) -> str:
    """What the mended copy has other than the original."""
    remedy = found.remedy
    words = [f"{len(remedy.dropped)} frames left out"] if remedy.dropped else []
    words += [f"translations times {remedy.scale:.4g}"] if remedy.scale != 1.0 else []
    words += [remedy.best.words()] if remedy.best != Hypothesis() else []
    if remedy.best.picture != Hypothesis().picture:
        words.append("training pictures flipped, the queries under test/ left as they were")
    return "; ".join(words) or "frames and pictures matched"
