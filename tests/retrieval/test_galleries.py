from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.config import Config
from pipeline.methods import retrieval_method, run_context
from retrieval import networks
from retrieval.galleries import Gallery, load_gallery
from retrieval.settings import RetrievalConfig
from tests.inerf import scene
from tests.retrieval.rendered_views import CAMERA, grid, views_at
from tests.retrieval.tuned import tuned_matcher
from utils.camera import pose_errors
from utils.checkpoint import load_tensors, save_tensors
from utils.errors import InputError
from utils.views import Views

METHODS = ("thumbnails", "resnet50", "efficientnet_b4", "loftr")
CPU = torch.device("cpu")


def config_of(method: str) -> Config:
    retrieval = RetrievalConfig(method=method, virtual_views=20, size=64, loftr_size=96)
    return Config(backbone="random", quiet=True, device="cpu", retrieval=retrieval)


def build(views: Views, config: Config) -> Gallery:
    return retrieval_method(config).build(views, scene.render, run_context(config))


def load(path: Path, config: Config) -> Gallery:
    return load_gallery(path, config.retrieval, run_context(config))


@pytest.fixture(scope="module", autouse=True)
def tuned() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "make_matcher", tuned_matcher)
        yield


@pytest.fixture(scope="module")
def views() -> Views:
    return views_at(grid()[24:48:3])


@pytest.fixture(scope="module", params=METHODS)
def built(request: pytest.FixtureRequest, views: Views) -> tuple[str, Gallery]:
    config = config_of(request.param)
    return request.param, build(views, config)


def test_a_view_finds_itself(built: tuple[str, Gallery], views: Views) -> None:
    for index in (1, 6):
        pose = built[1].retrieve(views.image(index), CAMERA, 1)
        angle, distance = pose_errors(pose[0], views.camera_to_world[index])
        assert pose.shape == (1, 4, 4) and math.degrees(angle) < 0.1 and distance < 0.01


def test_hypotheses_are_apart_and_begin_with_the_best(built: tuple[str, Gallery], views: Views) -> None:
    one, four = (built[1].retrieve(views.image(3), CAMERA, count) for count in (1, 4))
    assert four.shape == (4, 4, 4) and torch.equal(one, four[:1])
    angles = [pose_errors(four[first], four[second])[0] for first in range(4) for second in range(first)]
    assert math.degrees(min(angles)) > 10.0


def test_a_gallery_comes_back_from_its_file(built: tuple[str, Gallery], views: Views, tmp_path: Path) -> None:
    path = tmp_path / "gallery.safetensors"
    built[1].save(path)
    again = load(path, config_of(built[0]))
    assert torch.equal(again.retrieve(views.image(2), CAMERA, 3), built[1].retrieve(views.image(2), CAMERA, 3))


@pytest.mark.parametrize("method", METHODS[1:])
def test_another_networks_gallery_is_refused(method: str, tmp_path: Path) -> None:
    path = tmp_path / "gallery.safetensors"
    header = {"kind": method, "size": 64, "weights": "0123456789ab"}
    save_tensors(path, {"camera_to_world": torch.eye(4)[None]}, header)
    with pytest.raises(InputError, match="made with the weights 0123456789ab, found the weights random"):
        load(path, config_of(method))


def test_missing_weights_and_other_files_are_refused(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = dataclasses.replace(config_of("resnet50"), backbone="paper", weights_dir=str(tmp_path))
    with pytest.raises(InputError, match=r"net_best\.pth.*python -m pipeline\.retrieval_training"):
        build(views, config)
    path = tmp_path / "field.safetensors"
    save_tensors(path, {"density": torch.zeros(1)}, {"kind": "voxel"})
    with pytest.raises(InputError, match="holds 'voxel', expected a gallery"):
        load(path, config)


@pytest.mark.parametrize("method", METHODS[1:])
def test_poses_stay_and_no_views_are_added(method: str, views: Views, tmp_path: Path) -> None:
    two = views.subset([1, 4])
    build(two, config_of(method)).save(tmp_path / "gallery.safetensors")
    assert torch.equal(load_tensors(tmp_path / "gallery.safetensors")[0]["camera_to_world"], two.camera_to_world)
    with pytest.raises(ValueError, match="at least one view"):
        build(views.subset([]), config_of(method))
