"""Each box of the method, swapped alone and all together, from the command line at tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import anomaly_nerf_lego
import auroc_test
from tests.world import write_world
from utils.camera import Intrinsics
from utils.errors import exit_code_of

PAPER = Path(__file__).resolve().parent.parent / "configs" / "paper.txt"
CAMERA = Intrinsics.from_angle(48, 48, 0.69)
SMALL = [
    *("--field_resolution", "32", "--field_levels", "1", "--field_steps", "60", "--field_rays_per_step", "2048"),
    *("--retrieval_virtual_views", "60", "--retrieval_size", "64", "--retrieval_loftr_size", "64"),
    *("--netdepth", "2", "--netwidth", "16", "--netdepth_fine", "2", "--netwidth_fine", "16", "--N_iters", "30"),
    *("--N_rand", "64", "--N_samples", "8", "--N_importance", "8", "--inerf_steps", "5", "--batch_size", "128"),
    *("--score_size", "64", "--held_out_every", "12", "--allow_bad_field", "--device", "cpu", "--quiet"),
]
RANDOM = ("--backbone", "random")
SWAPS = {
    "mlp": ["--field", "mlp"],
    "resnet50": ["--retrieval", "resnet50", *RANDOM],
    "efficientnet_b4": ["--retrieval", "efficientnet_b4", *RANDOM],
    "loftr": ["--retrieval", "loftr", *RANDOM],
    "adam": ["--refine", "adam", "--save_video"],
    "paper": ["--score", "paper", *RANDOM],
    "all": ["--config", str(PAPER), *RANDOM],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and the object trained with the default methods."""
    folder = tmp_path_factory.mktemp("choices")
    write_world(folder / "data/balls", CAMERA, queries=1)
    assert anomaly_nerf_lego.main(words(folder)) == 0
    return folder


def words(folder: Path, *more: str) -> list[str]:
    paths = [word for key in ("data", "ckpt", "output") for word in (f"--{key}_dir", str(folder / key))]
    return [*paths, "--obj", "balls", *SMALL, *more]


@pytest.mark.parametrize("name", SWAPS)
def test_each_box_can_be_swapped(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--ckpt_dir", str(place / "ckpt" / name), "--output_dir", str(place / "output" / name)]
    assert anomaly_nerf_lego.main(words(place, *own, *SWAPS[name])) == 0
    assert auroc_test.main(words(place, *own, *SWAPS[name])) == 0
    found = json.loads((place / "output" / name / "balls/results.json").read_text())
    wanted = dict(zip(SWAPS[name][::2], SWAPS[name][1::2]))
    assert all(found["config"][key[2:]] == value for key, value in wanted.items() if key[2:] in found["config"])
    assert len(found["queries"]) == 3 and all(query["anomaly_score"] >= 0 for query in found["queries"])
    says_random = "backbone=random" in capsys.readouterr().out
    assert says_random == ("random" in SWAPS[name])
    report = (place / "output" / name / "balls/report.html").read_text()
    assert says_random == ("Random weights stood in" in report)
    assert f"<dt>Comparison</dt><dd>{found['config']['score']}</dd>" in report
    films = list((place / "output" / name).rglob("video.gif"))
    assert len(films) == (3 if "--save_video" in SWAPS[name] else 0)


def test_swapping_the_refinement_keeps_field_and_gallery(place: Path) -> None:
    files = [place / "ckpt/balls" / f"{step}.safetensors" for step in ("field", "gallery", "calibration")]
    before = [file.stat().st_mtime_ns for file in files]
    assert anomaly_nerf_lego.main(words(place, "--refine", "adam")) == 0
    assert [file.stat().st_mtime_ns == old for file, old in zip(files, before)] == [True, True, False]


@pytest.mark.parametrize("swap", ["resnet50", "efficientnet_b4", "loftr", "paper"])
def test_missing_weights_are_one_sentence(
    place: Path, swap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.getaddrinfo", offline)
    options = [word for word in SWAPS[swap] if word not in RANDOM]
    folder = ["--ckpt_dir", str(tmp_path / "ckpt")]
    assert exit_code_of(lambda: anomaly_nerf_lego.main(words(place, *folder, *options))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error and "--weights_dir" in error
    assert ("backbone = lite0" in error) == (swap in ("efficientnet_b4", "paper"))  # where it can stand in
    assert not (tmp_path / "ckpt").exists()  # told before any work is done


def offline(*_: object, **__: object) -> None:
    raise OSError("no network in tests")
