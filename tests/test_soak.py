"""From a bare folder to verdicts: README's commands, then those for a new object, on photos that have no poses yet.

The photos are generated as a phone takes them on a walk around a toy, and new ones show it good or with a defect.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import blocks, read_page
from tests.workplace import Workplace

pytestmark = pytest.mark.slow


def python_commands(page: str) -> list[str]:
    return [line for line in blocks(read_page(Path(page))) if line.startswith("python ")]


DEMO = python_commands("README.md")[:3]
CAPTURE, DOCTOR, TRAIN, DETECT, TAKE_PHOTOS = python_commands("docs/own_object.md")[:5]
OWN_OBJECT = [CAPTURE, DOCTOR, TRAIN, DETECT, TAKE_PHOTOS]
PHOTO = "--masks new_masks new_photo.jpg"  # in DETECT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with Workplace.of(tmp_path_factory.mktemp("soak") / "copy") as place:
        yield place


@pytest.fixture
def seconds(record_property) -> dict[str, float]:
    """How long each step took; with what a test adds it is printed after all tests."""
    found: dict[str, float] = {}
    record_property("soak", found)
    return found


def run_timed(place: Workplace, command: str, seconds: dict[str, float], codes=(0,)) -> str:
    start = time.perf_counter()
    said = place.run(command, codes)
    name = " ".join(word for word in command.split()[1:4] if word != "-m" and not word.startswith("-"))
    seconds[f"{name}, s"] = round(time.perf_counter() - start, 1)
    return said


def test_the_sample_object_is_made_trained_and_tested(place: Workplace, seconds: dict[str, float]) -> None:
    for command in DEMO:
        run_timed(place, command, seconds)
    found = json.loads((place.folder / "output/submarine/results.json").read_text(encoding="utf-8"))
    figures = {"image AUROC": found["image_auroc"], "pixel AUROC": found["pixel_auroc"], "AUPRO": found["aupro"]}
    seconds.update({name: round(value, 4) for name, value in figures.items()})
    assert found["image_auroc"] > 0.9 and found["pixel_auroc"] > 0.95
    assert found["pose"]["found"] > 0.95
    assert (place.folder / "output/submarine/report.html").is_file()


def test_photos_without_poses_become_verdicts(place: Workplace, seconds: dict[str, float]) -> None:
    for command in (TAKE_PHOTOS, CAPTURE, DOCTOR, TRAIN):
        run_timed(place, command, seconds)
    taken = len(list((place.folder / "photos/pump").glob("*.jpg")))
    posed = json.loads((place.folder / "data/mine/pump/transforms.json").read_text(encoding="utf-8"))["frames"]
    seconds["photos with poses"] = round(len(posed) / taken, 3)
    assert taken > 40 and len(posed) >= 0.9 * taken

    assert PHOTO in DETECT
    run_timed(place, DETECT.replace(PHOTO, "--masks photos/pump_new_masks photos/pump_new"), seconds, codes={1})
    journal = place.folder / "output/pump/detect/detections.jsonl"
    found = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    good = {entry["photo"]: entry for entry in found if Path(entry["photo"]).name.startswith("good")}
    defective = {entry["photo"]: entry for entry in found if entry["photo"] not in good}
    seconds["threshold"] = round(found[0]["threshold"], 2)
    seconds["largest score of a good photo"] = round(max(entry["anomaly_score"] for entry in good.values()), 2)
    seconds["smallest of a defective one"] = round(min(entry["anomaly_score"] for entry in defective.values()), 2)
    assert len(good) >= 2 and len(defective) >= 6
    assert {entry["verdict"] for entry in good.values()} == {"good"}
    assert {entry["verdict"] for entry in defective.values()} == {"defective"}
    assert all(entry["pose_found"] for entry in good.values())


@pytest.mark.parametrize(("name", "code"), [("good_0", 0), ("Missing_0", 1)])
def test_one_new_photo_gets_the_exit_code_of_its_verdict(name: str, code: int, place: Workplace) -> None:
    (place.folder / "new_masks").mkdir(exist_ok=True)
    shutil.copy(place.folder / f"photos/pump_new/{name}.jpg", place.folder / "new_photo.jpg")
    shutil.copy(place.folder / f"photos/pump_new_masks/{name}.png", place.folder / "new_masks/new_photo.png")
    place.run(DETECT, {code})
