from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.__main__ import main
from data.colmap_files import colmap_lens, read_model
from data.import_colmap import import_colmap
from data.import_options import ImportOptions
from data.mad import load_views
from data.world import apply_similarity
from tests.data.sources import ring, write_colmap, write_pictures
from utils.errors import InputError

PINHOLE = (1, "PINHOLE", 24, 16, [33.0, 33.0, 12.0, 8.0])
SIMPLE = (0, "SIMPLE_PINHOLE", 24, 16, [33.0, 12.0, 8.0])


def source(folder: Path, camera: tuple, binary: bool, poses: np.ndarray | None = None) -> Path:
    poses = ring() if poses is None else poses
    write_colmap(folder / "sparse/0", write_pictures(folder / "images", len(poses)), poses, camera, binary)
    return folder


@pytest.mark.parametrize("binary", [True, False], ids=["bin", "txt"])
@pytest.mark.parametrize("camera", [PINHOLE, SIMPLE], ids=["pinhole", "simple"])
def test_poses_come_over_up_to_a_similarity_and_pictures_exactly(tmp_path: Path, camera: tuple, binary: bool) -> None:
    poses = ring(8, radius=11.0, centre=(1.0, 2.0, 3.0))
    summary = import_colmap(source(tmp_path / "in", camera, binary, poses), None, ImportOptions(tmp_path / "out"))
    views = load_views(tmp_path / "out", 800, (1.0, 1.0, 1.0))
    content = json.loads((tmp_path / "out/transforms.json").read_text())
    similarity = np.array(content["source_to_world"])
    assert np.allclose(views.camera_to_world.numpy(), apply_similarity(similarity, poses), atol=1e-5)
    assert summary.distances.mean() == pytest.approx(4.0, abs=1e-3) and views.intrinsics.focal_x == pytest.approx(33.0)
    assert views.camera_to_world[:, :3, 1].mean(0).numpy() @ [0, 0, 1] > 0.8  # z is up
    for name in ("0.png", "7.png"):
        pictures = [np.asarray(Image.open(tmp_path / folder / name)) for folder in ("in/images", "out/train/good")]
        assert np.array_equal(*pictures)


def test_binary_and_text_say_the_same(tmp_path: Path) -> None:
    first = read_model(source(tmp_path / "a", PINHOLE, True) / "sparse/0")
    second = read_model(source(tmp_path / "b", PINHOLE, False) / "sparse/0")
    assert first.cameras == second.cameras and first.images.keys() == second.images.keys()
    assert all(np.allclose(first.images[name][1], second.images[name][1]) for name in first.images)
    assert np.allclose(first.points, second.points) and first.points.shape == (40, 3)


def test_the_largest_model_is_taken_and_what_has_no_pose_is_listed(tmp_path: Path) -> None:
    folder = source(tmp_path / "in", PINHOLE, True)
    write_colmap(folder / "sparse/1", ["0.png", "1.png", "2.png", "3.png", "gone.png"], ring()[:5], PINHOLE, False)
    write_colmap(folder / "sparse/0", ["4.png", "5.png"], ring()[:2], PINHOLE, True)
    summary = import_colmap(folder, None, ImportOptions(tmp_path / "out"))
    assert summary.images == 4 and "sparse/1" in summary.notes[0]
    told = "\n".join(summary.skipped)
    assert "gone.png (no such image" in told and "4.png (no pose)" in told and "5.png (no pose)" in told


def test_pictures_elsewhere_are_found_by_images(tmp_path: Path) -> None:
    folder = source(tmp_path / "in", PINHOLE, True)
    shutil.move(folder / "images", tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"--images"):
        import_colmap(folder, None, ImportOptions(tmp_path / "out"))
    arguments = ["import-colmap", str(folder / "sparse/0"), "--images", str(tmp_path / "elsewhere"), "--quiet"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("model", "numbers", "distortion"),
    [
        ("SIMPLE_RADIAL", (50.0, 12.0, 8.0, 0.1), (0.1,)),
        ("RADIAL", (50.0, 12.0, 8.0, 0.1, 0.2), (0.1, 0.2)),
        ("OPENCV", (50.0, 50.0, 12.0, 8.0, 0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
        ("OPENCV_FISHEYE", (50.0, 50.0, 12.0, 8.0, 0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_cameras_with_distortion(model: str, numbers: tuple, distortion: tuple) -> None:
    lens = colmap_lens(model, 24, 16, numbers, "camera 1")
    assert (lens.focal_x, lens.focal_y, lens.centre_x, lens.centre_y) == (50.0, 50.0, 12.0, 8.0)
    assert lens.distortion == distortion and lens.fisheye == ("FISHEYE" in model)


@pytest.mark.parametrize("model", ["FOV", "THIN_PRISM_FISHEYE", "NEW"])
def test_cameras_that_are_not_supported_are_said_so(model: str) -> None:
    with pytest.raises(InputError, match=rf"{model} of camera 1 is not supported"):
        colmap_lens(model, 24, 16, (50.0,) * 5, "camera 1")


def test_colmaps_own_library_reads_and_writes_the_same(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    folder = source(tmp_path / "in", PINHOLE, False) / "sparse/0"
    text = (folder / "images.txt").read_text().replace("1.5 2.5 7", "")  # points without observations
    (folder / "images.txt").write_text(text)
    rows = (folder / "points3D.txt").read_text().replace(" 0.5 1 0\n", " 0.5\n")
    (folder / "points3D.txt").write_text(rows)
    theirs = pycolmap.Reconstruction(str(folder))
    (tmp_path / "again").mkdir()
    theirs.write_binary(str(tmp_path / "again"))
    ours, again = read_model(folder), read_model(tmp_path / "again")
    assert again.cameras == ours.cameras
    for image in theirs.images.values():
        expected = image.cam_from_world().matrix()
        assert np.allclose(ours.images[image.name][1][:3], expected)
        assert np.allclose(again.images[image.name][1][:3], expected)


edits = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=9)), max_size=3)


@given(
    file=st.sampled_from(["cameras", "images", "points3D"]),
    binary=st.booleans(),
    length=st.floats(0, 1),
    edits=edits,
    whole=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_hostile_files_end_in_a_sentence_or_an_object(
    tmp_path_factory: pytest.TempPathFactory, file: str, binary: bool, length: float, edits: list, whole: bool
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    path = source(folder / "in", PINHOLE, binary) / "sparse/0" / f"{file}.{'bin' if binary else 'txt'}"
    content = bytearray(path.read_bytes())
    content = content if whole else content[: int(length * len(content))]
    for place, patch in edits:
        start = int(place * len(content))
        content[start : start + len(patch)] = patch
    path.write_bytes(content)
    try:
        summary = import_colmap(folder / "in", None, ImportOptions(folder / "out", image_size=64))
    except InputError:
        assert not (folder / "out/transforms.json").exists()
    else:
        assert len(load_views(folder / "out", 800, (1.0, 1.0, 1.0))) == summary.images
    assert {entry.name for entry in folder.iterdir()} <= {"in", "out"}


@given(content=st.binary(max_size=300), file=st.sampled_from(["cameras", "images", "points3D"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_arbitrary_bytes_are_no_model(tmp_path_factory: pytest.TempPathFactory, content: bytes, file: str) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    source(folder, PINHOLE, True)
    (folder / f"sparse/0/{file}.bin").write_bytes(content)
    try:
        model = read_model(folder / "sparse/0")
    except InputError:
        return
    assert len(model.points) <= 300  # what can be read can be no more than the bytes hold
