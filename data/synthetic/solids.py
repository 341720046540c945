"""Watertight building blocks of the brick toys, in stud units, with normals that are smooth only on round surfaces."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import trimesh

SECTIONS = 48  # facets of a round part
STUD_SECTIONS = 24
BEVEL = 0.035  # studs
CREASE = math.radians(50.0)  # neighbouring faces that meet at less than this angle are shaded as one smooth surface


@dataclass(frozen=True)
class Solid:
    """A triangle mesh with a normal for each corner of each triangle."""

    vertices: np.ndarray  # (vertices, 3) float64
    faces: np.ndarray  # (faces, 3) int
    corner_normals: np.ndarray  # (faces, 3, 3) float64, unit length

    def moved(self, rotation: np.ndarray, offset: np.ndarray) -> Solid:
        """The solid after ``rotation`` (3, 3), then a shift by ``offset`` (3,)."""
        return Solid(self.vertices @ rotation.T + offset, self.faces, self.corner_normals @ rotation.T)

    def shifted(self, x: float, y: float, z: float) -> Solid:
        """The solid moved by (x, y, z)."""
        return Solid(self.vertices + np.array([x, y, z], dtype=float), self.faces, self.corner_normals)


def joined(solids: list[Solid]) -> Solid:
    """All ``solids`` as one; each stays watertight by itself."""
    starts = np.cumsum([0] + [len(solid.vertices) for solid in solids[:-1]])
    return Solid(
        np.concatenate([solid.vertices for solid in solids]),
        np.concatenate([solid.faces + start for solid, start in zip(solids, starts, strict=True)]),
        np.concatenate([solid.corner_normals for solid in solids]),
    )


def from_mesh(mesh: trimesh.Trimesh, crease: float = CREASE) -> Solid:
    """A solid of ``mesh``, smooth across edges flatter than ``crease`` (radians)."""
    normals, areas = mesh.face_normals, mesh.area_faces
    by_vertex: list[list[int]] = [[] for _ in mesh.vertices]
    for face, corners in enumerate(mesh.faces):
        for vertex in corners:
            by_vertex[vertex].append(face)
    corner_normals = np.empty((len(mesh.faces), 3, 3))
    limit = math.cos(crease)
    for face, corners in enumerate(mesh.faces):
        for corner, vertex in enumerate(corners):
            around = np.array(by_vertex[vertex])
            around = around[normals[around] @ normals[face] > limit]
            total = (normals[around] * areas[around, None]).sum(axis=0)
            corner_normals[face, corner] = total / np.linalg.norm(total)
    return Solid(np.asarray(mesh.vertices), np.asarray(mesh.faces), corner_normals)


def hull(points: list[tuple[float, float, float]] | list[list[float]] | np.ndarray, crease: float = 0.01) -> Solid:
    """The convex hull of ``points`` (n, 3), flat shaded unless ``crease`` is large."""
    return from_mesh(trimesh.convex.convex_hull(np.asarray(points, dtype=float)), crease)


@functools.cache
def box(width: float, length: float, height: float, bevel: float = BEVEL) -> Solid:
    """A box on the floor with its corner at the origin and bevelled edges."""
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
    """The solid that ``profile``, (radius, height) from the bottom of the axis to its top, sweeps about the z axis."""
    mesh = trimesh.creation.revolve(np.array(profile, dtype=float), sections=sections)
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces())
    if not mesh.is_watertight:
        raise ValueError(f"the profile {profile} does not close: expected it to start and end on the axis (radius 0)")
    if mesh.volume < 0:
        mesh.invert()
    return from_mesh(mesh)


def cylinder(radius: float, height: float, bevel: float = BEVEL, sections: int = SECTIONS) -> Solid:
    """An upright cylinder on the floor, centred on the z axis."""
    return revolved(
        ((0.0, 0.0), (radius - bevel, 0.0), (radius, bevel), (radius, height - bevel), (radius - bevel, height),
         (0.0, height)),
        sections,
    )  # fmt: skip


def stud() -> Solid:
    """The knob on top of a brick."""
    return cylinder(0.3, 0.2, 0.025, STUD_SECTIONS)
