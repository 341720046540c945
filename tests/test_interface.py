"""The public interface: an object is trained, saved, loaded and asked about images in every form."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import omniposead as pad
from tests.world import tiny_config, write_world
from utils.camera import Intrinsics

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of an object, and the object trained."""
    folder = tmp_path_factory.mktemp("interface")
    write_world(folder / "balls", Intrinsics.from_angle(64, 64, 0.69), queries=1)
    pad.train(folder / "balls", tiny_config(ckpt_dir=str(folder / "ckpts")))
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> pad.Model:
    return pad.Model.load(place / "ckpts/balls", device="cpu")


def test_an_image_in_every_form_gets_the_same_detection(place: Path, model: pad.Model) -> None:
    path = place / "balls/test/Stains/0.png"
    image = Image.open(path).convert("RGB")
    forms = [path, str(path), image, np.asarray(image), np.asarray(image, np.float32) / 255.0]
    found = [model.detect(form, name="Stains/0") for form in forms]
    for each in found:
        assert each.verdict == "defective" and each.anomaly_score == found[0].anomaly_score > each.threshold
        assert torch.equal(each.anomaly_map, found[0].anomaly_map) and each.anomaly_map.shape == (64, 64)
    first = found[0]
    assert first.reference.shape == (64, 64, 3) and first.pose.shape == (4, 4) and first.pose_found
    worst = first.regions[0]
    assert isinstance(worst, pad.Region) and worst.anomaly_score == pytest.approx(first.anomaly_score)
    assert worst.p_value == pytest.approx(first.p_value) and worst.length is not None and 0.05 < worst.length < 1.0
    assert 0.0 <= first.p_value < 0.05 and first.pose_confidence is not None and 0.5 < first.pose_confidence <= 1.0


def test_a_good_image_is_more_probable_than_a_defective_one(place: Path, model: pad.Model) -> None:
    found = {each.name: each for each in model.detect_all(place / "balls/test")}
    assert set(found) == {"test/Missing/0", "test/Stains/0", "test/good/0"}
    assert found["test/good/0"].p_value > found["test/Stains/0"].p_value


def test_a_mask_cuts_the_object_out(place: Path, model: pad.Model, tmp_path: Path) -> None:
    image = np.asarray(Image.open(place / "balls/test/good/0.png").convert("RGB"))
    shown = (image < 250).any(axis=2)
    cluttered = np.where(shown[..., None], image, np.uint8(40))
    plain = model.detect(image, name="query")
    masks = (shown, np.where(shown, 255, 0).astype(np.uint8))
    Image.fromarray(masks[1]).save(tmp_path / "mask.png")
    Image.fromarray(cluttered).save(tmp_path / "photo.png")
    for mask in masks:
        assert model.detect(cluttered, mask=mask, name="query").anomaly_score == pytest.approx(plain.anomaly_score)
    from_files = model.detect(tmp_path / "photo.png", mask=tmp_path / "mask.png", name="query")
    assert from_files.anomaly_score == pytest.approx(plain.anomaly_score)


def test_a_mask_is_found_and_corrected_by_the_pose(
    place: Path, model: pad.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.asarray(Image.open(place / "balls/test/good/0.png").convert("RGB"))
    shown = (image < 250).any(axis=2)
    cluttered = np.where(shown[..., None], image, np.uint8(40))
    wrong = shown.copy()
    wrong[:16, :20] = True  # the network takes a corner for a part of the object
    monkeypatch.setitem(vars(model), "saliency", lambda _: wrong.astype(np.float32))
    found, query = model.detect_uncut(torch.from_numpy(cluttered).float() / 255.0, "query")
    assert found.pose_found and (query[:16, :20] == 1.0).all()
    again = model.detect(cluttered, mask="auto", name="query")
    assert again.anomaly_score == found.anomaly_score
    plain, misled = model.detect(image, name="query"), model.detect(cluttered, mask=wrong, name="query")
    assert found.verdict == plain.verdict and found.anomaly_score < misled.anomaly_score


def test_an_object_that_the_network_misses_is_found_by_what_it_looks_like(
    place: Path, model: pad.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.asarray(Image.open(place / "balls/test/good/0.png").convert("RGB"))
    shown = (image < 250).any(axis=2)
    clutter = np.random.default_rng(0).integers(0, 255, (*image.shape[:2], 3)).astype(np.uint8)
    photo = np.where(shown[..., None], image, clutter)
    elsewhere = np.zeros(shown.shape, np.float32)
    elsewhere[:12, :30] = 1.0
    monkeypatch.setitem(vars(model), "saliency", lambda _: elsewhere)
    assert not model.detect(photo, mask=elsewhere > 0, name="query").pose_found
    found, query = model.detect_uncut(torch.from_numpy(photo).float() / 255.0, "query")
    assert found.pose_found and torch.allclose(found.pose, model.detect(image, name="query").pose, atol=0.05)
    cut = (query.numpy() < 1.0).any(axis=2)
    assert (cut & shown).sum() > 0.9 * (cut | shown).sum()


def test_a_saved_model_loads_and_finds_the_same(place: Path, model: pad.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "copy")
    shutil.copytree(place / "ckpts/balls", tmp_path / "moved")
    query = place / "balls/test/Missing/0.png"
    scores = {
        pad.Model.load(folder, "cpu").detect(query).anomaly_score for folder in (tmp_path / "copy", tmp_path / "moved")
    }
    assert scores == {model.detect(query).anomaly_score}


def test_wrong_images_are_one_sentence(model: pad.Model, tmp_path: Path) -> None:
    with pytest.raises(pad.InputError, match="height, width, 3 or 4"):
        model.detect(np.zeros((64, 64), np.uint8))
    with pytest.raises(pad.InputError, match=r"float in \[0, 1\]"):
        model.detect(np.full((64, 64, 3), 2.0))
    with pytest.raises(pad.InputError, match="same camera"):
        model.detect(np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(pad.InputError, match="A mask must be"):
        model.detect(np.zeros((64, 64, 3), np.uint8), mask=np.zeros((64, 64, 1), np.uint8))
    with pytest.raises(FileNotFoundError):
        model.detect(tmp_path / "none.png")
    with pytest.raises(pad.InputError, match=r"run anomaly_nerf_lego\.py --obj none first"):
        pad.Model.load(tmp_path / "none")


def test_the_readme_example_runs(
    place: Path, model: pad.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    shutil.copyfile(place / "balls/test/Stains/0.png", tmp_path / "photo.jpg")
    shutil.copytree(place / "balls/test/good", tmp_path / "new_photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pad, "train", {"data/mine/pump": model}.__getitem__)
    exec(compile(example, "README.md", "exec"), {})
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("defective ") and re.fullmatch(r"new_photos/0 (good|defective)", last)


def test_the_example_detects_a_stain(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(ROOT / "examples/detect_one_photo.py"))
    example["main"](str(place / "ckpts/balls"), str(place / "balls/test/Stains/0.png"))
    verdict, place_and_pose = capsys.readouterr().out.splitlines()
    assert verdict.startswith("defective: score ") and place_and_pose.endswith("pose found")
    row, column = (int(number) for number in re.findall(r"(?:row|column) (\d+)", place_and_pose))
    mask = np.asarray(Image.open(place / "balls/ground_truth/Stains/0_mask.png"))
    assert mask[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4].any()


def test_version_is_a_version() -> None:
    assert pad.__version__.count(".") == 2
