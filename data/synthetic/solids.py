"""Makes watertight solids in stud units, with normals that are smooth only on round surfaces."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import trimesh

SECTIONS = 48  # facets of a round part
STUD_SECTIONS = 24
BEVEL = 0.035  # studs
CREASE = math.radians(50.0)  # neighbouring faces that meet at less than this angle are shaded as one smooth surface
MOST_PAIRS = 20_000_000  # of corners at the same vertices; meshes with more are shaded flat


@dataclass(frozen=True)
class Solid:
    """A triangle mesh with a normal for each corner of each triangle."""

    vertices: np.ndarray  # (vertices, 3) float64
    faces: np.ndarray  # (faces, 3) int
    corner_normals: np.ndarray  # (faces, 3, 3) float64, unit length
    closed: bool = True  # watertight, with faces that look outward; else faces are two-sided

    def moved(self, rotation: np.ndarray, offset: np.ndarray) -> Solid:
        """Return the solid after ``rotation`` (3, 3), then a shift by ``offset`` (3,)."""
        return Solid(self.vertices @ rotation.T + offset, self.faces, self.corner_normals @ rotation.T, self.closed)

    def transformed(self, matrix: np.ndarray, offset: np.ndarray) -> Solid:
        """Return the solid after a regular ``matrix`` (3, 3), also a mirroring one, then a shift by ``offset`` (3,)."""
        first, second, third = matrix.T
        cofactors = np.stack([np.cross(second, third), np.cross(third, first), np.cross(first, second)], axis=1)
        normals = self.corner_normals @ cofactors.T
        normals /= np.linalg.norm(normals, axis=2, keepdims=True)
        vertices = self.vertices @ matrix.T + offset
        if np.linalg.det(matrix) < 0:
            return Solid(vertices, self.faces[:, ::-1], -normals[:, ::-1], self.closed)
        return Solid(vertices, self.faces, normals, self.closed)

    def shifted(self, x: float, y: float, z: float) -> Solid:
        """Return the solid moved by (x, y, z)."""
        return replace(self, vertices=self.vertices + np.array([x, y, z], dtype=float))


def joined(solids: list[Solid]) -> Solid:
    """Join solids into one; each stays watertight by itself."""
    starts = np.cumsum([0] + [len(solid.vertices) for solid in solids[:-1]])
    return Solid(
        np.concatenate([solid.vertices for solid in solids]),
        np.concatenate([solid.faces + start for solid, start in zip(solids, starts, strict=True)]),
        np.concatenate([solid.corner_normals for solid in solids]),
    )


def from_mesh(mesh: trimesh.Trimesh, crease: float = CREASE) -> Solid:
    """Make a solid of ``mesh``, smooth across edges flatter than ``crease`` (radians)."""
    normals = corner_normals(mesh.faces, mesh.face_normals, mesh.area_faces, crease)
    return Solid(np.asarray(mesh.vertices), np.asarray(mesh.faces), normals)


def from_triangles(triangles: np.ndarray) -> Solid:
    """Make a two-sided solid of loose ``triangles`` (n, 3, 3) with areas above 0, wound either way."""
    vertices, faces = np.unique(triangles.reshape(-1, 3).round(6), axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    crossed = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(crossed, axis=1)
    normals = corner_normals(faces, crossed / lengths[:, None], lengths, CREASE, either_way=True)
    return Solid(vertices, faces, normals, closed=False)


def corner_normals(
    faces: np.ndarray, normals: np.ndarray, areas: np.ndarray, crease: float, either_way: bool = False
) -> np.ndarray:
    """Return the mean normals of the faces at each corner that meet the corner's own face at less than ``crease``.

    Args:
        faces: (faces, 3) vertex numbers.
        normals: (faces, 3) unit length.
        areas: (faces,) weights.
        crease: radians.
        either_way: neighbours may have the opposite winding.
    Returns:
        (faces, 3, 3) unit length.
    """
    vertices = faces.reshape(-1)  # (corners,)
    counts = np.bincount(vertices)
    order, starts = np.argsort(vertices, kind="stable"), np.cumsum(counts) - counts
    reach = (counts if (counts**2).sum() < MOST_PAIRS else counts * 0)[vertices]  # corners at each corner's vertex
    first = np.repeat(np.arange(len(vertices)), reach)  # (pairs,)
    ordinal = np.arange(len(first)) - np.repeat(np.cumsum(reach) - reach, reach)
    own, other = first // 3, order[starts[vertices[first]] + ordinal] // 3
    cosines = np.einsum("ij,ij->i", normals[own], normals[other])
    signs = np.where(cosines < 0, -1.0, 1.0) if either_way else np.ones(len(first))
    weights = np.where(cosines * signs > math.cos(crease), areas[other] * signs, 0.0)
    total = np.stack([np.bincount(first, weights * normals[other, axis], len(vertices)) for axis in range(3)], axis=1)
    total[reach == 0] = np.repeat(normals, 3, axis=0)[reach == 0]
    return (total / np.linalg.norm(total, axis=1, keepdims=True)).reshape(-1, 3, 3)


def hull(points: list[tuple[float, float, float]] | list[list[float]] | np.ndarray, crease: float = 0.01) -> Solid:
    """Make the convex hull of ``points`` (n, 3), flat shaded unless ``crease`` is large."""
    return from_mesh(trimesh.convex.convex_hull(np.asarray(points, dtype=float)), crease)


@functools.cache
def box(width: float, length: float, height: float, bevel: float = BEVEL) -> Solid:
    """Make a box on the floor with its corner at the origin and bevelled edges."""
    size, points = (width, length, height), []
    for signs in np.ndindex(2, 2, 2):
        for flat in range(3):
            points.append(
                [
                    sign * size[axis] + (0.0 if axis == flat else (bevel if sign == 0 else -bevel))
                    for axis, sign in enumerate(signs)
                ]
            )
    return hull(points)


@functools.cache
def revolved(profile: tuple[tuple[float, float], ...], sections: int = SECTIONS) -> Solid:
    """Make the solid that ``profile``, (radius, height) from bottom to top, sweeps around the z axis."""
    mesh = trimesh.creation.revolve(np.array(profile, dtype=float), sections=sections)
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces())
    if not mesh.is_watertight:
        raise ValueError(f"the profile {profile} does not close: expected it to start and end on the axis (radius 0)")
    if mesh.volume < 0:
        mesh.invert()
    return from_mesh(mesh)


def cylinder(radius: float, height: float, bevel: float = BEVEL, sections: int = SECTIONS) -> Solid:
    """Make an upright cylinder on the floor, centred on the z axis."""
    return revolved(
        ((0.0, 0.0), (radius - bevel, 0.0), (radius, bevel), (radius, height - bevel), (radius - bevel, height),
         (0.0, height)),
        sections,
    )  # fmt: skip


def stud() -> Solid:
    """Make the knob on top of a brick."""
    return cylinder(0.3, 0.2, 0.025, STUD_SECTIONS)
