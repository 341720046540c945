from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from inerf.gauss_newton import refine_pose
from inerf.judge import Refinement
from inerf.settings import InerfConfig, RefineConfig
from inerf.video import write_video
from pipeline.config import Config
from pipeline.methods import refinement_method, run_context
from tests.inerf.blobs import CAMERA, FIELD, QUERY, TRUTH, turned
from utils.camera import Intrinsics, pose_errors

CONFIG = Config(quiet=True, refine=RefineConfig(method="adam"), inerf=InerfConfig(batch_size=256, inerf_steps=100))
GAUSS_NEWTON = Config(quiet=True, refine=RefineConfig(method="gauss_newton"))


def refine(coarse: torch.Tensor, config: Config) -> Refinement:
    return refinement_method(config).refine(QUERY, "query", coarse[None], CAMERA, FIELD, run_context(config))


def frames(path: Path) -> tuple[int, tuple[int, int]]:
    with Image.open(path) as film:
        return getattr(film, "n_frames", 1), film.size


@pytest.mark.parametrize("config", [CONFIG, GAUSS_NEWTON], ids=["adam", "gauss_newton"])
def test_each_method_finds_the_pose_and_films_its_way(config: Config, tmp_path: Path) -> None:
    film = tmp_path / "query" / "video.gif"
    coarse = turned(6.0)
    found = refine(coarse, config)
    write_video(film, QUERY, found.pose_history, CAMERA, FIELD.render)
    angle, _ = pose_errors(found.camera_to_world, TRUTH)
    assert found.found and math.degrees(angle) < 0.2
    torch.testing.assert_close(found.pose_history[0].double(), coarse, atol=1e-6, rtol=0)
    assert torch.equal(found.pose_history[-1], found.camera_to_world)
    errors = [pose_errors(pose, TRUTH)[0] for pose in found.pose_history]
    assert errors[-1] < 0.1 * errors[0]
    assert frames(film)[1] == (64, 64) and 2 <= frames(film)[0] <= len(found.pose_history)
    assert [path.name for path in film.parent.iterdir()] == ["video.gif"]


def test_gauss_newton_is_as_before() -> None:
    chosen = refine(turned(6.0), GAUSS_NEWTON)
    direct = refine_pose(QUERY, turned(6.0)[None], CAMERA, FIELD.render, GAUSS_NEWTON.refine)
    for field in fields(chosen):
        one, other = getattr(chosen, field.name), getattr(direct, field.name)
        if field.name == "rendering" and one is not None:
            one, other = one.colour, other.colour
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_film_of_the_paper_has_a_frame_every_fifty_steps(tmp_path: Path) -> None:
    config = replace(CONFIG, inerf=replace(CONFIG.inerf, inerf_steps=120))
    found = refine(turned(12.0), config)
    write_video(tmp_path / "video.gif", QUERY, found.pose_history, CAMERA, FIELD.render)
    assert len(found.pose_history) == 4  # before the first step, after 50, 100 and 120
    assert frames(tmp_path / "video.gif")[0] == 4


def test_frame_is_the_rendering_over_the_query_at_reduced_size(tmp_path: Path) -> None:
    camera = Intrinsics.from_angle(450, 300, 0.69)
    query = torch.full((300, 450, 3), 0.5)
    away = TRUTH.clone()
    away[:3, [0, 2]] *= -1  # sees the background alone
    write_video(tmp_path / "video.gif", query, torch.stack([away, TRUTH]).float(), camera, FIELD.render)
    assert frames(tmp_path / "video.gif") == (2, (200, 133))
    with Image.open(tmp_path / "video.gif") as film:
        assert all(abs(value - round(255 * 0.85)) <= 3 for value in film.convert("RGB").getpixel((100, 66)))
