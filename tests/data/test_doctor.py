"""The doctor's command: what it says of files, what it mends, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.commands import doctor_command
from data.doctor.examine import examine
from data.doctor.quick import BAD_VERDICT, Check, quick_checks
from data.mad import load_views, views_fingerprint
from data.transforms_file import TransformsFile
from tests import hostile
from tests.data.test_doctor_fit import QUIET, quickly  # noqa: F401 - a fixture
from tests.data.toy_views import ANGLE, write_toy
from tests.mad_folder import write_object
from utils.errors import InputError

WHITE = (1.0, 1.0, 1.0)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_toy(tmp_path / "toy")


def change(folder: Path, work: Change) -> Path:
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    work(content)
    path.write_text(json.dumps(content))
    return folder


def of_poses(work: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(content: dict[str, Any]) -> None:
        for frame in content["frames"]:
            frame["transform_matrix"] = work(np.array(frame["transform_matrix"])).tolist()

    return apply


def times(rotation: float, translation: float) -> Change:
    return of_poses(lambda pose: scaled(pose, rotation, translation))


def scaled(pose: np.ndarray, rotation: float, translation: float) -> np.ndarray:
    pose = pose.copy()
    pose[:3, :3] *= rotation
    pose[:3, 3] *= translation
    return pose


def bad(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.advice for check in checks if check.verdict == BAD_VERDICT}


def test_a_good_object_is_good(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = views_fingerprint(toy)
    assert doctor_command([str(toy), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "bad" not in told and told.endswith("good\n") and views_fingerprint(toy) == before


CASES: list[tuple[str, Change, str, str]] = [
    ("degrees", lambda content: content.update(camera_angle_x=np.degrees(ANGLE)), "intrinsics", "0.7"),
    ("focal stated", lambda content: content.update(fl_x=400.0, w=48), "intrinsics", "fl_x is 400"),
    ("distortion", lambda content: content.update(k1=0.1), "intrinsics", "k1"),
    ("off centre", lambda content: content.update(cx=30.0), "intrinsics", "cx is 30"),
    ("narrow", lambda content: content.update(camera_angle_x=0.01), "intrinsics", "improbable"),
    ("millimetres", times(1.0, 1000.0), "scale", "0.001 (they look like millimetres)"),
    ("double", times(1.0, 2.1), "scale", "multiply"),
    ("scaled matrices", times(0.1, 1.0), "rigid poses", "scale by 0.1"),
    ("mirrored matrices", of_poses(lambda pose: pose @ np.diag([-1, 1, 1, 1])), "rigid poses", "mirror"),
    ("sheared", of_poses(lambda pose: pose + 0.3 * np.eye(4, k=1)), "rigid poses", "shear"),
    ("transposed", of_poses(np.transpose), "rigid poses", "last row"),
    ("world to camera", of_poses(np.linalg.inv), "cameras apart", "world-to-camera"),
    ("OpenCV", of_poses(lambda pose: pose @ np.diag([1, -1, -1, 1])), "common point", "OpenCV"),
    ("no picture", lambda content: content["frames"][2].update(file_path="train/good/x.png"), "files", "x.png"),
    ("no frame", lambda content: content["frames"].pop(3), "files", "3.png"),
    (
        "no pose",
        lambda content: content["frames"][7].update(transform_matrix=None),
        "files",
        "1 frames have no pose (7.png)",
    ),
    ("twice", lambda content: content["frames"].append(content["frames"][4]), "files", "4.png"),
]


@pytest.mark.parametrize("name, work, check, words", CASES, ids=[case[0] for case in CASES])
def test_quick_checks_tell_what_is_wrong(name: str, work: Change, check: str, words: str, toy: Path) -> None:
    assert bad(quick_checks(TransformsFile.read(toy))) == {}
    found = bad(quick_checks(TransformsFile.read(change(toy, work))))
    assert words in found[check], found


def test_pictures_of_another_size_are_named(toy: Path) -> None:
    Image.new("RGB", (20, 20)).save(toy / "train/good/5.png")
    assert "5.png" in bad(quick_checks(TransformsFile.read(toy)))["image size"]


@pytest.mark.parametrize(
    "work, scale",
    [
        (times(1.0, 1000.0), 1.0),
        (times(1.0, 2.1), 4.0 / 3.0),
        (of_poses(np.linalg.inv), 1.0),
        (times(0.1, 1.0), 1.0),
        (of_poses(lambda pose: np.diag([1, 1, -1, 1]) @ pose @ np.diag([1, 1, -1, 1])), 1.0),
        (of_poses(lambda pose: pose @ np.diag([1, 1, -1, 1])), 1.0),
        (of_poses(lambda pose: pose @ np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])), 1.0),
        (lambda content: content.update(camera_angle_x=np.degrees(ANGLE)), 1.0),
    ],
    ids=["millimetres", "double", "world to camera", "scaled", "Unity", "mirrored", "turned", "degrees"],
)
def test_a_mended_copy_is_good_and_as_it_was_before(work: Change, scale: float, toy: Path, tmp_path: Path) -> None:
    truth = load_views(toy, 400, WHITE)
    before = views_fingerprint(change(toy, work))
    assert doctor_command([str(toy), "--quiet", "--fix", str(tmp_path / "mended")]) == 1
    assert views_fingerprint(toy) == before
    assert doctor_command([str(tmp_path / "mended"), "--quiet"]) == 0
    mended = load_views(tmp_path / "mended", 400, WHITE)
    assert mended.names == truth.names and (mended.images == truth.images).all()
    assert mended.intrinsics.focal_x == pytest.approx(truth.intrinsics.focal_x)
    np.testing.assert_allclose(mended.camera_to_world[:, :3, :3], truth.camera_to_world[:, :3, :3], atol=1e-5)
    places = scale * truth.camera_to_world[:, :3, 3]
    np.testing.assert_allclose(mended.camera_to_world[:, :3, 3], places, atol=0.1 if scale != 1.0 else 1e-5)
    assert json.loads((tmp_path / "mended/transforms.json").read_text())["maker"] == "toy"


def test_mirrored_pictures_are_flipped_back_with_their_masks(toy: Path, tmp_path: Path) -> None:
    truth = load_views(toy, 400, WHITE).images
    (toy / "masks/train/good").mkdir(parents=True)
    for path in sorted((toy / "train/good").iterdir()):
        picture = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        picture.save(path)
        mask = Image.fromarray((np.asarray(picture)[..., 1] < 128).astype(np.uint8) * 255)
        mask.save(toy / "masks/train/good" / path.name)
    assert doctor_command([str(toy), "--quiet", "--fix", str(tmp_path / "mended")]) == 1
    assert (load_views(tmp_path / "mended", 400, WHITE).images == truth).all()
    assert doctor_command([str(tmp_path / "mended"), "--quiet"]) == 0


def test_lost_frames_and_pictures_stay_out_of_the_copy(toy: Path, tmp_path: Path) -> None:
    change(toy, lambda content: content["frames"][9].update(transform_matrix=[[float("nan")] * 4] * 4))
    change(toy, lambda content: content["frames"].pop(3))
    (toy / "train/good/7.png").unlink()
    (toy / "readme").write_text("kept")
    assert doctor_command([str(toy), "--quiet", "--fix", str(tmp_path / "mended")]) == 1
    names = load_views(tmp_path / "mended", 400, WHITE).names
    assert set(names) == {str(index) for index in range(24)} - {"3", "7", "9"}
    assert (tmp_path / "mended/readme").read_text() == "kept"


def test_nothing_is_written_over(toy: Path, tmp_path: Path) -> None:
    change(toy, times(1.0, 1000.0))
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="already"):
        doctor_command([str(toy), "--quiet", "--fix", str(tmp_path / "there")])
    with pytest.raises(InputError, match="outside"):
        doctor_command([str(toy), "--quiet", "--fix", str(toy / "mended")])
    assert not list((tmp_path / "there").iterdir()) and not (toy / "mended").exists()


def test_a_background_that_is_not_plain_needs_masks(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0)
    for path in sorted((toy / "train/good").iterdir()):
        picture = np.asarray(Image.open(path))
        seen = picture[..., 1] < 128
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(seen.astype(np.uint8) * 255).save(tmp_path / "masks" / path.name)
        clutter = noise.integers(0, 256, picture.shape, dtype=np.uint8)
        Image.fromarray(np.where(seen[..., None], picture, clutter)).save(path)
    assert doctor_command([str(toy), "--quiet"]) == 0
    assert "--masks" in capsys.readouterr().out
    change(toy, of_poses(lambda pose: pose @ np.diag([1, -1, -1, 1])))
    assert doctor_command([str(toy), "--quiet", "--masks", str(tmp_path / "masks")]) == 1
    assert "OpenCV axes" in capsys.readouterr().out


def masks_of(toy: Path, folder: Path, work: Callable[[np.ndarray], np.ndarray] = lambda masks: masks) -> Path:
    """Write the toy's masks, changed by ``work`` on all (views, height, width) bool at once, as 0 and 255."""
    paths = sorted((toy / "train/good").iterdir())
    masks = np.stack([np.asarray(Image.open(path))[..., 1] < 128 for path in paths])
    folder.mkdir(parents=True)
    for path, mask in zip(paths, work(masks)):
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(folder / path.name)
    return folder


def two_digits(name: str) -> str:
    return f"train/good/{int(Path(name).stem):02}.png"


MASK_FAULTS: list[tuple[str, Callable[[np.ndarray], np.ndarray], str, str]] = [
    ("empty", np.zeros_like, "silhouettes", r"100% of them mark no object"),
    ("inverted", np.logical_not, "silhouettes", r"invert them .* Inverted ones fit the poses \(median IoU 0\.[89]"),
    ("of other views", lambda masks: masks[::-1], "poses fit images", "masks, of other images"),
    ("one of another view", lambda masks: masks[[5, *range(1, len(masks))]], "odd views", r"0\.png"),
    ("of the view before", lambda masks: np.roll(masks, 1, axis=0), "lag", "neighbour"),
]


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("name, work, check, words", MASK_FAULTS, ids=[case[0] for case in MASK_FAULTS])
def test_masks_are_proven_too(
    name: str, work: Callable[[np.ndarray], np.ndarray], check: str, words: str, beside: bool, toy: Path, tmp_path: Path
) -> None:
    if name == "of the view before":  # the natural order, which is not that of text
        for path in sorted((toy / "train/good").iterdir()):
            path.rename(path.with_name(f"{int(path.stem):02}.png"))
        change(
            toy, lambda content: [frame.update(file_path=two_digits(frame["file_path"])) for frame in content["frames"]]
        )
    masks = masks_of(toy, toy / "masks/train/good" if beside else tmp_path / "masks", work)
    found = bad(examine(toy, None if beside else masks, "white", QUIET).checks)
    assert re.search(words, found[check]), found


@pytest.mark.parametrize("turn, degrees", [("ROTATE_90", 270), ("ROTATE_270", 90), ("ROTATE_180", 180)])
def test_images_that_are_turned_one_by_one_are_named(turn: str, degrees: int, toy: Path) -> None:
    for index in range(0, 24, 4):
        path = toy / f"train/good/{index}.png"
        Image.open(path).transpose(Image.Transpose[turn]).save(path)
    told = bad(examine(toy, None, "white", QUIET).checks)["turned images"]
    named = re.findall(r"(\d+)\.png (\d+)°", told)
    assert len(named) >= 3 and {(int(name) % 4, int(turned)) for name, turned in named} == {(0, degrees)}


def test_nothing_is_offered_that_cannot_be_mended(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = masks_of(toy, tmp_path / "masks", np.logical_not)
    assert doctor_command([str(toy), "--quiet", "--masks", str(masks)]) == 1
    assert "--fix" not in capsys.readouterr().out
    with pytest.raises(InputError, match="write the masks again"):
        doctor_command([str(toy), "--quiet", "--masks", str(masks), "--fix", str(tmp_path / "mended")])


def test_another_plain_background_is_recognized(toy: Path) -> None:
    for path in (toy / "train/good").iterdir():
        picture = np.asarray(Image.open(path))
        Image.fromarray(np.where(picture[..., 1:2] > 128, 0, picture).astype(np.uint8)).save(path)
    checks = {check.name: check for check in examine(toy, None, "white", QUIET).checks}
    assert "--background black" in checks["silhouettes"].advice
    assert examine(toy, None, "black", QUIET).good


@pytest.mark.parametrize(("colour", "advised"), [((250, 250, 255), "black"), ((120, 20, 20), None)])
def test_a_cut_out_object_in_the_colour_of_its_background_needs_another(
    colour: tuple[int, int, int], advised: str | None, toy: Path
) -> None:
    for path in (toy / "train/good").iterdir():
        object_shown = np.asarray(Image.open(path))[..., 1] < 128
        picture = np.dstack([np.full((*object_shown.shape, 3), colour, np.uint8), np.uint8(255) * object_shown])
        Image.fromarray(picture).save(path)
    check = {check.name: check for check in examine(toy, None, "white", QUIET).checks}["colours"]
    assert (f"--background {advised}" in check.advice) if advised else (check.verdict, check.advice) == ("good", "")
    checks = {check.name: check for check in examine(toy, None, "green", QUIET).checks}
    assert checks["colours"].verdict == "good"


def test_pictures_that_belong_to_other_poses_cannot_be_mended(toy: Path, tmp_path: Path) -> None:
    order = np.random.default_rng(2).permutation(24)

    def shuffle(content: dict[str, Any]) -> None:
        poses = [frame["transform_matrix"] for frame in content["frames"]]
        for frame, place in zip(content["frames"], order):
            frame["transform_matrix"] = poses[place]

    found = examine(change(toy, shuffle), None, "white", QUIET)
    assert "no known mistake" in bad(found.checks)["poses fit images"]
    with pytest.raises(InputError, match="capture"):
        doctor_command([str(toy), "--quiet", "--fix", str(tmp_path / "mended")])
    assert not (tmp_path / "mended").exists()


def test_the_page_stands_alone(toy: Path, tmp_path: Path) -> None:
    change(toy, of_poses(np.linalg.inv))
    (toy.parent / "<i>").mkdir()
    toy = toy.rename(toy.parent / "<i>" / "a&b")
    doctor_command([str(toy), "--quiet", "--page", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text()
    assert "a&amp;b" in page and "world-to-camera" in page and page.count("<svg") >= 6
    assert "http://" not in page and "https://" not in page and 'src="data:' in page


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"camera_angle_x": "x", "frames": [{}]}'])
def test_what_cannot_be_read_is_one_sentence(content: str, toy: Path) -> None:
    (toy / "transforms.json").write_text(content)
    with pytest.raises(InputError):
        doctor_command([str(toy), "--quiet"])


@given(st.data())
def test_any_transforms_are_checked_or_refused(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        write_object(Path(folder), views=2, size=4, queries=())
        path = Path(folder) / "transforms.json"
        content = data.draw(hostile.changed(json.loads(path.read_text())))
        path.write_text(json.dumps(content))
        hostile.ends_well(lambda: quick_checks(TransformsFile.read(Path(folder))))


@settings(max_examples=15)
@given(st.data())
def test_any_transforms_are_examined_or_refused(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        write_object(Path(folder), views=3, size=4, queries=())
        path = Path(folder) / "transforms.json"
        path.write_text(json.dumps(data.draw(hostile.changed(json.loads(path.read_text())))))
        hostile.ends_well(lambda: examine(Path(folder), None, "white", QUIET))
