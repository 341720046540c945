"""The whole path on a little world of spheres in the MAD layout: train, test, inspect."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import anomaly_nerf_lego
import auroc_test
import detect
from pipeline.model import Model
from tests.data.sources import write_photo
from tests.mad_folder import write_picture
from tests.world import write_world
from utils.camera import pose_errors
from utils.errors import InputError, exit_code_of
from utils.images import read_map

SMALL = [
    *("--field_resolution", "64", "--field_levels", "2", "--field_steps", "150", "--field_rays_per_step", "4096"),
    *("--retrieval_virtual_views", "200"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and tested object."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data/balls")
    assert anomaly_nerf_lego.main(words(folder)) == 0
    assert auroc_test.main(words(folder)) == 0
    return folder


def words(folder: Path, *more: str) -> list[str]:
    names = {"data_dir": "data", "ckpt_dir": "ckpts", "output_dir": "output"}
    paths = [word for key, name in names.items() for word in (f"--{key}", str(folder / name))]
    return [*paths, *SMALL, "--obj", "balls", "--device", "cpu", "--quiet", *more]


def results(folder: Path) -> dict:
    return json.loads((folder / "output/balls/results.json").read_text())


def scores(folder: Path) -> dict[str, float]:
    return {query["name"]: query["anomaly_score"] for query in results(folder)["queries"]}


def test_defects_outrank_faultless_queries(place: Path) -> None:
    found = results(place)
    assert set(found["per_defect"]) == {"Missing", "Stains"}
    assert found["per_defect"]["Stains"]["image_auroc"] == 1.0
    assert found["image_auroc"] >= 0.875  # nothing is missing from what Missing/2 shows
    assert found["pixel_auroc"] > 0.98 and found["aupro"] > 0.8
    assert found["psnr"] > 25


def test_poses_are_found(place: Path) -> None:
    found = results(place)
    assert found["pose"]["found"] == 1.0 and found["pose"]["rotation_deg"]["median"] < 0.5
    truth = json.loads((place / "data/balls/poses_truth.json").read_text())
    for query in found["queries"]:
        if query["defect_type"] == "good":
            angle, distance = pose_errors(torch.tensor(query["camera_to_world"]), torch.tensor(truth[query["name"]]))
            assert angle < 0.02 and distance < 0.05


def test_files_are_where_others_look_for_them(place: Path) -> None:
    folder = place / "output/balls"
    for kind in ("good", "Missing", "Stains"):
        for number in range(4):
            values = read_map(folder / f"anomaly_maps/test/{kind}/{number}.tiff")
            assert values.shape == (96, 96) and values.dtype == torch.float32 and bool(values.isfinite().all())
    assert (folder / "report.html").stat().st_size > 10_000 and (folder / "panels.png").stat().st_size > 1_000
    found = results(place)
    promised = (
        "object_name image_auroc pixel_auroc aupro image_f1 threshold per_defect psnr pose seconds queries config"
    )
    assert set(promised.split()) <= set(found) and found["environment"]["torch"]
    assert {"train", "gallery", "calibrate", "query_median", "query_p90"} <= set(found["seconds"])


def test_same_scores_again_afresh_and_from_the_written_config(place: Path, tmp_path: Path) -> None:
    before = scores(place)
    shutil.copytree(place / "ckpts", tmp_path / "ckpts")
    config = ["--config", str(place / "output/balls/config.txt")]
    again = [*config, "--ckpt_dir", str(tmp_path / "ckpts"), "--output_dir", str(tmp_path / "output"), "--quiet"]
    path = tmp_path / "output/balls/results.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")  # as an older version may have left
    with pytest.raises(InputError, match="test the object again with --overwrite"):
        auroc_test.main(again)
    assert auroc_test.main([*again, "--overwrite"]) == 0
    assert scores(tmp_path) == before


def test_done_work_is_skipped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [path for folder in ("ckpts", "output") for path in (place / folder).rglob("*") if path.is_file()]
    times = {path: path.stat().st_mtime_ns for path in files}
    assert anomaly_nerf_lego.main(words(place)) == 0 and auroc_test.main(words(place)) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == times
    assert f"image_auroc={results(place)['image_auroc']:.4f}" in capsys.readouterr().out


def test_rescoring_keeps_poses_and_scores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = results(place)

    def searched(*arguments: object) -> None:
        raise AssertionError("a pose was searched again")

    monkeypatch.setattr("pipeline.model.refinement_method", searched)
    assert auroc_test.main(words(place, "--rescore")) == 0
    after = results(place)
    assert [query["camera_to_world"] for query in after["queries"]] == [
        query["camera_to_world"] for query in before["queries"]
    ]
    assert scores(place) == {query["name"]: query["anomaly_score"] for query in before["queries"]}


def test_interrupted_test_loses_nothing_and_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, original, calls = results(place), Model.detect_image, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "detect_image", interrupted)
    assert exit_code_of(lambda: auroc_test.main(words(place, "--seed", "5"))) == 130
    assert results(place) == before
    assert auroc_test.main(words(place, "--seed", "5")) == 0
    assert len(calls) == 6 + 12 - 5
    assert scores(place) == {query["name"]: query["anomaly_score"] for query in before["queries"]}


def test_photos_get_verdicts(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = place / "data/balls/test"
    output = ["--output_dir", str(tmp_path / "out")]
    assert detect.main(words(place, *output, str(photos / "Stains"), str(photos / "Missing/0.png"))) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all("\tdefective\t" in line and line.endswith("pose found") for line in lines)
    entries = [json.loads(line) for line in (tmp_path / "out/balls/detect/detections.jsonl").open()]
    assert len(entries) == 5 and all(Path(entry["heat_map"]).is_file() for entry in entries)
    expected = scores(place)
    assert [entry["anomaly_score"] for entry in entries[:4]] == [expected[f"Stains/{number}"] for number in range(4)]


def test_a_photo_as_its_camera_wrote_it_gets_the_verdict_of_the_query_made_of_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = Image.open(place / "data/balls/test/Stains/0.png")
    write_photo(tmp_path / "photo.png", 6, np.asarray(query.resize((192, 192), 0).transpose(Image.Transpose.ROTATE_90)))
    mask = np.zeros((192, 192), dtype=np.uint8)
    mask[:96] = 255
    write_picture(tmp_path / "masks/photo.png", mask)
    output = ["--output_dir", str(tmp_path / "out")]
    assert detect.main(words(place, *output, str(tmp_path / "photo.png"))) == 1
    detect.main(words(place, *output, "--masks", str(tmp_path / "masks"), str(tmp_path / "photo.png")))
    whole, halved = [json.loads(line) for line in (tmp_path / "out/balls/detect/detections.jsonl").open()]
    assert whole["anomaly_score"] == pytest.approx(scores(place)["Stains/0"], rel=0.02)
    assert halved["anomaly_score"] > 1.5 * whole["anomaly_score"]
    capsys.readouterr()
    with pytest.raises(InputError, match="no folder"):
        detect.main(words(place, "--masks", str(tmp_path / "none"), str(tmp_path / "photo.png")))


def test_faultless_photos_and_errors(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = results(place)
    good = [query for query in found["queries"] if query["defect_type"] == "good"]
    best = min(good, key=lambda query: query["anomaly_score"])
    photo = place / f"data/balls/test/{best['name']}.png"
    assert detect.main(words(place, str(photo))) == (0 if best["verdict"] == "good" else 1)
    (tmp_path / "empty.png").touch()
    capsys.readouterr()
    assert detect.main(words(place, str(tmp_path / "empty.png"), str(photo))) == 2
    said = capsys.readouterr()
    assert "empty.png cannot be read" in said.err and str(photo) in said.out
    with pytest.raises(InputError, match="no file or folder"):
        detect.main(words(place, str(tmp_path / "nothing.png")))


def test_checkpoints_of_another_kind_are_told(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "ckpts", tmp_path / "ckpts")
    folder = tmp_path / "ckpts/balls"
    shutil.copy(folder / "gallery.safetensors", folder / "field.safetensors")
    spoilt = words(place, "--ckpt_dir", str(tmp_path / "ckpts"), "--output_dir", str(tmp_path / "output"))
    with pytest.raises(InputError, match=r"field\.safetensors holds 'thumbnails'"):
        auroc_test.main(spoilt)


@pytest.mark.parametrize("name", ["field", "gallery", "calibration", "parts"])
def test_spoilt_checkpoints_are_told_and_kept(place: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(place / "ckpts", tmp_path / "ckpts")
    path = tmp_path / f"ckpts/balls/{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    before = path.read_bytes()
    spoilt = words(place, "--ckpt_dir", str(tmp_path / "ckpts"), "--output_dir", str(tmp_path / "output"))
    with pytest.raises(InputError, match=rf"{name}\.safetensors is not an intact checkpoint"):
        auroc_test.main(spoilt)
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises((FileNotFoundError, InputError), match=r"anomaly_nerf_lego\.py"):
        auroc_test.main(spoilt)


def test_bad_field_is_told(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "ckpts", tmp_path / "ckpts")
    (tmp_path / "ckpts/balls/gallery.safetensors").unlink()
    bad = words(place, "--ckpt_dir", str(tmp_path / "ckpts"), "--min_psnr", "90")
    with pytest.raises(InputError, match=r"field of balls is bad: .* --allow_bad_field"):
        anomaly_nerf_lego.main(bad)


def test_labels_of_whole_images_give_the_metrics_of_whole_images(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "data/balls/ground_truth")
    (tmp_path / "data/balls/test/good").rename(tmp_path / "data/balls/test/Good")
    before = scores(tmp_path)
    assert auroc_test.main(words(tmp_path)) == 0
    found, after = results(tmp_path), scores(tmp_path)
    assert found["image_auroc"] >= 0.875 and found["pixel_auroc"] is None and found["aupro"] is None
    assert {name.replace("Good", "good"): score for name, score in after.items()} == pytest.approx(before)


def test_no_photo_of_a_folder_is_passed_over(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open(place / "data/balls/test/good/0.png").save(tmp_path / "0.webp", lossless=True)
    (tmp_path / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert detect.main([*words(place), str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "0.webp\tgood" in said.out and "1.heic cannot be read: it is HEIC" in said.err


def test_queries_without_masks_are_found_where_that_is_asked_for(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("data", "ckpts"):
        shutil.copytree(place / name, tmp_path / name)
    random, shown = np.random.default_rng(0), {}
    for path in (tmp_path / "data/balls/test").rglob("*.png"):
        image = np.asarray(Image.open(path).convert("RGB"))
        clutter = random.integers(0, 255, image.shape).astype(np.uint8)
        shown[path] = (image < 250).any(axis=2, keepdims=True)
        Image.fromarray(np.where(shown[path], image, clutter)).save(path)
    monkeypatch.setattr(Model, "saliency", property(lambda _: lambda image: np.ones(image.shape[:2], np.float32)))
    assert auroc_test.main(words(tmp_path)) == 0
    assert f"{len(shown)} queries have neither masks nor a plain background" in capsys.readouterr().err
    misled = results(tmp_path)
    assert auroc_test.main(words(tmp_path, "--query_masks", "auto")) == 0
    found = results(tmp_path)
    assert all(query["pose_found"] for query in found["queries"]) and found["image_auroc"] > 0.9
    assert found["pixel_auroc"] > max(0.95, misled["pixel_auroc"])
    assert exit_code_of(lambda: auroc_test.main(words(tmp_path, "--query_masks", "auto", "--rescore"))) == 2
