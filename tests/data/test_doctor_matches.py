"""Poses proved by what pictures have in common, where there is no silhouette."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.commands import doctor_command
from data.doctor.examine import examine
from data.doctor.frames import read_frame_table
from data.doctor.hypotheses import HALF_TURN, LEFT_RIGHT, UPSIDE_DOWN, Hypothesis, with_focal
from data.doctor.matches import Matches, agreeing_share, diagnose_matches, mutual_matches
from data.transforms_file import TransformsFile
from tests.data.test_doctor_fit import NAMES, OPENCV, QUIET, SPOILED, VIEWS
from tests.data.toy_views import ANGLE, camera_of, poses_around
from utils.camera import look_at, project_points

CAMERA, POSES = camera_of(200), poses_around(VIEWS)


def seen_points(wrong: float) -> Matches:
    """Where 40 points appear in each view and the next but one; a share of ``wrong`` of them somewhere else."""
    noise = np.random.default_rng(0)
    points = torch.from_numpy(noise.uniform(-0.7, 0.7, (40, 3)))
    places = np.stack([project_points(points, CAMERA, pose)[0].numpy() for pose in torch.from_numpy(POSES)])
    views = np.array([[view, (view + 2) % VIEWS] for view in range(VIEWS)])
    pixels = np.concatenate([np.stack([places[first], places[second]], axis=1) for first, second in views])
    lost = noise.random(len(pixels)) < wrong
    pixels[lost] = noise.uniform(0, 200, pixels[lost].shape)
    return Matches(np.arange(VIEWS), views.repeat(40, axis=0), pixels, CAMERA)


def test_matches_of_right_poses_agree() -> None:
    assert agreeing_share(seen_points(0.0), POSES, CAMERA, Hypothesis().flip) == 1.0
    assert 0.6 < agreeing_share(seen_points(0.4), POSES, CAMERA, Hypothesis().flip) < 0.65


def test_a_point_behind_the_cameras_does_not_agree() -> None:
    assert agreeing_share(seen_points(0.0), POSES @ np.diag([-1.0, 1.0, -1.0, 1.0]), CAMERA, HALF_TURN) < 0.05


@pytest.mark.parametrize("truth, matrices", SPOILED, ids=[truth.describe() for truth, _ in SPOILED])
def test_each_failure_is_found_among_wrong_matches(truth: Hypothesis, matrices: np.ndarray) -> None:
    assert diagnose_matches(matrices, NAMES, seen_points(0.3)).best == truth


@pytest.mark.parametrize("flip, sign", [(LEFT_RIGHT, [-1, 1]), (UPSIDE_DOWN, [1, -1]), (HALF_TURN, [-1, -1])])
def test_pictures_that_lie_wrong_are_found(flip: str, sign: list[int]) -> None:
    matches = seen_points(0.3)
    flipped = replace(matches, pixels=100.0 + (matches.pixels - 100.0) * sign)
    assert diagnose_matches(POSES, NAMES, flipped).best == Hypothesis(flip=flip)


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_wrong_focal_length_is_found(factor: float) -> None:
    matches = replace(seen_points(0.3), camera=with_focal(CAMERA, factor))
    assert diagnose_matches(POSES, NAMES, matches).best.focal == pytest.approx(1 / factor, rel=0.04)


def test_matches_of_nothing_prove_nothing() -> None:
    assert diagnose_matches(POSES @ OPENCV, NAMES, seen_points(1.0)).best == Hypothesis()


def test_mutual_matches_are_those_of_a_search_through_all() -> None:
    noise = np.random.default_rng(0)
    ours = noise.random((30, 128), dtype=np.float32)
    theirs = np.concatenate([ours[10:25] + 0.05 * noise.random((15, 128), dtype=np.float32), ours[:5] + 1.0])
    expected = []
    for row, one in enumerate(ours):
        distances = np.linalg.norm(theirs - one, axis=1)
        near, far = np.argsort(distances)[:2]
        back = np.linalg.norm(ours - theirs[near], axis=1).argmin()
        if distances[near] < 0.75 * distances[far] and back == row:
            expected.append([row, int(near)])
    assert np.stack(mutual_matches(ours, theirs), axis=1).tolist() == expected and len(expected) >= 15
    assert len(mutual_matches(ours[:0], theirs)[0]) == 0


def write_wall(folder: Path) -> Path:
    """Pictures of a painted wall, all foreground, by cameras that wander before it."""
    noise = np.random.default_rng(0)
    paint = cv2.GaussianBlur(noise.integers(0, 256, (600, 600, 3), dtype=np.uint8), (0, 0), 4)
    paint = cv2.normalize(paint, None, 0, 255, cv2.NORM_MINMAX)
    camera, frames = camera_of(200), []
    (folder / "train/good").mkdir(parents=True)
    for index in range(12):
        eye = torch.tensor([noise.uniform(-1.5, 1.5), noise.uniform(-1.5, 1.5), noise.uniform(2.6, 3.4)])
        pose = look_at(eye, torch.tensor([0.1, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])).double()
        corners = torch.tensor([[-2.5, 2.5, 0], [2.5, 2.5, 0], [2.5, -2.5, 0], [-2.5, -2.5, 0]], dtype=torch.float64)
        places = project_points(corners, camera, pose)[0].numpy().astype(np.float32)
        turn = cv2.getPerspectiveTransform(np.array([[0, 0], [600, 0], [600, 600], [0, 600]], np.float32), places)
        Image.fromarray(cv2.warpPerspective(paint, turn, (200, 200))).save(folder / f"train/good/{index}.png")
        frames.append({"file_path": f"train/good/{index}.png", "transform_matrix": pose.tolist()})
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": ANGLE, "frames": frames}))
    return folder


def test_a_wall_is_proved_and_mended_without_silhouettes(tmp_path: Path) -> None:
    wall = write_wall(tmp_path / "wall")
    found = examine(wall, None, "white", QUIET)
    verdicts = {check.name: check.verdict for check in found.checks}
    assert found.good and verdicts["poses fit matches"] == "good" and verdicts["silhouettes"] == "note"
    content = json.loads((wall / "transforms.json").read_text())
    truth = [frame["transform_matrix"] for frame in content["frames"]]
    for frame in content["frames"]:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ OPENCV).tolist()
    (wall / "transforms.json").write_text(json.dumps(content))
    page = tmp_path / "page.html"
    assert doctor_command([str(wall), "--quiet", "--fix", str(tmp_path / "mended"), "--page", str(page)]) == 1
    np.testing.assert_allclose(read_frame_table(TransformsFile.read(tmp_path / "mended")).matrices, truth, atol=1e-6)
    assert "OpenCV axes" in page.read_text()
