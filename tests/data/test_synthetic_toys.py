"""The toys' parts, the toys, and the cameras of a generated set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh

from data.synthetic.config import toy_names, toy_path
from data.synthetic.part_numbers import built_in
from data.synthetic.parts import PART_KINDS, make_part
from data.synthetic.solids import corner_normals
from data.synthetic.toys import count_triangles, read_toy
from data.synthetic.viewpoints import camera_at, grid_angles, random_camera, spread_views
from utils.errors import InputError


@pytest.mark.parametrize("kind", sorted(PART_KINDS))
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


def test_every_toy_is_read() -> None:
    for name in toy_names():
        toy = read_toy(toy_path(name))
        assert len(toy.parts) >= 20
        assert count_triangles(toy) == sum(len(part.solid.faces) for part in toy.parts) > 5000


def test_an_unknown_toy_names_those_there_are() -> None:
    with pytest.raises(InputError, match="locomotive"):
        toy_path("zeppelin")


@pytest.mark.parametrize("number", ["3001", "3020", "3068b", "3040b", "3665a", "3659", "3960", "3062b", "30374"])
def test_built_in_parts_lie_where_ldraws_do(number: str) -> None:
    """Boxes of LDraw's own parts: x, away, up in studs; the seam between ours is 0.012, curves differ a little."""
    boxes = {
        "3001": ((-2, -1, -1.2), (2, 1, 0.2)), "3020": ((-2, -1, -0.4), (2, 1, 0.2)),
        "3068b": ((-1, -1, -0.4), (1, 1, 0)), "3040b": ((-0.5, -1.5, -1.2), (0.5, 0.5, 0.2)),
        "3665a": ((-0.5, -1.5, -1.2), (0.5, 0.5, 0.2)), "3659": ((-2, -0.5, -1.2), (2, 0.5, 0.2)),
        "3960": ((-2, -2, -0.8), (2, 2, 0)), "3062b": ((-0.5, -0.5, -1.2), (0.5, 0.5, 0.2)),
        "30374": ((-0.2, -0.2, -4), (0.2, 0.2, 0)),
    }  # fmt: skip
    vertices = built_in(f"{number}.dat").vertices
    assert vertices.min(axis=0) == pytest.approx(boxes[number][0], abs=0.05)
    assert vertices.max(axis=0) == pytest.approx(boxes[number][1], abs=0.05)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("brick-2x.dat", "size '2x'"),
        ("brick-2x900.dat", "size '2x900'"),
        ("brick-2x2x99999.dat", "size '2x2x99999'"),
        ("round-2x3.dat", "as long as wide"),
        ("bar-1x1.dat", "one length"),
    ],
)
def test_a_part_of_an_impossible_size_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built_in(name)


def test_mirrored_and_stretched_solids_still_point_outward() -> None:
    part = make_part("cone", "2x2").solid
    for matrix in (np.diag([1.0, -1.0, 2.0]), np.array([[0.0, 1, 0], [1, 0, 0.5], [0, 0, -1]])):
        solid = part.transformed(matrix, np.array([1.0, 2.0, 3.0]))
        mesh = trimesh.Trimesh(solid.vertices, solid.faces, process=False)
        assert mesh.volume == pytest.approx(
            abs(np.linalg.det(matrix)) * trimesh.Trimesh(part.vertices, part.faces).volume
        )
        flat = np.einsum("fci,fi->fc", solid.corner_normals, mesh.face_normals)
        assert flat[mesh.area_faces > 1e-9].min() > 0.5
        assert np.allclose(np.linalg.norm(solid.corner_normals, axis=2), 1.0)


def test_corner_normals_are_those_of_a_slow_loop() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    mesh.apply_scale((1.0, 0.4, 2.0))
    crease, expected = 0.6, np.zeros((len(mesh.faces), 3, 3))
    for face, corner in np.ndindex(len(mesh.faces), 3):
        for other, corners in enumerate(mesh.faces):
            near = mesh.face_normals[face] @ mesh.face_normals[other] > np.cos(crease)
            if near and mesh.faces[face, corner] in corners:
                expected[face, corner] += mesh.face_normals[other] * mesh.area_faces[other]
    expected /= np.linalg.norm(expected, axis=2, keepdims=True)
    found = corner_normals(mesh.faces, mesh.face_normals, mesh.area_faces, crease)
    assert np.allclose(found, expected)
    flipped = mesh.face_normals * np.where(np.arange(len(mesh.faces)) % 2, 1, -1)[:, None]
    either = corner_normals(mesh.faces, flipped, mesh.area_faces, crease, either_way=True)
    assert np.allclose(np.abs(np.einsum("fci,fci->fc", either, expected)), 1.0)


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
