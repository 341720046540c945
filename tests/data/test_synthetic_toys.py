"""The toys' parts, their parts lists and the cameras of a generated set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh

from data.synthetic.parts import KINDS, make_part
from data.synthetic.toys import read_toy, rotation_about, toy_names, toy_path
from data.synthetic.viewpoints import camera_at, grid_angles, random_camera, spread_views


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_piece_of_a_part_is_watertight_and_points_outward(kind: str) -> None:
    solid = make_part(kind, "4" if kind in ("bar", "antenna") else "4x4").solid
    mesh = trimesh.Trimesh(solid.vertices, solid.faces, process=False)
    assert mesh.is_watertight
    assert all(piece.volume > 0 for piece in mesh.split())
    flat = np.einsum("fci,fi->fc", solid.corner_normals, mesh.face_normals)
    assert flat[mesh.area_faces > 1e-9].min() > 0.5
    assert np.allclose(np.linalg.norm(solid.corner_normals, axis=2), 1.0)


def test_volume_of_a_brick() -> None:
    body = make_part("tile", "2x4x3").solid
    mesh = trimesh.Trimesh(body.vertices, body.faces, process=False)
    assert mesh.volume == pytest.approx(2 * 4 * 1.2, rel=0.03)


def test_every_toy_is_read_and_has_groups_of_parts() -> None:
    names = toy_names()
    assert len(names) >= 6
    for name in names:
        toy = read_toy(toy_path(name))
        assert len(toy.parts) >= 20
        assert len({part.group for part in toy.parts}) >= 3


@pytest.mark.parametrize("face", ["+x", "-x", "+y", "-y", "+z", "-z"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_position_is_the_lowest_corner_after_turning(tmp_path, face: str, turn: int) -> None:
    path = tmp_path / "toy.txt"
    path.write_text(f"tile 2x3x4 red 1 -2 5 face={face} turn={turn}\nplate 1x1 blue 9 9 9\n")
    vertices = read_toy(path).parts[0].solid.vertices
    assert vertices.min(axis=0) == pytest.approx([1, -2, 2.0], abs=0.013)  # 5 plates = 2 studs; the seam is 0.012
    assert sorted((vertices.max(axis=0) - vertices.min(axis=0)).round(1)) == [1.6, 2.0, 3.0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("brik 2x4 red 0 0 0", "unknown part 'brik'"),
        ("brick 2x red 0 0 0", "size '2x'"),
        ("round 2x3 red 0 0 0", "as long as wide"),
        ("brick 2x4 rouge 0 0 0", "unknown colour 'rouge'"),
        ("brick 2x4 red 0 zero 0", "three numbers"),
        ("brick 2x4 red 0 0", "kind size colour x y z"),
        ("brick 2x4 red 0 0 0 spin=3", "unknown option 'spin=3'"),
        ("brick 2x4 red 0 0 0 face=up", "face=up"),
        ("bar 1x1 red 0 0 0", "one length"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path, line: str, message: str) -> None:
    path = tmp_path / "toy.txt"
    path.write_text(f"# comment\nplate 1x1 red 0 0 0\n{line}\n")
    with pytest.raises(ValueError, match="line 3") as error:
        read_toy(path)
    assert message in str(error.value)


def test_an_unknown_toy_names_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match="locomotive"):
        toy_path("zeppelin")


def test_rotation_about_turns_by_the_right_hand() -> None:
    assert rotation_about(2, 90) @ [1, 0, 0] == pytest.approx([0, 1, 0])
    assert rotation_about(0, 90) @ [0, 1, 0] == pytest.approx([0, 0, 1])


def test_grid_is_that_of_mad_sim() -> None:
    angles = np.array(grid_angles())
    assert angles.shape == (210, 2)
    assert sorted(set(angles[:, 0].round(6)), reverse=True) == pytest.approx(np.linspace(85, -85, 14))
    assert angles[:15, 1] == pytest.approx([(120 + 22.857142857 * step) % 360 for step in range(15)])
    # The numbers that MAD-Sim's transforms.json has for its second view.
    second = torch.tensor([[-0.603804, 0.794099, -0.069475, -0.208424], [-0.797132, -0.601507, 0.052625, 0.157875]])
    assert torch.allclose(camera_at(*grid_angles()[1])[:2], second, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 14, 40, 210])
def test_spread_views_are_even_over_the_sphere(count: int) -> None:
    numbers = spread_views(count)
    assert numbers == sorted(set(numbers)) and len(numbers) == count
    if count >= 14:
        centres = torch.stack([camera_at(*grid_angles()[number])[:3, 3] for number in numbers]) / 3.0
        every = torch.stack([camera_at(*angles)[:3, 3] for angles in grid_angles()]) / 3.0
        gaps = torch.cdist(every, centres).min(dim=1).values
        assert float(gaps.max()) < 4.0 / math.sqrt(count)


@pytest.mark.parametrize("count", [0, 211])
def test_impossible_numbers_of_views_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 210"):
        spread_views(count)


def test_random_cameras_are_rigid_look_at_the_origin_and_stay_off_the_poles() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        pose = random_camera(random).double()
        assert torch.allclose(pose[:3, :3] @ pose[:3, :3].T, torch.eye(3, dtype=torch.float64), atol=1e-6)
        assert torch.allclose(pose[:3, 3], 3.0 * pose[:3, 2], atol=1e-5)
        assert abs(float(pose[2, 3])) <= 3.0 * math.sin(math.radians(85)) + 1e-6
