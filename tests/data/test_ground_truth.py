"""Ground truth under any name and in any coding is found, and reads as the same mask; what marks nothing is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.commands import verify_command
from data.ground_truth import read_mask, truth_fault
from data.import_options import ImportOptions
from data.import_transforms import import_transforms
from data.mad import check_ground_truth, list_queries
from tests.data.codings import CODINGS, TRUTH, coded
from tests.data.test_import_transforms import NERFSTUDIO, source
from tests.mad_folder import write_object, write_picture
from utils.errors import InputError

NAMES = [
    "0_mask.png",
    "0.png",
    "0_mask.PNG",
    "0.png.png",
    "0/000.png",
    "0/000.tif",
    "0_MASK.tiff",
    "0_mask.jpg",
    "0_mask.bmp",
]


def with_truth(folder: Path, name: str, coding: str, kind: str = "Burrs") -> Path:
    """An object whose only defective query has ground truth of this name and coding."""
    write_object(folder, queries=("good", "Burrs"), size=16)
    (folder / "test/Burrs/1.png").unlink()
    for path in (folder / "ground_truth/Burrs").iterdir():
        path.unlink()
    if kind != "Burrs":
        (folder / "ground_truth/Burrs").rename(folder / "ground_truth" / kind)
    coded(folder / "ground_truth" / kind / name, coding)
    return folder


@pytest.mark.parametrize("kind", ["Burrs", "burrs"])
@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_found_by_all_readers(tmp_path: Path, name: str, kind: str) -> None:
    folder = with_truth(tmp_path / "set/toy", name, "bits", kind)
    queries = list_queries(folder)
    check_ground_truth(queries)
    truth = queries[0].mask_path
    assert truth is not None and torch.equal(read_mask(truth), torch.from_numpy(TRUTH))
    assert verify_command([str(tmp_path / "set"), "--expect", "any", "--quiet"]) == 0


@pytest.mark.parametrize("coding", CODINGS)
def test_each_coding_reads_the_same(tmp_path: Path, coding: str) -> None:
    assert np.array_equal(read_mask(coded(tmp_path / "0.png", coding)).numpy(), TRUTH)


def test_labels_are_defects_and_blurred_edges_are_not(tmp_path: Path) -> None:
    labels = np.zeros((12, 12), dtype=np.uint8)
    labels[1:5, 1:5], labels[7:11, 1:5], labels[1:5, 7:11] = 60, 120, 240
    write_picture(tmp_path / "0.png", labels)
    assert np.array_equal(read_mask(tmp_path / "0.png").numpy(), labels > 0)
    blurred = np.zeros((12, 12), dtype=np.uint8)
    blurred[3:9, 3:9], blurred[4:8, 4:8] = 60, 255
    write_picture(tmp_path / "1.png", blurred)
    assert np.array_equal(read_mask(tmp_path / "1.png").numpy(), blurred > 127)


def test_the_images_of_a_folder_are_united(tmp_path: Path) -> None:
    for index in range(3):
        mask = np.zeros((6, 6), dtype=np.uint8)
        mask[index] = 240 + index
        write_picture(tmp_path / f"0/{index:03}.png", mask)
    assert read_mask(tmp_path / "0").any(dim=1).tolist() == [True] * 3 + [False] * 3
    write_picture(tmp_path / "0/003.png", np.zeros((5, 6), dtype=np.uint8))
    with pytest.raises(InputError, match="one size"):
        read_mask(tmp_path / "0")


@given(st.sampled_from(NAMES), st.sampled_from(sorted(CODINGS)))
def test_importers_copy_what_readers_find(tmp_path_factory: pytest.TempPathFactory, name: str, coding: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = source(folder / "in", {**NERFSTUDIO, "w": 16, "h": 16, "cx": 8.0}, size=(16, 16))
    test = with_truth(folder / "toy", name, coding) / "test"
    summary = import_transforms(path, None, ImportOptions(folder / "out", test=test))
    assert (summary.queries, summary.truths) == (3, 1) and "1 with ground truth" in "\n".join(summary.lines())
    assert np.array_equal(read_mask(folder / "out/ground_truth/Burrs/0_mask.png").numpy(), TRUTH)


def test_the_photo_itself_is_no_ground_truth(tmp_path: Path) -> None:
    write_picture(tmp_path / "0.png", np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="the photo itself"):
        read_mask(tmp_path / "0.png")


FAULTS = {"marks no pixel": np.zeros_like(TRUTH), r"marks \d+% of the image, inverted": ~TRUTH}


@pytest.mark.parametrize("said", FAULTS)
def test_what_marks_nothing_or_all_but_the_defect_is_told_by_all_readers(
    tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_truth(tmp_path / "set/toy", "0_mask.png", "bits")
    write_picture(folder / "ground_truth/Burrs/0_mask.png", FAULTS[said].astype(np.uint8) * 255)
    assert truth_fault(torch.from_numpy(FAULTS[said]))
    assert verify_command([str(tmp_path / "set"), "--expect", "any", "--quiet"]) == 1
    assert "1 masks mark" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"0_mask\.png"):
        check_ground_truth(list_queries(folder))
    path = source(tmp_path / "in", {**NERFSTUDIO, "w": 16, "h": 16, "cx": 8.0}, size=(16, 16))
    with pytest.raises(InputError, match=said):
        import_transforms(path, None, ImportOptions(tmp_path / "out", test=folder / "test"))


@pytest.mark.parametrize("good", ["good", "Good", "ok", "OK", "normal"])
def test_labels_of_whole_images_are_enough(tmp_path: Path, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_object(tmp_path / "set/toy", queries=("good", "bad"))
    (folder / "test/good").rename(folder / "test" / good)
    for path in sorted((folder / "ground_truth").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    queries = list_queries(folder)
    check_ground_truth(queries)
    assert {query.defect_type for query in queries} == {"bad", "good"}
    assert all(query.mask_path is None for query in queries)
    assert verify_command([str(tmp_path / "set"), "--expect", "any", "--quiet"]) == 0
    assert "only the metrics of whole images" in capsys.readouterr().out


LOST = {
    "0.jpg": "same stem",
    "0_mask.png": "a mask among images",
    "cam1/0.png": "deeper",
    "1.heic": "formats that are not read",
}


def test_queries_are_never_lost_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = source(tmp_path / "in", {**NERFSTUDIO, "w": 16, "h": 16, "cx": 8.0}, size=(16, 16))
    for place, said in LOST.items():
        folder = write_object(tmp_path / said / "toy")
        write_picture(folder / "test/Burrs" / place.replace("heic", "png"), np.zeros((16, 16, 3), dtype=np.uint8))
        if place.endswith("heic"):
            (folder / "test/Burrs/1.png").rename(folder / "test/Burrs/1.heic")
            (folder / "ground_truth/Burrs/1_mask.png").unlink()
        assert verify_command([str(folder.parent), "--expect", "any", "--quiet"]) == 1
        assert said in capsys.readouterr().out
        options = ImportOptions(tmp_path / "out", test=folder / "test")
        if place.endswith("heic"):
            assert said in "\n".join(import_transforms(path, None, options).lines())
            continue
        with pytest.raises(InputError, match=said):
            import_transforms(path, None, options)
        assert not (tmp_path / "out").exists()
