"""The doctor's table: known failures injected into copies of good objects, and what the doctor finds in each.

python -m bench.measure.doctor_table data/LEGO-3D/01Gorilla data/samples/submarine
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.measure.results_page import add_page_options, made_text, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.doctor.examine import examine, write_fixed_copy
from data.doctor.quick import BAD_VERDICT
from data.doctor.report import DoctorReport
from data.transforms_file import TransformsFile
from utils.config import Parser
from utils.device import environment
from utils.errors import exit_code_of
from utils.progress import Progress

Poses = Callable[[np.ndarray], np.ndarray]  # (frames, 4, 4) → (frames, 4, 4)
FOCAL, SCALE = 1.3, 1000.0  # injected factors
CAUSES = {
    *("world to camera", "axes", "transposed", "lag", "order", "flip", "focal length", "odd views", "scale"),
}  # lines of the doctor's table that name a cause


@dataclass(frozen=True)
class Failure:
    """A failure to inject into a good object."""

    name: str
    found_as: str  # the line of the doctor's table that must be bad; "" where none may be
    poses: Poses = lambda poses: poses
    focal: float = 1.0
    mirrored: bool = False


def lagging(poses: np.ndarray) -> np.ndarray:
    """Return each image's pose as that of the one before; the first keeps its own."""
    return np.concatenate([poses[:1], poses[:-1]])


def with_turned_rotations(poses: np.ndarray) -> np.ndarray:
    """Transpose the rotations, and keep the translations."""
    turned = poses.copy()
    turned[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    return turned


def scaled(poses: np.ndarray) -> np.ndarray:
    """Return translations in another unit."""
    larger = poses.copy()
    larger[:, :3, 3] *= SCALE
    return larger


FAILURES = (
    Failure("none", ""),
    Failure("world-to-camera", "world to camera", np.linalg.inv),
    Failure("OpenCV axes", "axes", lambda poses: poses @ np.diag([1.0, -1.0, -1.0, 1.0])),
    Failure("transposed matrices", "transposed", lambda poses: poses.transpose(0, 2, 1)),
    Failure("transposed rotations", "transposed", with_turned_rotations),
    Failure("one frame late", "lag", lagging),
    Failure("one frame early", "lag", lambda poses: np.concatenate([poses[1:], poses[-1:]])),
    Failure("mirrored images", "flip", mirrored=True),
    Failure(f"focal length x {FOCAL:g}", "focal length", focal=FOCAL),
    Failure(f"focal length / {FOCAL:g}", "focal length", focal=1 / FOCAL),
    Failure(f"translations x {SCALE:g}", "scale", scaled),
)


@dataclass(frozen=True)
class Diagnosed:
    """What the doctor found in one object with a failure."""

    right: bool  # the injected failure and no other was found, and the fixed copy is good
    text: str
    seconds: float  # of the examination alone


def main(argv: list[str]) -> int:
    """Examine the objects that the command line names with each failure; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="good objects in the MAD layout")
    parser.add_argument("--background", choices=("white", "black"), default="white", help="behind the objects")
    add_page_options(parser, "doctor")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    columns: dict[str, list[Diagnosed]] = {}
    progress = Progress(args.quiet)
    for folder in args.objects:
        rows = progress.track(FAILURES, folder.resolve().name)
        columns[folder.resolve().name] = [diagnose_copy(folder, failure, args.background) for failure in rows]
    write_section(args.page, args.section, doctor_section(columns))
    print(f"Table: {args.page}")
    return 0


def diagnose_copy(folder: Path, failure: Failure, background: str) -> Diagnosed:
    """Inject a failure into a copy of an object, examine it, fix it, and examine the fixed copy."""
    quiet = Progress(quiet=True)
    with tempfile.TemporaryDirectory() as temporary:
        spoiled, mended = Path(temporary) / "spoiled", Path(temporary) / "mended"
        inject(folder, failure, spoiled)
        start = time.process_time()
        found = examine(spoiled, None, background, quiet)
        seconds = time.process_time() - start
        named = {check.name for check in found.checks if check.verdict == BAD_VERDICT} & CAUSES
        if not failure.found_as:
            return Diagnosed(found.good, verdict_text(found, "silent" if found.good else "false alarm"), seconds)
        if named != {failure.found_as}:
            return Diagnosed(False, verdict_text(found, f"found {', '.join(sorted(named)) or 'nothing'}"), seconds)
        write_fixed_copy(found, mended)
        again = examine(mended, None, background, quiet)
    return Diagnosed(again.good, verdict_text(found, "found, mended" if again.good else "found, not mended"), seconds)


def verdict_text(found: DoctorReport, verdict: str) -> str:
    """Format the verdict with the median IoU as given and as read best."""
    if found.diagnosis is None:
        return f"{verdict} (by matches)"
    given, best = (float(np.median(fit.iou)) for fit in (found.diagnosis.given, found.diagnosis.fit))
    changed = f"{given:.2f}" if given == best else f"{given:.2f} → {best:.2f}"
    return f"{verdict} ({changed})"


def inject(folder: Path, failure: Failure, out: Path) -> None:
    """Write a copy of an object's training views with a failure in it."""
    content = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    poses = failure.poses(np.array([frame["transform_matrix"] for frame in content["frames"]], dtype=np.float64))
    for frame, pose in zip(content["frames"], poses):
        frame["transform_matrix"] = pose.tolist()
    content["camera_angle_x"] = float(2.0 * np.arctan(np.tan(0.5 * content["camera_angle_x"]) / failure.focal))
    for path in TransformsFile.read(folder).cameras().paths:
        copy_image(path, out / path.relative_to(folder), failure.mirrored)
    masks = folder / "masks" / "train"
    for path in masks.rglob("*.png") if masks.is_dir() else ():
        copy_image(path, out / path.relative_to(folder), failure.mirrored)
    (out / "transforms.json").write_text(json.dumps(content), encoding="utf-8")


def copy_image(path: Path, place: Path, mirrored: bool) -> None:
    """Copy an image, or write it mirrored left to right."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not mirrored:
        shutil.copyfile(path, place)
        return
    with Image.open(path) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(place, format=image.format)


def doctor_section(columns: dict[str, list[Diagnosed]]) -> str:
    """Return the section's Markdown: circumstances, and a table with a column for each object."""
    machine = environment("cpu")
    rows = [
        [failure.name, *(verdicts[row].text for verdicts in columns.values())] for row, failure in enumerate(FAILURES)
    ]
    seconds = [f"{np.median([one.seconds for one in verdicts]):.1f} s" for verdicts in columns.values()]
    right = sum(one.right for verdicts in columns.values() for one in verdicts)
    count = sum(map(len, columns.values()))
    return (
        f"## Doctor\n\n`python -m bench.measure.doctor_table` on {', '.join(columns)}: "
        f"{made_text(machine)}; {machine['cpu']}. {right} of {count} verdicts are right.\n\n"
        f"{markdown_table(['injected', *columns], [*rows, ['processor time, median', *seconds]])}\n\n"
        "Each failure is injected into a copy of a good object. Found: the doctor names this cause and no other. "
        "Mended: it finds nothing wrong with the copy that `--fix` writes. In brackets: median IoU of each silhouette "
        "and the hull that all other views carve, as given and as the doctor reads the data."
    )


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
