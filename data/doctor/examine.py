"""Examines, before any training, whether an object's folder can be trained on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.doctor.fit import fit_hull
from data.doctor.fix import Fix, write_fixed
from data.doctor.frames import FrameTable, read_frame_table
from data.doctor.hypotheses import COARSE_CELLS, Hypothesis, PosedMasks, apply_to_poses, diagnose, turned_views
from data.doctor.matches import FEWEST_MATCHES, diagnose_matches, find_matches
from data.doctor.page import write_page
from data.doctor.quick import (
    BAD_VERDICT,
    FAR,
    GOOD_VERDICT,
    NEAR,
    SCALE,
    Check,
    check_aim,
    check_frames,
    fitting_scale,
    looking_distance,
)
from data.doctor.report import DoctorReport
from data.doctor.silhouettes import Silhouettes, check_colours, check_silhouettes, is_inverted, read_silhouettes
from data.doctor.verdict import (
    check_fit,
    check_matches,
    check_scale,
    check_turned,
    foreign_views,
    is_unexplained,
    odd_views,
    scale_factor,
)
from data.transforms_file import TransformsFile
from utils.errors import InputError
from utils.progress import Progress

EXIT_GOOD, EXIT_BAD = 0, 1


def run_doctor(args: argparse.Namespace) -> int:
    """Print the findings about an object's folder; return 0 where it is good, 1 where something needs fixing."""
    if args.masks is not None and not args.masks.is_dir():
        raise InputError(f"There is no folder {args.masks} of masks; correct --masks.")
    if args.fix is not None and args.fix.exists():
        raise InputError(f"{args.fix} exists already; name a new folder with --fix.")
    progress = Progress(args.quiet)
    report = examine(args.folder, args.masks, args.background, progress)
    print(report.table())
    if args.page is not None:
        write_page(args.page, report)
        progress.info(f"Page: {args.page}")
    if report.good:
        print(f"{args.folder}: good")
        return EXIT_GOOD
    print(f"{args.folder}: not good")
    if args.fix is not None:
        write_fixed_copy(report, args.fix)
        print(f"Fixed copy: {args.fix} ({report.changes()})")
    elif not report.unfixable:
        print("--fix OUT writes a fixed copy.")
    return EXIT_BAD


def examine(folder: Path, masks: Path | None, background: str, progress: Progress) -> DoctorReport:
    """Examine an object's folder.

    Args:
        folder: in the MAD layout.
        masks: a folder with a mask for each image, 255 = object; None: masks beside the images, alpha or background.
        background: a key of ``BACKGROUNDS``, the colour behind the object.
        progress: shows bars.
    Raises:
        FileNotFoundError, InputError: for what cannot be read or understood at all.
    """
    frames = read_frame_table(TransformsFile.read(folder))
    checks = check_frames(frames)
    silhouettes = read_silhouettes(frames, masks, background, progress)
    checks.append(check_silhouettes(silhouettes))
    if checks[-1].verdict == BAD_VERDICT:
        checks[-1] = with_proof(checks[-1], frames, silhouettes)
        return DoctorReport(frames, checks, silhouettes, None, Fix(Hypothesis()))
    if checks[-1].verdict != GOOD_VERDICT:
        return examine_matches(DoctorReport(frames, checks, silhouettes, None, Fix(Hypothesis())), progress)
    checks += check_colours(silhouettes, background)
    rows = silhouettes.rows
    names = tuple(frames.paths[row].name for row in rows)
    posed = PosedMasks(frames.matrices[rows], silhouettes.masks, silhouettes.camera, names)
    diagnosis = diagnose(posed, progress)
    checks += check_fit(diagnosis, names)
    if is_unexplained(diagnosis.agreement) or (len(odd_views(diagnosis.agreement)) and not diagnosis.best.faults):
        checks += check_turned(turned_views(posed), names)
    fix = Fix(diagnosis.best)
    if not is_unexplained(diagnosis.agreement):
        poses = apply_to_poses(posed.matrices, names, diagnosis.best)
        checks = [check for check in checks if check.name != SCALE]
        checks.append(check_scale(diagnosis.fit, poses))
        views = {*odd_views(diagnosis.agreement), *foreign_views(diagnosis.agreement, diagnosis.best.shift)}
        dropped = tuple(sorted(int(rows[view]) for view in views))
        fix = Fix(diagnosis.best, scale_factor(diagnosis.fit, poses), dropped)
    return DoctorReport(frames, checks, silhouettes, diagnosis, fix)


def with_proof(check: Check, frames: FrameTable, silhouettes: Silhouettes) -> Check:
    """Add to a finding on masks how well inverted ones fit the poses, if they look inverted."""
    if not is_inverted(silhouettes.masks):
        return check
    poses = apply_to_poses(frames.matrices[silhouettes.rows], [path.name for path in frames.paths], Hypothesis())
    fit = fit_hull(~silhouettes.masks, poses, silhouettes.camera, COARSE_CELLS)
    return replace(check, advice=f"{check.advice} Inverted ones fit the poses (median IoU {np.median(fit.iou):.3f}).")


def examine_matches(report: DoctorReport, progress: Progress) -> DoctorReport:
    """Complete the report on images without silhouettes by what they have in common."""
    frames = report.frames
    matches = find_matches(frames, progress)
    matrices = frames.matrices[matches.rows]
    names = [frames.paths[row].name for row in matches.rows]
    checks, best = report.checks, Hypothesis()
    if len(matches) >= FEWEST_MATCHES:
        diagnosis = diagnose_matches(matrices, names, matches)
        checks = [*checks, *check_matches(diagnosis)]
        best = diagnosis.best
    poses = apply_to_poses(matrices, names, best)
    checks = [check for check in checks if check.name != SCALE]
    checks += [check for check in check_aim(poses, frames.intrinsics) if check.name == SCALE]
    distance = looking_distance(poses)
    scale = 1.0 if NEAR < distance < FAR else fitting_scale(distance, distance)
    ends = {best.shift: (int(matches.rows[-1 if best.shift > 0 else 0]),), 0: ()}
    return replace(report, checks=checks, fix=Fix(best, scale, ends[best.shift]))


def write_fixed_copy(report: DoctorReport, out: Path) -> None:
    """Write a fixed copy of the folder to ``out``.

    Raises:
        InputError: as ``write_fixed``, and where no known mistake explains why the poses do not fit.
    """
    if report.unfixable:
        raise InputError(f"{report.frames.folder} cannot be fixed: {report.unfixable}.")
    write_fixed(report.frames, report.fix, out)
