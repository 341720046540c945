"""Cameras of training views: moved where they are inexact, left alone where not; kept, resumed, used afterwards."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inerf.cameras import align_cameras
from nerf.settings import FieldConfig
from nerf.voxel.method import VoxelMethod
from pipeline import training
from pipeline.cameras import FILE, MIN_MOTION, CameraRounds, CameraTraining
from pipeline.config import Config
from tests.inerf import scene
from tests.inerf.disturbed import disturbed
from tests.mad_folder import read_transforms, write_transforms
from tests.nerf.scene import ball_views
from tests.world import CAMERA, write_world
from utils.camera import project_points
from utils.checkpoint import as_checkpoint
from utils.errors import InputError
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views

CONTEXT = RunContext(torch.device("cpu"))
CONFIG = FieldConfig(resolution=48, levels=2, steps=100, rays_per_step=2048)
POSES = [
    scene.camera(azimuth, elevation).float() for azimuth, elevation in ((33, 30), (111, -10), (200, 0), (280, -35))
]


@pytest.fixture(scope="module")
def exact() -> Views:
    return ball_views(CAMERA)


@pytest.fixture(scope="module")
def inexact(exact: Views) -> Views:
    return disturbed(exact, 0.8, 0.014)


def cameras_of(views: Views, folder: Path, policy: str = "auto") -> CameraTraining:
    return CameraTraining(views, CameraRounds.read(folder / FILE, "fingerprint"), CONTEXT, policy)


def train(views: Views, context: RunContext) -> Field:
    return VoxelMethod(CONFIG).train(views, context, None)


def new_view_psnr(field: Field) -> float:
    """Return the mean PSNR in dB of images between the views, from poses that are aligned as a query's are."""
    truths = torch.stack([scene.render(pose, CAMERA, oversample=4).colour for pose in POSES])
    poses, images = torch.stack(POSES), (255 * truths).round().to(torch.uint8)
    views = Views(images, None, poses, CAMERA, ("a", "b", "c", "d"), (1.0, 1.0, 1.0))
    aligned, _ = align_cameras(views, poses, field, renders=3)
    errors = [(field.render(pose, CAMERA).colour - truth).square().mean() for pose, truth in zip(aligned, truths)]
    return sum(-10 * math.log10(float(error)) for error in errors) / len(errors)


def image_error(poses: Tensor, truth: Tensor) -> float:
    """Return by how many pixels the spheres' centres are off in the images, root mean square."""
    pairs = [[project_points(scene.CENTRES, CAMERA, each)[0] for each in pair] for pair in zip(poses, truth)]
    return math.sqrt(float(torch.stack([(one - other).square().sum(1).mean() for one, other in pairs]).mean()))


def test_exact_cameras_are_left_alone(exact: Views, tmp_path: Path) -> None:
    seen: list[tuple[Views, RunContext]] = []
    cameras = cameras_of(exact, tmp_path)
    cameras.train(lambda views, context: seen.append((views, context)))  # type: ignore[arg-type, return-value]
    assert seen[0][0] is exact and seen[0][1].refine_cameras is None
    content = json.loads((tmp_path / FILE).read_text())
    assert list(content["rounds"]) == ["probe"] and content["rounds"]["probe"]["moved_pixels"] < MIN_MOTION
    assert cameras.rounds.refined(exact) is exact


def test_disturbed_cameras_come_back_and_with_them_the_image(exact: Views, inexact: Views, tmp_path: Path) -> None:
    cameras = cameras_of(inexact, tmp_path)
    field = cameras.train(train)
    assert list(cameras.rounds.rounds) == ["probe", "coarse field 1", "coarse field 2", "level 1"]
    refined = cameras.rounds.refined(inexact)
    before, after = (image_error(views.camera_to_world, exact.camera_to_world) for views in (inexact, refined))
    assert before > 1.0 and after < 0.4 * before
    best, worst, found = (
        new_view_psnr(train(exact, CONTEXT)),
        new_view_psnr(train(inexact, CONTEXT)),
        new_view_psnr(field),
    )
    assert found - worst > 0.7 * (best - worst)
    held_out = disturbed(exact.subset([3, 8]), 0.8, 0.014, seed=1)
    aligned = cameras.rounds.held_out(held_out, field)
    off, left = (image_error(each.camera_to_world, exact.camera_to_world[[3, 8]]) for each in (held_out, aligned))
    assert left < 0.6 * off  # what all cameras have in common stays
    assert torch.equal(cameras.rounds.refined(inexact).camera_to_world, refined.camera_to_world)


@pytest.mark.parametrize("stop", ["coarse field 1", "coarse field 2", "level 1", "level 2"])
def test_interrupted_training_ends_with_the_same_cameras(
    inexact: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    """Killed before a round and after it, with the field's own state kept in between."""
    config = replace(CONFIG, levels=3, steps=12)

    def trained(folder: Path) -> bytes:
        cameras = cameras_of(inexact, folder, "always")
        unfinished = folder / "unfinished.safetensors"
        field = cameras.train(lambda views, context: VoxelMethod(config).train(views, context, unfinished))
        field.save(folder / "field.safetensors")
        return (folder / "field.safetensors").read_bytes() + (folder / FILE).read_bytes()

    whole = trained(tmp_path / "whole")
    add = CameraRounds.add

    def killed(before: bool) -> Callable[..., None]:
        def adding(rounds: CameraRounds, name: str, *arguments: object) -> None:
            if before and name == stop:
                raise KeyboardInterrupt
            add(rounds, name, *arguments)  # type: ignore[arg-type]
            if name == stop:
                raise KeyboardInterrupt

        return adding

    for before in (True, False):
        monkeypatch.setattr(CameraRounds, "add", killed(before))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "parts")
    monkeypatch.setattr(CameraRounds, "add", add)
    assert trained(tmp_path / "parts") == whole


def test_rounds_of_another_training_are_not_taken(exact: Views, tmp_path: Path) -> None:
    rounds = CameraRounds(tmp_path / FILE, "one")
    rounds.add("level 1", exact, exact.camera_to_world, torch.ones(len(exact)))
    same = CameraRounds.read(tmp_path / FILE, "one").poses("level 1")
    assert torch.equal(same, exact.camera_to_world)
    assert CameraRounds.read(tmp_path / FILE, "other").rounds == {}
    (tmp_path / FILE).write_text("{")
    with pytest.raises(InputError, match=r"refined_poses\.json is not an intact checkpoint"), as_checkpoint(tmp_path):
        CameraRounds.read(tmp_path / FILE, "one")


def test_what_follows_uses_refined_cameras_and_the_users_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_world(tmp_path / "balls")
    frames = read_transforms(folder)
    poses = torch.tensor([frame["transform_matrix"] for frame in frames])
    wrong = disturbed(replace(ball_views(), camera_to_world=poses), 0.5, 0.01).camera_to_world
    write_transforms(folder, [frame | {"transform_matrix": pose.tolist()} for frame, pose in zip(frames, wrong)], 0.69)
    before = (folder / "transforms.json").read_bytes()
    built: list[Views] = []

    class Retrieval:
        def build(self, views: Views, *arguments: object) -> None:
            built.append(views)
            raise InputError("the gallery is built")

    monkeypatch.setattr(training, "retrieval_method", lambda config: Retrieval())
    config = Config(
        "balls", str(tmp_path), str(tmp_path / "ckpts"), device="cpu", quiet=True, refine_poses="always", field=CONFIG
    )
    for again in range(2):  # the second time the field is loaded, not trained
        with pytest.raises(InputError, match="the gallery is built"):
            training.train_object(replace(config, allow_bad_field=True))
        rows = torch.tensor([int(name) for name in built[again].names])
        assert image_error(built[again].camera_to_world, poses[rows]) < 0.6 * image_error(wrong[rows], poses[rows])
    assert torch.equal(built[0].camera_to_world, built[1].camera_to_world)
    assert (folder / "transforms.json").read_bytes() == before
    assert "held-out views" in json.loads((tmp_path / "ckpts/balls" / FILE).read_text())["rounds"]
