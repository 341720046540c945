"""Whatever stands in an object's files: a right result, or one sentence."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hypothesis import given
from hypothesis import strategies as st

from data.ground_truth import read_mask
from data.mad import list_queries, load_views, read_true_poses
from data.masks import read_cut_out
from data.transforms_file import Cameras, TransformsFile
from tests import hostile
from tests.mad_folder import write_object
from utils.images import read_image_size, read_uint8

WHITE = (1.0, 1.0, 1.0)


@cache
def transforms() -> str:
    with TemporaryDirectory() as folder:
        return (write_object(Path(folder), views=2, size=4, queries=()) / "transforms.json").read_text()


def cameras_of(content: bytes) -> Cameras | None:
    with TemporaryDirectory() as folder:
        write_object(Path(folder), views=2, size=4, queries=())
        (Path(folder) / "transforms.json").write_bytes(content)
        cameras = hostile.ends_well(lambda: TransformsFile.read(Path(folder)).cameras())
        for path in cameras.paths if cameras else []:
            assert path.resolve().is_relative_to(Path(folder).resolve()) and path.is_file()
    return cameras


def check(cameras: Cameras | None) -> None:
    if cameras is None:
        return
    rotations = cameras.camera_to_world[:, :3, :3]
    assert 0 < cameras.angle < 3.15 and len(cameras.paths) == len(set(cameras.paths)) == 2
    assert torch.isfinite(cameras.camera_to_world).all()
    assert (rotations @ rotations.mT - torch.eye(3)).abs().max() < 1e-2


@given(st.one_of(st.binary(max_size=100), hostile.damaged(transforms().encode())))
def test_transforms_of_any_bytes(content: bytes) -> None:
    check(cameras_of(content))


@given(hostile.changed(json.loads(transforms())))
def test_transforms_of_any_json(content: object) -> None:
    check(cameras_of(json.dumps(content).encode()))


def test_transforms_nested_without_end() -> None:
    assert cameras_of(b"[" * 100_000) is None
    assert cameras_of(b'{"a":' * 100_000) is None


@given(st.dictionaries(hostile.names, hostile.anything, max_size=3))
def test_true_poses_of_any_json(content: dict) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "poses_truth.json").write_text(json.dumps(content))
        poses = hostile.ends_well(lambda: read_true_poses(Path(folder)))
        assert poses is None or all(pose.shape == (4, 4) for pose in poses.values())


@given(hostile.pictures)
def test_pictures_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(content)
        size = hostile.ends_well(lambda: read_image_size(path))
        picture = hostile.ends_well(lambda: read_uint8(path))
        mask = hostile.ends_well(lambda: read_mask(path))
        assert picture is None or (picture.ndim == 3 and size == (picture.shape[1], picture.shape[0]))
        assert mask is None or size == (mask.shape[1], mask.shape[0])


@given(hostile.pictures, hostile.pictures)
def test_views_and_foreground_masks_of_any_bytes(picture: bytes, mask: bytes) -> None:
    with TemporaryDirectory() as name:
        folder = write_object(Path(name), views=2, size=4, queries=())
        (folder / "train/good/1.png").write_bytes(picture)
        views = hostile.ends_well(lambda: load_views(folder, 400, WHITE))
        assert views is None or views.images.shape == (2, 4, 4, 3)
        (folder / "masks/train/good").mkdir(parents=True)
        (folder / "masks/train/good/0.png").write_bytes(mask)
        cut_out = hostile.ends_well(lambda: read_cut_out(folder / "train/good/0.png", folder))
        assert cut_out is None or cut_out.shape == (4, 4, 4)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8), max_size=4))
def test_test_folders_of_any_names(kinds: list[str]) -> None:
    with TemporaryDirectory() as name:
        for kind in set(kinds) - {".", ".."}:
            folder = Path(name) / "test" / kind
            folder.mkdir(parents=True)
            (folder / "0.png").write_bytes(b"")
        queries = hostile.ends_well(lambda: list_queries(Path(name)))
        assert queries is None or all(query.path.is_file() for query in queries)
