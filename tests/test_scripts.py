"""The scripts' boundary: what they say and how they end, without any training."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import anomaly_nerf_lego
import auroc_test
import detect
from pipeline.photos import find_photos
from tests.mad_folder import write_object, write_picture
from utils.errors import InputError, exit_code_of

ROOT = Path(__file__).resolve().parent.parent


def places(folder: Path) -> list[str]:
    return [
        *("--data_dir", str(folder / "data")),
        *("--ckpt_dir", str(folder / "ckpts")),
        *("--output_dir", str(folder / "output")),
    ]


@pytest.mark.parametrize("script", [anomaly_nerf_lego, auroc_test])
def test_missing_object(tmp_path: Path, script: object, capsys: pytest.CaptureFixture[str]) -> None:
    write_object(tmp_path / "data/pump")
    assert exit_code_of(lambda: script.main([*places(tmp_path), "--obj", "pmp"])) == 2  # type: ignore[attr-defined]
    assert "did you mean pump?" in capsys.readouterr().err
    assert exit_code_of(lambda: script.main(places(tmp_path))) == 2  # type: ignore[attr-defined]
    assert "holds pump" in capsys.readouterr().err


def test_too_few_views(tmp_path: Path) -> None:
    write_object(tmp_path / "data/pump", views=3)
    with pytest.raises(InputError, match="3 training views"):
        anomaly_nerf_lego.main([*places(tmp_path), "--obj", "pump", "--quiet"])


def test_views_that_show_nothing(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "data/pump", views=9)
    for index in range(9):
        write_picture(folder / f"train/good/{index}.png", np.full((16, 16, 3), 255, dtype=np.uint8))
    with pytest.raises(InputError, match="background"):
        anomaly_nerf_lego.main([*places(tmp_path), "--obj", "pump", "--quiet"])


def test_untrained_object(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "data/pump")
    with pytest.raises(InputError, match=r"run anomaly_nerf_lego\.py --obj pump first"):
        auroc_test.main([*places(tmp_path), "--obj", "pump"])
    with pytest.raises(InputError, match=r"run anomaly_nerf_lego\.py --obj pump first"):
        detect.main([*places(tmp_path), "--obj", "pump", str(folder / "test/good/0.png")])


def test_one_class_is_told_before_any_work(tmp_path: Path) -> None:
    write_object(tmp_path / "data/pump", queries=("good",))
    with pytest.raises(InputError, match="found only good"):
        auroc_test.main([*places(tmp_path), "--obj", "pump"])


def test_rescoring_needs_a_test(tmp_path: Path) -> None:
    write_object(tmp_path / "data/pump")
    with pytest.raises(FileNotFoundError, match="no results"):
        auroc_test.main([*places(tmp_path), "--obj", "pump", "--rescore"])


def test_output_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    write_object(tmp_path / "data/pump", views=9)
    (tmp_path / "ckpts").write_text("a file where a folder should be")
    with pytest.raises(InputError, match=r"ckpts/pump cannot be written .*--ckpt_dir"):
        anomaly_nerf_lego.main([*places(tmp_path), "--obj", "pump"])
    assert (tmp_path / "ckpts").read_text() == "a file where a folder should be"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    write_object(tmp_path / "data/pump", views=9)
    (tmp_path / "ckpts").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        anomaly_nerf_lego.main([*places(tmp_path), "--obj", "pump"])


def test_all_objects_have_their_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_object(tmp_path / "data/01Gorilla", views=3)
    assert anomaly_nerf_lego.main([*places(tmp_path), "--class_name", "all", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "3 training views" in said and "no object '20Puppy'" in said and said.count("error: ") == 20


def test_photos_have_names_of_their_own(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "pump")
    single = folder / "test/good/0.png"
    photos = find_photos([single, folder / "test", single])
    assert photos["0"] == single and photos["0_2"] == single
    assert photos["test/Burrs/1"] == folder / "test/Burrs/1.png" and len(photos) == 6
    with pytest.raises(InputError, match=r"no file or folder .*photo\.png"):
        find_photos([tmp_path / "photo.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        find_photos([tmp_path / "empty"])


def test_exit_codes_of_a_process(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "anomaly_nerf_lego.py", "--imagesize", "3"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "did you mean --image_size?" in run.stderr


def test_interrupt(tmp_path: Path) -> None:
    write_object(tmp_path / "data/pump", views=200, size=100)
    command = [sys.executable, "anomaly_nerf_lego.py", *places(tmp_path), "--obj", "pump"]
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background ignore it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=heed, **pipes)
    for _ in range(600):  # until it is at work: its folder is there
        if (tmp_path / "ckpts/pump/config.txt").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted" in said and "Traceback" not in said
