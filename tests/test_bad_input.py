"""Every way in which the user's files can be wrong gives one sentence that names the file and the remedy."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.folders import find_object
from data.mad import check_ground_truth, list_queries, load_views
from tests.mad_folder import read_transforms, write_object, write_picture, write_transforms
from utils.errors import InputError, exit_code_of

WHITE = (1.0, 1.0, 1.0)


def change_frame(folder: Path, **changes: object) -> None:
    frames = read_transforms(folder)
    frames[2].update(changes)
    write_transforms(folder, frames)


def scaled_pose(folder: Path, factor: float) -> list[list[float]]:
    return [[factor * value for value in row] for row in read_transforms(folder)[2]["transform_matrix"]]


def no_frames(folder: Path) -> None:
    write_transforms(folder, [])


def no_transforms(folder: Path) -> None:
    (folder / "transforms.json").unlink()


def broken_json(folder: Path) -> None:
    (folder / "transforms.json").write_text('{"frames": [')


def no_angle(folder: Path) -> None:
    write_transforms(folder, read_transforms(folder), angle=math.nan)


def frame_without_picture(folder: Path) -> None:
    (folder / "train/good/2.png").unlink()


def picture_without_frame(folder: Path) -> None:
    write_transforms(folder, read_transforms(folder)[:-1])


def frame_twice(folder: Path) -> None:
    write_transforms(folder, read_transforms(folder) + read_transforms(folder)[:1])


def empty_file(folder: Path) -> None:
    (folder / "train/good/2.png").write_bytes(b"")


def truncated_file(folder: Path) -> None:
    path = folder / "train/good/2.png"
    path.write_bytes(path.read_bytes()[:-300])


def no_picture_at_all(folder: Path) -> None:
    (folder / "train/good/2.png").write_text("hello")


def printed(folder: Path) -> None:
    (folder / "train/good/2.png").unlink()
    Image.new("CMYK", (16, 16)).save(folder / "train/good/2.jpg")


def telephone(folder: Path) -> None:
    (folder / "train/good/2.png").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))


def other_size(folder: Path) -> None:
    write_picture(folder / "train/good/2.png", np.zeros((16, 17, 3), dtype=np.uint8))


def nan_pose(folder: Path) -> None:
    change_frame(folder, transform_matrix=scaled_pose(folder, math.nan))


def scaling_pose(folder: Path) -> None:
    change_frame(folder, transform_matrix=scaled_pose(folder, 1.1))


def mirroring_pose(folder: Path) -> None:
    pose = scaled_pose(folder, 1.0)
    change_frame(folder, transform_matrix=[[-row[0], *row[1:]] for row in pose[:3]] + pose[3:])


def short_pose(folder: Path) -> None:
    change_frame(folder, transform_matrix=scaled_pose(folder, 1.0)[:3])


def wordy_pose(folder: Path) -> None:
    change_frame(folder, transform_matrix="left")


def path_upwards(folder: Path) -> None:
    write_picture(folder.parent / "secret.png", np.zeros((16, 16, 3), dtype=np.uint8))
    change_frame(folder, file_path="../secret.png")


def path_absolute(folder: Path) -> None:
    change_frame(folder, file_path=str((folder / "train/good/2.png").absolute()))


def path_by_link(folder: Path) -> None:
    write_picture(folder.parent / "secret.png", np.zeros((16, 16, 3), dtype=np.uint8))
    (folder / "train/good/2.png").unlink()
    (folder / "train/good/2.png").symlink_to(folder.parent / "secret.png")


def no_path(folder: Path) -> None:
    change_frame(folder, file_path=None)


TRAINING: list[tuple[Callable[[Path], None], str]] = [
    (no_frames, "at least one frame"),
    (no_transforms, r"There is no .*transforms\.json"),
    (broken_json, "not valid JSON"),
    (no_angle, "camera_angle_x"),
    (frame_without_picture, r"2\.png of frame 2 .* does not exist"),
    (picture_without_frame, r"1 of 6 images .* no frame .* 5\.png"),
    (frame_twice, r"0\.png more than once"),
    (empty_file, r"2\.png cannot be read: it is empty"),
    (truncated_file, r"2\.png cannot be read"),
    (no_picture_at_all, r"2\.png cannot be read"),
    (printed, r"2\.png of frame 2 .* does not exist"),
    (telephone, r"2\.png cannot be read: it is HEIC .* export it as JPEG"),
    (other_size, r"2\.png has 17x16 pixels, .*0\.png has 16x16"),
    (nan_pose, r"2\.png in .* must be finite"),
    (scaling_pose, r"2\.png in .* rotation"),
    (mirroring_pose, r"2\.png in .* rotation"),
    (short_pose, r"2\.png in .* 4x4"),
    (wordy_pose, r"2\.png in .* 4x4"),
    (path_upwards, "leaves the object's folder"),
    (path_absolute, "leaves the object's folder"),
    (path_by_link, "leaves the object's folder"),
    (no_path, "must name an image"),
]


@pytest.mark.parametrize(("spoil", "said"), TRAINING, ids=[spoil.__name__ for spoil, _ in TRAINING])
def test_training_data(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    folder = write_object(tmp_path / "toy")
    load_views(folder, 400, WHITE)
    spoil(folder)
    with pytest.raises((InputError, FileNotFoundError), match=said) as caught:
        load_views(folder, 400, WHITE)
    assert "\n" not in str(caught.value)


def test_missing_object_names_the_nearest(tmp_path: Path) -> None:
    write_object(tmp_path / "01Gorilla")
    with pytest.raises(InputError, match="did you mean 01Gorilla"):
        find_object(tmp_path / "01Gorila")
    with pytest.raises(InputError, match="--data_dir"):
        find_object(tmp_path / "nowhere" / "01Gorilla")


def no_test_folder(folder: Path) -> None:
    (folder / "test").rename(folder / "other")


def empty_test_folder(folder: Path) -> None:
    for path in (folder / "test").rglob("*.png"):
        path.unlink()


def only_good(folder: Path) -> None:
    (folder / "test/Burrs").rename(folder / "elsewhere")


def only_defective(folder: Path) -> None:
    (folder / "test/good").rename(folder / "elsewhere")


def mask_missing(folder: Path) -> None:
    (folder / "ground_truth/Burrs/1_mask.png").unlink()


def mask_size(folder: Path) -> None:
    Image.new("L", (16, 15)).save(folder / "ground_truth/Burrs/1_mask.png")


def same_stem(folder: Path) -> None:
    Image.new("RGB", (16, 16)).save(folder / "test/Burrs/1.jpg")


def unreadable_query(folder: Path) -> None:
    (folder / "test/Burrs/1.png").write_bytes(b"")


TESTING: list[tuple[Callable[[Path], None], str]] = [
    (no_test_folder, "no images in the folders"),
    (empty_test_folder, "no images in the folders"),
    (only_good, "found only good"),
    (only_defective, "found only defective"),
    (mask_missing, r"Burrs/1\.png has no mask"),
    (mask_size, r"1_mask\.png must have the size of its query, 16x16 pixels, found 16x15"),
    (same_stem, "same stem"),
    (unreadable_query, r"1\.png cannot be read"),
]


@pytest.mark.parametrize(("spoil", "said"), TESTING, ids=[spoil.__name__ for spoil, _ in TESTING])
def test_test_data(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    folder = write_object(tmp_path / "toy")
    check_ground_truth(list_queries(folder))
    spoil(folder)
    with pytest.raises((InputError, FileNotFoundError), match=said) as caught:
        check_ground_truth(list_queries(folder))
    assert "\n" not in str(caught.value)


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("The file x is missing."), 2, "error: The file x is missing.\n"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "error: Permission denied (/x/y);"),
        (FileNotFoundError("There is no x; make it."), 2, "error: There is no x; make it.\n"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (RuntimeError("a fault"), 2, "Traceback"),
        (ModuleNotFoundError("none", name="no_such_package.part"), 2, "error: The package no_such_package.part is not"),
        (ModuleNotFoundError("a fault", name="utils.no_such_file"), 2, "Traceback"),
    ],
)
def test_exit_codes(error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(raising(error)) == code
    assert said in capsys.readouterr().err


def test_good_end_keeps_its_code() -> None:
    assert exit_code_of(lambda: 1) == 1


@pytest.mark.parametrize(("unbuffered", "code"), [("", 1), ("1", 141)])
def test_a_closed_pipe_is_no_error(unbuffered: str, code: int) -> None:
    """Buffered output fails when all is done, unbuffered output within the command."""
    program = "import sys; from utils.errors import exit_code_of; sys.exit(exit_code_of(lambda: print('name') or 1))"
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run(
        [sys.executable, "-c", program],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(write)
    assert (found.returncode, found.stderr) == (code, b"")
