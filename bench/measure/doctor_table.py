"""The doctor's table: the known failures injected into copies of good objects, and what the doctor says of each.

python bench/measure/doctor_table.py data/LEGO-3D/01Gorilla data/samples/submarine
"""

from __future__ import annotations

import argparse
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

from bench.measure.results_page import PAGE, changes, markdown_table, write_section
from data.doctor.examine import examine, mend
from data.doctor.quick import BAD_VERDICT
from data.doctor.report import DoctorReport
from data.transforms_file import TransformsFile
from utils.device import environment
from utils.progress import Progress

Poses = Callable[[np.ndarray], np.ndarray]  # (frames, 4, 4) → (frames, 4, 4)
FOCAL, SCALE = 1.3, 1000.0  # injected factors


@dataclass(frozen=True)
class Failure:
    """A way to spoil a good object."""

    name: str
    found_as: str  # the line of the doctor's table that must be bad; "" where none may be
    poses: Poses = lambda poses: poses
    focal: float = 1.0
    mirrored: bool = False


def lagging(poses: np.ndarray) -> np.ndarray:
    """Each picture with the pose of the one before; the first keeps its own."""
    return np.concatenate([poses[:1], poses[:-1]])


def with_turned_rotations(poses: np.ndarray) -> np.ndarray:
    """Rotations transposed, translations as they were."""
    turned = poses.copy()
    turned[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    return turned


def scaled(poses: np.ndarray) -> np.ndarray:
    """Translations in another unit."""
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
    Failure("mirrored pictures", "pictures", mirrored=True),
    Failure(f"focal length x {FOCAL:g}", "focal length", focal=FOCAL),
    Failure(f"focal length / {FOCAL:g}", "focal length", focal=1 / FOCAL),
    Failure(f"translations x {SCALE:g}", "scale", scaled),
)


@dataclass(frozen=True)
class Outcome:
    """What the doctor said of one spoiled object."""

    right: bool  # the injected failure and no other was found, and the mended copy is good
    words: str
    seconds: float  # of the examination alone


def main(arguments: list[str]) -> int:
    """Examine the objects that the command line names, spoiled in each way; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="good objects in the MAD layout")
    parser.add_argument("--background", choices=("white", "black"), default="white", help="behind the objects")
    parser.add_argument("--page", type=Path, help="page to write (default: docs/RESULTS.md)")
    parser.add_argument("--section", default="doctor", help="name of the page's section to write")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    own = parser.parse_args(arguments)
    columns: dict[str, list[Outcome]] = {}
    progress = Progress(own.quiet)
    for folder in own.objects:
        rows = progress.track(FAILURES, folder.resolve().name)
        columns[folder.resolve().name] = [outcome(folder, failure, own.background) for failure in rows]
    page = own.page or PAGE
    write_section(page, own.section, section(columns))
    print(f"Table: {page}")
    return 0


def outcome(folder: Path, failure: Failure, background: str) -> Outcome:
    """Spoil a copy of an object, examine it, mend it, and examine the mended copy."""
    quiet = Progress(quiet=True)
    with tempfile.TemporaryDirectory() as temporary:
        spoiled, mended = Path(temporary) / "spoiled", Path(temporary) / "mended"
        spoil(folder, failure, spoiled)
        start = time.process_time()
        found = examine(spoiled, None, background, quiet)
        seconds = time.process_time() - start
        causes = {
            "world to camera",
            "axes",
            "transposed",
            "lag",
            "order",
            "pictures",
            "focal length",
            "odd views",
            "scale",
        }
        named = {check.name for check in found.checks if check.verdict == BAD_VERDICT} & causes
        if not failure.found_as:
            return Outcome(found.good, words_of(found, "silent" if found.good else "false alarm"), seconds)
        if named != {failure.found_as}:
            return Outcome(False, words_of(found, f"found {', '.join(sorted(named)) or 'nothing'}"), seconds)
        mend(found, mended)
        again = examine(mended, None, background, quiet)
    return Outcome(again.good, words_of(found, "found, mended" if again.good else "found, not mended"), seconds)


def words_of(found: DoctorReport, verdict: str) -> str:
    """The verdict with the median IoU as given and as read best."""
    if found.diagnosis is None:
        return f"{verdict} (by matches)"
    given, best = (float(np.median(fit.iou)) for fit in (found.diagnosis.given, found.diagnosis.fit))
    changed = f"{given:.2f}" if given == best else f"{given:.2f} → {best:.2f}"
    return f"{verdict} ({changed})"


def spoil(folder: Path, failure: Failure, out: Path) -> None:
    """Write a copy of an object's training views with a failure in it."""
    content = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    poses = failure.poses(np.array([frame["transform_matrix"] for frame in content["frames"]], dtype=np.float64))
    for frame, pose in zip(content["frames"], poses):
        frame["transform_matrix"] = pose.tolist()
    content["camera_angle_x"] = float(2.0 * np.arctan(np.tan(0.5 * content["camera_angle_x"]) / failure.focal))
    for path in TransformsFile.read(folder).cameras().paths:
        copy_picture(path, out / path.relative_to(folder), failure.mirrored)
    masks = folder / "masks" / "train"
    for path in masks.rglob("*.png") if masks.is_dir() else ():
        copy_picture(path, out / path.relative_to(folder), failure.mirrored)
    (out / "transforms.json").write_text(json.dumps(content), encoding="utf-8")


def copy_picture(path: Path, place: Path, mirrored: bool) -> None:
    """Copy a picture, or write it mirrored left to right."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not mirrored:
        shutil.copyfile(path, place)
        return
    with Image.open(path) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(place, format=picture.format)


def section(columns: dict[str, list[Outcome]]) -> str:
    """The section's Markdown: circumstances, and a table with a column for each object."""
    told = environment("cpu")
    rows = [
        [failure.name, *(outcomes[row].words for outcomes in columns.values())] for row, failure in enumerate(FAILURES)
    ]
    seconds = [f"{np.median([one.seconds for one in outcomes]):.1f} s" for outcomes in columns.values()]
    right = sum(one.right for outcomes in columns.values() for one in outcomes)
    count = sum(map(len, columns.values()))
    return (
        f"## Doctor\n\n`python bench/measure/doctor_table.py` on {', '.join(columns)}: {told['date'][:10]}, commit "
        f"{told['commit'] or 'unknown'}{changes()}; {told['cpu']}. {right} of {count} verdicts are right.\n\n"
        f"{markdown_table(['injected', *columns], [*rows, ['processor time, median', *seconds]])}\n\n"
        "Each failure is injected into a copy of a good object. Found: the doctor names this cause and no other. "
        "Mended: it finds nothing wrong with the copy that `--fix` writes. In brackets: median IoU of each silhouette "
        "and the hull that all other views carve, as given and as the doctor reads the data."
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
