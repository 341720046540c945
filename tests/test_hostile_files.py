"""Whatever a file holds that a run wrote or a user names, reading it ends well or in a sentence for the user."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

import anomaly_nerf_lego
from bench.execute import read_fit
from bench.imported_maps import read_foreign_map, read_scores
from data.folders import images_in
from data.photos import OrientedPhotos
from evaluation.results import read_results, write_results
from pipeline.cameras import CameraRounds
from pipeline.config import Config, read_config
from pipeline.journal import Journal
from pipeline.model import load_model
from tests import hostile
from tests.evaluation.test_results import small_report
from tests.world import CAMERA, write_world
from utils.checkpoint import load_metadata, load_tensors, save_tensors
from utils.images import read_map, write_map
from utils.views import Views
from utils.weights import LITE0_NAME, WeightFile, Weights, _tensors, obtain

SMALL = ["--field_resolution", "32", "--field_levels", "2", "--field_steps", "40", "--retrieval_virtual_views", "8"]
STEPS = ("field", "gallery", "calibration")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The checkpoint folder of a little world."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data/balls", queries=1)
    paths = [f"--{key}_dir={folder / name}" for key, name in {"data": "data", "ckpt": "ckpts"}.items()]
    words = [*paths, *SMALL, "--obj", "balls", "--device", "cpu", "--quiet", "--allow_bad_field"]
    assert anomaly_nerf_lego.main([*words, "--refine_poses", "never"]) == 0
    yield folder / "ckpts/balls"
    shutil.rmtree(folder)


def config_of(trained: Path, folder: Path) -> Config:
    """The settings of the trained object, in another folder."""
    return replace(read_config(trained / "config.txt"), object_name="balls", ckpt_dir=str(folder.parent), device="cpu")


def load_with(trained: Path, name: str, content: bytes) -> None:
    """Load the object with another content of one of its files."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "balls"
        folder.mkdir()
        for path in trained.iterdir():
            if path.is_file() and path.name != name:
                (folder / path.name).hardlink_to(path)
        (folder / name).write_bytes(content)
        hostile.ends_well(lambda: load_model(config_of(trained, folder)))


@cache
def content_of(path: Path) -> bytes:
    return path.read_bytes()


def test_what_was_trained_loads(trained: Path) -> None:
    assert load_model(config_of(trained, trained)).record.trained_views > 0


@pytest.mark.parametrize("step", STEPS)
@given(data=st.data())
def test_checkpoints_of_any_bytes(step: str, trained: Path, data: st.DataObject) -> None:
    whole = content_of(trained / f"{step}.safetensors")
    load_with(trained, f"{step}.safetensors", data.draw(st.one_of(hostile.damaged(whole), st.binary(max_size=80))))


@pytest.mark.parametrize("step", STEPS)
@given(data=st.data())
def test_checkpoints_of_any_header_and_tensors(step: str, trained: Path, data: st.DataObject) -> None:
    tensors, header = load_tensors(trained / f"{step}.safetensors")
    kept = {name: value for name, value in tensors.items() if data.draw(st.integers(0, 9)) > 0}
    if kept and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(kept)))
        kept[name] = data.draw(st.sampled_from([kept[name].flatten(), kept[name][:0], torch.zeros(()), torch.ones(3)]))
    with TemporaryDirectory() as folder:
        save_tensors(Path(folder) / "file", kept, json_of(data.draw(hostile.changed(header))))
        load_with(trained, f"{step}.safetensors", (Path(folder) / "file").read_bytes())


def json_of(content: Any) -> Any:
    """What is left of a value that JSON can hold."""
    return json.loads(json.dumps(content, default=str))


@given(st.one_of(st.binary(max_size=60), st.builds(lambda text: save({}, {"json": text}), st.text(max_size=40))))
def test_headers_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(content)
        hostile.ends_well(lambda: load_tensors(path))
        load_metadata(path)


@pytest.mark.parametrize("name", ["training.json", "config.txt"])
@given(data=st.data())
def test_records_of_any_bytes(name: str, trained: Path, data: st.DataObject) -> None:
    whole = content_of(trained / name)
    content = data.draw(st.one_of(hostile.damaged(whole), st.binary(max_size=80)))
    load_with(trained, name, content)


@given(data=st.data())
def test_records_of_any_json(trained: Path, data: st.DataObject) -> None:
    record = json.loads(content_of(trained / "training.json"))
    load_with(trained, "training.json", json.dumps(data.draw(hostile.changed(record))).encode("utf-8", "replace"))


@given(data=st.data())
def test_refined_poses_of_any_json(data: st.DataObject) -> None:
    frames = [{"name": name, "transform_matrix": torch.eye(4).tolist()} for name in "ab"]
    rounds = {"coarse": {"moved_pixels": 0.5, "frames": frames}, "fine": {"moved_pixels": 0.1}}
    content = {"fingerprint": "f", "rounds": rounds}
    views = Views(
        torch.zeros(2, 4, 4, 3, dtype=torch.uint8), None, torch.eye(4).repeat(2, 1, 1), CAMERA, ("a", "b"), (1, 1, 1)
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "refined_poses.json"
        path.write_bytes(json.dumps(data.draw(hostile.changed(content))).encode("utf-8", "replace"))
        found = hostile.ends_well(lambda: CameraRounds.read(path, "f").refined(views))
        assert found is None or found.camera_to_world.shape == (2, 4, 4)


lines = st.one_of(
    st.text(max_size=30),
    st.builds(lambda key, value: f"{key} = {value}", st.text(max_size=10), st.text(max_size=10)),
    st.builds(
        lambda key, value: f"{key} = {value}",
        st.sampled_from(["image_size", "field", "field_steps", "expname", "N_samples", "background", "datadir"]),
        st.one_of(hostile.numbers.map(str), st.text(max_size=8), st.sampled_from(["[1, 2]", "{", "'", "nan", "1e999"])),
    ),
)


@given(
    st.one_of(
        st.binary(max_size=80), st.lists(lines, max_size=5).map(lambda all: "\n".join(all).encode("utf-8", "replace"))
    )
)
def test_config_files_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_bytes(content)
        hostile.ends_well(lambda: read_config(Path(folder) / "a.txt"))


@cache
def results() -> bytes:
    with TemporaryDirectory() as folder:
        write_results(Path(folder) / "results.json", small_report())
        return (Path(folder) / "results.json").read_bytes()


@given(
    st.one_of(
        hostile.damaged(results()),
        hostile.changed(json.loads(results())).map(lambda content: json.dumps(content).encode("utf-8", "replace")),
    )
)
def test_results_of_any_content(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "results.json").write_bytes(content)
        hostile.ends_well(lambda: read_results(Path(folder) / "results.json"))


@given(data=st.data())
def test_journals_of_any_lines(data: st.DataObject) -> None:
    entry = json.loads(results())["queries"][0]
    line = st.one_of(
        hostile.changed(entry).map(lambda content: json.dumps(content).encode("utf-8", "replace")),
        hostile.damaged(json.dumps(entry).encode()),
        st.binary(max_size=40),
    )
    with TemporaryDirectory() as folder:
        Journal.open(Path(folder), "inputs")
        content = b"\n".join(data.draw(st.lists(line, max_size=3)))
        (Path(folder) / ".unfinished/detections.jsonl").write_bytes(content)
        write_map(Path(folder) / ".unfinished/anomaly_maps/test/good/0.tiff", torch.zeros(2, 2))
        journal = hostile.ends_well(lambda: Journal.open(Path(folder), "inputs"))
        assert journal is not None and set(journal.done) <= {"good/0"}


@cache
def tiff() -> bytes:
    with TemporaryDirectory() as folder:
        write_map(Path(folder) / "a.tiff", torch.rand(5, 4, generator=torch.Generator().manual_seed(0)))
        return (Path(folder) / "a.tiff").read_bytes()


@given(st.one_of(st.binary(max_size=60), hostile.damaged(tiff())))
def test_maps_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.tiff").write_bytes(content)
        hostile.ends_well(lambda: read_map(Path(folder) / "a.tiff"))
        found = hostile.ends_well(lambda: read_foreign_map(Path(folder) / "a.tiff"))
        assert found is None or (found.ndim == 2 and bool(found.isfinite().all()))


@given(
    st.one_of(
        hostile.anything.map(lambda content: json.dumps(content).encode("utf-8", "replace")), st.binary(max_size=40)
    )
)
def test_scores_and_records_of_other_runs(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.json").write_bytes(content)
        hostile.ends_well(lambda: read_scores(Path(folder) / "a.json", []))
        assert isinstance(read_fit(Path(folder) / "a.json"), dict)


def exif_photo(exif: bytes) -> bytes:
    """A JPEG with any EXIF block."""
    with TemporaryDirectory() as folder:
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(Path(folder) / "a.jpg")
        whole = (Path(folder) / "a.jpg").read_bytes()
    block = b"Exif\0\0" + exif
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + whole[2:]


entries = st.builds(
    lambda tag, kind, count, value: struct.pack("<HHII", tag, kind, count, value),
    st.sampled_from([0x0112, 0x8769, 0xA405, 0x010F]),
    st.integers(0, 13),
    st.sampled_from([0, 1, 2, 2**16, 2**32 - 1]),
    st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
)
exifs = st.one_of(
    st.binary(max_size=60),
    st.lists(entries, max_size=3).map(
        lambda all: b"II*\0\x08\0\0\0" + struct.pack("<H", len(all)) + b"".join(all) + bytes(4)
    ),
)


@given(exifs)
def test_photos_of_any_exif(exif: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.jpg").write_bytes(exif_photo(exif))

        def read() -> tuple[int, ...]:
            photos = OrientedPhotos.of(images_in(Path(folder)))
            return photos.read(Path(folder) / "a.jpg").shape[:2][::-1] + photos.size(Path(folder) / "a.jpg")

        shape = hostile.ends_well(read)
        assert shape is None or shape[:2] == shape[2:]


WEIGHTS = b"weights"
FILE = WeightFile("a", "a.pth", "", "", "", (), "a==1", "a/a.pth", hashlib.sha256(WEIGHTS).hexdigest())


@given(
    st.one_of(
        st.binary(max_size=40),
        hostile.damaged(hostile.zip_of([("a/a.pth", WEIGHTS)])),
        st.sampled_from(["a/a.pth", "../a.pth", "b"]).map(lambda name: hostile.zip_of([(name, WEIGHTS)])),
    )
)
def test_wheels_of_any_bytes(content: bytes) -> None:
    """What ``obtain`` turns into its sentence, and nothing else, comes of a broken wheel."""

    def pip(command: list[str], **_: object) -> None:
        (Path(command[command.index("--dest") + 1]) / "a.whl").write_bytes(content)

    with TemporaryDirectory() as folder, patch.object(subprocess, "run", pip):
        path = Path(folder) / "a.pth"
        hostile.ends_well(lambda: fetched(path))
        assert not path.exists() or path.read_bytes() == WEIGHTS


def fetched(path: Path) -> None:
    """Fetch the file as ``obtain`` does."""
    here = patch("utils.weights.cache_folder", lambda: path.parent)
    with patch.dict("utils.weights.FILES", {LITE0_NAME: FILE}), here, patch("utils.weights.find", lambda *_: None):
        obtain(LITE0_NAME, Weights())


@cache
def torch_file() -> bytes:
    with TemporaryDirectory() as folder:
        torch.save({"a": torch.ones(2)}, Path(folder) / "a.pth")
        return (Path(folder) / "a.pth").read_bytes()


@given(st.one_of(st.binary(max_size=40), hostile.damaged(torch_file())))
def test_weights_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.pth").write_bytes(content)
        hostile.ends_well(lambda: _tensors(Path(folder) / "a.pth"))
