from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.commands import verify_command
from data.mad_facts import CLASSES, STRUCTURES
from data.verify import verify
from tests import hostile
from tests.mad_folder import read_transforms, write_object, write_picture, write_transforms
from utils.errors import InputError
from utils.progress import Progress

KINDS = ("Burrs", "Missing", "Stains", "good")
SMALL = dataclasses.replace(STRUCTURES["mad-sim"], classes=CLASSES[:2], train=6, size=(16, 16))


def write_set(root: Path) -> Path:
    for name in SMALL.classes or ():
        write_object(root / name, queries=KINDS)
    return root


def problems_of(root: Path) -> list[str]:
    reports, problems = verify(root, SMALL, Progress(quiet=True))
    return problems + [problem for report in reports for problem in report.problems]


def test_what_is_known_of_mad_is_complete() -> None:
    assert len(CLASSES) == 20 and STRUCTURES["mad-sim"].train == 210 and STRUCTURES["mad-real"].class_count == 10


def test_a_set_as_it_should_be(tmp_path: Path) -> None:
    reports, problems = verify(write_set(tmp_path), SMALL, Progress(quiet=True))
    assert problems_of(tmp_path) == problems == []
    counts = {"train": 6, "Burrs": 2, "Missing": 2, "Stains": 2, "good": 2}
    assert [(report.counts, report.masks, report.sizes) for report in reports] == [(counts, 6, ((16, 16),))] * 2


def change_pose(folder: Path) -> None:
    frames = read_transforms(folder)
    frames[1]["transform_matrix"][0][0] += 1.0
    write_transforms(folder, frames)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "view": (lambda folder: (folder / "train/good/3.png").unlink(), r"5 training views instead of 6"),
    "class": (lambda folder: folder.rename(folder.with_name("1Gorila")), r"did you mean 01Gorilla"),
    "mask": (
        lambda folder: (folder / "ground_truth/Burrs/1_mask.png").unlink(),
        r"1 queries have no mask: Burrs/1\.png",
    ),
    "query": (lambda folder: (folder / "test/Missing/0.png").unlink(), r"1 masks have no query: Missing/0_mask\.png"),
    "size": (
        lambda folder: write_picture(folder / "test/good/0.png", np.zeros((8, 8, 3), dtype=np.uint8)),
        r"images of 2 sizes: 16x16, 8x8",
    ),
    "mask's size": (
        lambda folder: write_picture(folder / "ground_truth/Stains/0_mask.png", np.zeros((8, 8), dtype=np.uint8)),
        r"have another size: Stains/0_mask\.png",
    ),
    "picture": (lambda folder: (folder / "test/good/1.png").write_bytes(b"no picture"), r"cannot be read: good/1\.png"),
    "kind": (lambda folder: (folder / "test/Burrs").rename(folder / "test/Scratches"), r"no images in test/Burrs"),
    "poses": (lambda folder: (folder / "transforms.json").unlink(), r"python -m data capture"),
    "pose": (change_pose, r"transform_matrix of 1\.png .* rotation and a translation"),
    "json": (lambda folder: (folder / "transforms.json").write_text("{"), r"not valid JSON"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found(tmp_path: Path, damage: str) -> None:
    change, said = DAMAGES[damage]
    change(write_set(tmp_path) / "01Gorilla")
    found = problems_of(tmp_path)
    assert re.search(said, "\n".join(found)), found


def test_exit_codes_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path)
    assert verify_command([str(tmp_path), "--expect", "any", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "train", "Burrs", "Missing", "Stains", "good", "masks", "size", "angle"]
    assert lines[1].split() == ["01Gorilla", "6", "2", "2", "2", "2", "6", "16x16", "40.11", "ok"]
    assert verify_command([str(tmp_path), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "18 of 20 classes are missing" in said and "16x16 instead of 800x800" in said
    assert "6 training views instead of 210" in said


def test_real_pictures_need_no_poses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in CLASSES[:10]:
        (write_object(tmp_path / name, queries=("good", "Burrs")) / "transforms.json").unlink()
    assert verify_command([str(tmp_path), "--expect", "mad-real", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "note: 01Gorilla: no transforms.json; find the poses with: python -m data capture" in said
    assert "instead of about 49" in said


def test_the_folder_above_or_an_empty_one(tmp_path: Path) -> None:
    write_set(tmp_path / "outer" / "MAD-Sim")
    with pytest.raises(InputError, match=r"did you mean .*outer/MAD-Sim"):
        verify_command([str(tmp_path / "outer"), "--quiet"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="data download mad-sim"):
        verify_command([str(tmp_path / "empty"), "--quiet"])


@cache
def transforms() -> bytes:
    with TemporaryDirectory() as folder:
        return (write_object(Path(folder), views=2, size=4, queries=()) / "transforms.json").read_bytes()


@given(
    hostile.pictures, hostile.pictures, hostile.damaged(transforms()), st.sampled_from(["mad-sim", "mad-real", "any"])
)
def test_a_set_of_any_bytes_is_reported(picture: bytes, mask: bytes, poses: bytes, expected: str) -> None:
    with TemporaryDirectory() as name:
        folder = write_object(Path(name) / "01Gorilla", views=2, size=4, queries=("good", "Burrs"))
        (folder / "test/good/0.png").write_bytes(picture)
        (folder / "ground_truth/Burrs/0_mask.png").write_bytes(mask)
        (folder / "transforms.json").write_bytes(poses)
        reports, _ = verify(Path(name), STRUCTURES[expected], Progress(quiet=True))
        assert len(reports) == 1 and reports[0].counts == {"train": 2, "Burrs": 2, "good": 2}
