from __future__ import annotations

import json
import math
import sys
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.__main__ import main
from data.capture import capture, gather, sharpest_frames
from data.import_options import CaptureOptions, ImportOptions
from data.mad import load_views
from data.photos import ORIENTATION
from data.world import apply_similarity
from tests.data.sources import FLIP, write_photo, write_pictures
from tests.mad_folder import write_picture
from utils.camera import look_at
from utils.errors import InputError
from utils.progress import Progress

QUIET = Progress(quiet=True)
FOCAL, WIDTH, HEIGHT = 420.0, 400, 300


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def test_the_sharpest_frame_of_each_window_is_taken(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    sharp, frames = {2, 6, 9}, []
    for index in range(12):
        tinted = noise // 2 + np.uint8(10 * index)
        frames.append(tinted if index in sharp else cv2.GaussianBlur(tinted, (0, 0), 3))
    video = write_video(tmp_path / "walk.avi", frames)
    assert sharpest_frames(video, tmp_path / "images", CaptureOptions(frames=3), QUIET) == 3
    for number, index in enumerate(sorted(sharp)):
        found = np.asarray(Image.open(tmp_path / f"images/{number:04d}.png")).astype(int)
        assert abs(found.mean() - frames[index].mean()) < 3  # each frame is ten steps brighter than the last


def test_photos_are_brought_to_one_shape_and_scaled_down_with_their_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for name, flag in {"a": 6, "b": 8, "c": 1}.items():  # two portraits, one landscape; all stored alike
        write_photo(tmp_path / f"in/{name}.png", flag, noise)
        write_picture(tmp_path / f"masks/{name}.png", (noise[..., :1] > 127).astype(np.uint8).repeat(3, 2) * 255)
    options = ImportOptions(tmp_path / "out", masks=tmp_path / "masks")
    gathered = gather(tmp_path / "in", tmp_path / "out", CaptureOptions(sfm_size=60), options, QUIET)
    assert gathered.count == 3 and gathered.photo_size == (40, 60) and gathered.notes[0].startswith("1 of 3 photos")
    for name in "abc":
        with Image.open(tmp_path / f"out/images/{name}.png") as picture:
            assert picture.size == (40, 60) and ORIENTATION not in picture.getexif()
            red = np.asarray(picture)[..., 0]
        mask = np.asarray(Image.open(tmp_path / f"out/masks/{name}.png.png"))
        assert np.array_equal(mask > 127, red > 127)
    options = ImportOptions(tmp_path / "small")
    small = gather(tmp_path / "in", tmp_path / "small", CaptureOptions(sfm_size=30), options, QUIET)
    assert small.photo_size == (40, 60) and not (tmp_path / "small/masks").exists()
    assert Image.open(tmp_path / "small/images/a.png").size == (20, 30)


def test_what_a_photo_says_of_its_focal_length_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 35  # FocalLengthIn35mmFilm
    (tmp_path / "in").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "in/a.jpg", exif=exif)
    gather(tmp_path / "in", tmp_path / "out", CaptureOptions(), ImportOptions(tmp_path / "out"), QUIET)
    with Image.open(tmp_path / "out/images/a.png") as picture:
        assert picture.getexif().get_ifd(0x8769)[0xA405] == 35


def test_without_pycolmap_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(InputError, match=r"\.\[data\]"):
        main(["capture", str(tmp_path), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: None, r"no folder"),
        (lambda folder: folder.mkdir(), r"no images"),
        (lambda folder: write_pictures(folder, 3), r"At least 8"),
        (lambda folder: folder.with_suffix(".mp4").write_bytes(b"no video"), r"no folder"),
    ],
)
def test_too_little_is_said_before_any_work(tmp_path: Path, make, told: str) -> None:
    pytest.importorskip("pycolmap")
    make(tmp_path / "in")
    with pytest.raises(InputError, match=told):
        capture(tmp_path / "in", CaptureOptions(), ImportOptions(tmp_path / "out"))


def test_a_video_that_is_none_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"cannot be read"):
        gather(tmp_path / "in.mp4", tmp_path / "out", CaptureOptions(), ImportOptions(tmp_path / "out"), QUIET)


def test_pictures_without_anything_in_common_end_in_advice(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    for index in range(9):
        write_picture(tmp_path / f"in/{index}.png", np.full((48, 64, 3), 20 * index, dtype=np.uint8))
    with pytest.raises(InputError, match=r"0 of 9 images; take more"):
        capture(tmp_path / "in", CaptureOptions(threads=1), ImportOptions(tmp_path / "out"))
    assert not (tmp_path / "out/transforms.json").exists()


def test_a_turntable_needs_masks(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    write_pictures(tmp_path / "in", 9)
    with pytest.raises(InputError, match=r"--masks"):
        capture(tmp_path / "in", CaptureOptions(turntable=True), ImportOptions(tmp_path / "out"))


def box_picture(pose: np.ndarray, textures: list[np.ndarray]) -> np.ndarray:
    """A box with a texture on each side, before grey."""
    camera = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    world_to_camera = np.linalg.inv(pose @ FLIP)[:3]
    picture = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
    for (axis, sign), texture in zip(product(range(3), (-1, 1)), textures):
        normal = np.eye(3)[axis] * sign
        if normal @ (pose[:3, 3] - 0.7 * normal) <= 0:
            continue
        u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        side = len(texture)
        plane = np.stack([u * 1.4 / side, v * 1.4 / side, 0.7 * (normal - u - v)], axis=1)
        onto = camera @ (world_to_camera[:, :3] @ plane + np.outer(world_to_camera[:, 3], [0, 0, 1]))
        face = cv2.warpPerspective(texture, onto, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
        inside = cv2.warpPerspective(np.full((side, side), 255, dtype=np.uint8), onto, (WIDTH, HEIGHT)) > 127
        picture[inside] = face[inside]
    return picture


def arc(count: int) -> np.ndarray:
    """Poses (count, 4, 4) of cameras ten degrees apart, four units from the origin at which they look."""
    poses = []
    for index in range(count):
        azimuth, height = math.radians(20 + 10 * index), 0.55 + 0.1 * (index % 2)
        eye = 4.0 * np.array(
            [math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)]
        )
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        poses.append(look_at(torch.from_numpy(eye), torch.zeros(3, dtype=torch.float64), up).numpy())
    return np.stack(poses)


def blotches(noise: np.random.Generator) -> np.ndarray:
    """A texture with something to see at all scales."""
    layers = [noise.uniform(-1, 1, (cells, cells, 3)) for cells in (8, 16, 32, 64)]
    total = sum(cv2.resize(layer, (256, 256), interpolation=cv2.INTER_CUBIC) for layer in layers)
    return np.clip(128 + 70 * total, 0, 255).astype(np.uint8)


def test_the_poses_of_a_box_are_found(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    noise, poses = np.random.default_rng(0), arc(10)
    textures = [blotches(noise) for _ in range(6)]
    for index, pose in enumerate(poses):
        write_picture(tmp_path / f"in/{index:02d}.png", box_picture(pose, textures))
    search = CaptureOptions(threads=1, lens="SIMPLE_PINHOLE", features=1000)
    summary = capture(tmp_path / "in", search, ImportOptions(tmp_path / "out"))
    assert summary.images == 10 and summary.distances.mean() == pytest.approx(4.0, abs=0.01)
    assert summary.camera.focal_x == pytest.approx(FOCAL, rel=0.08)
    found = load_views(tmp_path / "out", 800, (1.0, 1.0, 1.0)).camera_to_world.double().numpy()
    aligned = apply_similarity(alignment(found[:, :3, 3], poses[:, :3, 3]), found)
    assert np.linalg.norm(aligned[:, :3, 3] - poses[:, :3, 3], axis=1).max() < 0.04
    assert np.abs(aligned[:, :3, :3] - poses[:, :3, :3]).max() < 0.02
    again = ["import-colmap", str(tmp_path / "out/capture"), "--out", str(tmp_path / "again"), "--quiet"]
    assert main(again) == 0
    texts = [json.loads((tmp_path / name / "transforms.json").read_text())["frames"] for name in ("out", "again")]
    assert texts[0] == texts[1]


def alignment(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity (4, 4) that takes points (n, 3) nearest to others (Umeyama 1991)."""
    middle, goal = source.mean(0), target.mean(0)
    left, sizes, right = np.linalg.svd((target - goal).T @ (source - middle))
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (sizes * signs).sum() / ((source - middle) ** 2).sum()
    result = np.eye(4)
    result[:3, :3] = scale * (left * signs) @ right
    result[:3, 3] = goal - result[:3, :3] @ middle
    return result
