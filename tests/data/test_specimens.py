"""Specimens of a generated toy: their layout, their bytes, and what is true of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.commands import generate_command as main
from data.mad_facts import DEFECTS
from data.synthetic.config import GOOD
from data.synthetic.specimens import cameras_around, read_specimen_truths
from utils.errors import InputError

OPTIONS = ["--toy", "submarine", "--views", "2", "--queries", "0", "--image_size", "96", "--workers", "1", "--quiet"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specimens") / "submarine"
    assert main([*OPTIONS, "--specimens", "1", "--specimen_photos", "3", "--out", str(folder)]) == 0
    return folder


def test_truths_name_the_photos_and_what_they_show(toy: Path) -> None:
    truths = read_specimen_truths(toy)
    assert {truth.kind for truth in truths} == {GOOD, *DEFECTS} and len(truths) == 4
    for truth in truths:
        assert len(truth.photos) == len(truth.visible) == 3
        assert all(Image.open(path).size == (96, 96) for path in truth.photos)
        if truth.kind == GOOD:
            assert truth.centre is None and not any(truth.visible)
        else:
            assert truth.centre is not None and np.linalg.norm(truth.centre) < 1.5


def test_more_specimens_leave_those_before_as_they_are(toy: Path, tmp_path: Path) -> None:
    before = files_of(toy)
    (tmp_path / "again").mkdir()
    again = tmp_path / "again/submarine"
    assert main([*OPTIONS, "--specimens", "2", "--specimen_photos", "3", "--out", str(again)]) == 0
    after = files_of(again)
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 4 * 4
    (again / "specimens_truth/good/1.json").unlink()
    changed = (again / "specimens/good/1/0.png").read_bytes()
    assert main([*OPTIONS, "--specimens", "2", "--specimen_photos", "3", "--out", str(again)]) == 0
    assert files_of(again) == after and (again / "specimens/good/1/0.png").read_bytes() == changed


def test_other_photos_need_another_folder(toy: Path) -> None:
    with pytest.raises(InputError, match=r"photos = 3 there, 4 now"):
        main([*OPTIONS, "--specimens", "1", "--specimen_photos", "4", "--out", str(toy)])


def test_cameras_stand_all_around() -> None:
    poses = cameras_around(8, np.random.default_rng(1))
    directions = np.stack([pose[:3, 3].numpy() / np.linalg.norm(pose[:3, 3].numpy()) for pose in poses])
    angles = np.degrees(np.arccos(np.clip(directions @ directions.T, -1, 1)))
    assert (angles + 180 * np.eye(8)).min() > 25  # no two photos from one side
    everywhere = np.random.default_rng(0).normal(size=(500, 3))
    everywhere /= np.linalg.norm(everywhere, axis=1, keepdims=True)
    assert np.degrees(np.arccos(np.clip(everywhere @ directions.T, -1, 1))).min(1).max() < 75  # and no side without


def test_a_folder_without_specimens_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make some with python -m data generate --specimens"):
        read_specimen_truths(tmp_path)
    (tmp_path / "specimens_truth/good").mkdir(parents=True)
    (tmp_path / "specimens_truth/good/0.json").write_text('{"visible": [0.1]}')
    with pytest.raises(InputError, match="does not say what a specimen shows"):
        read_specimen_truths(tmp_path)
