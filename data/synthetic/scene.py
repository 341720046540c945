"""Scenes of triangles for ray casting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from data.synthetic.solids import Solid

RAY_OFFSET = 2e-4  # scene units by which secondary rays start above the surface


@dataclass(frozen=True)
class Hits:
    """Where rays hit a scene, one row for each ray that does."""

    rays: np.ndarray  # (hits,) int64 indices of those rays
    faces: np.ndarray  # (hits,) int32
    distances: np.ndarray  # (hits,) float32
    barycentric: np.ndarray  # (hits, 2) float32


def linear_from_srgb(colour: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """Return the linear light in [0, 1] of sRGB values in 0-255 (IEC 61966-2-1)."""
    value = np.asarray(colour, dtype=np.float64) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb_from_linear(light: np.ndarray) -> np.ndarray:
    """Return the sRGB values in [0, 1] of linear light, clipped to [0, 1] (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1.0 / 2.4) - 0.055)


class Scene:
    """Triangles with a part number, a colour and corner normals, and a tree to find the first one along a ray."""

    def __init__(self, solids: list[Solid], colours: list[np.ndarray], part_ids: list[int]) -> None:
        """Build the tree.

        Args:
            solids: in world coordinates.
            colours: sRGB 0-255 of each solid, (3,) or of each of its faces (faces, 3).
            part_ids: number of the part that each solid is.
        """
        counts = [len(solid.faces) for solid in solids]
        triangles = np.concatenate([solid.vertices[solid.faces] for solid in solids]).astype(np.float32)
        self.part_of_face = np.repeat(np.asarray(part_ids, dtype=np.int32), counts)
        albedos = [np.broadcast_to(linear_from_srgb(colour), (count, 3)) for colour, count in zip(colours, counts)]
        self.albedo_of_face = np.concatenate(albedos)  # (faces, 3)
        self._two_sided = not all(solid.closed for solid in solids)
        self.corner_normals = np.concatenate([solid.corner_normals for solid in solids]).astype(np.float32)
        edges = triangles[:, 1:] - triangles[:, :1]
        normals = np.cross(edges[:, 0].astype(np.float64), edges[:, 1].astype(np.float64))
        self.face_normals = (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)).astype("f4")
        self.corners = (triangles.reshape(-1, 3).min(axis=0), triangles.reshape(-1, 3).max(axis=0))
        self._tree = rtcore_scene.EmbreeScene()
        TriangleMesh(self._tree, triangles.reshape(-1, 3), np.arange(triangles.size // 3, dtype="i4").reshape(-1, 3))

    def first_hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Find the first surfaces along rays from ``origins`` (rays, 3) in unit ``directions`` (rays, 3), float32."""
        found = self._tree.run(origins, directions, output=1)
        rays = np.flatnonzero(found["primID"] >= 0)
        barycentric = np.stack([found["u"][rays], found["v"][rays]], axis=1)
        return Hits(rays, found["primID"][rays], found["tfar"][rays], barycentric)

    def first_faces(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return the number of the first triangle along each ray, -1 where there is none: (rays,) int32."""
        return self._tree.run(origins, directions)

    def blocked(self, origins: np.ndarray, directions: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Return whether something lies within ``distances`` (rays,) along each ray: (rays,) bool."""
        return self._tree.run(origins, directions, dists=distances, query="OCCLUDED") >= 0

    def flat_normals(self, faces: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return the unit normals (n, 3) of ``faces`` (n,), on the side that rays in ``directions`` (n, 3) hit."""
        return self.face_normals[faces] * self._side(faces, directions)

    def _side(self, faces: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return -1 where rays hit a face from behind, else 1: (n, 1); closed solids are never seen from behind."""
        if not self._two_sided:
            return np.ones((1, 1), dtype=np.float32)
        facing = np.einsum("ij,ij->i", self.face_normals[faces], directions)
        return np.where(facing > 0, np.float32(-1), np.float32(1))[:, None]

    def shading_normals(self, hits: Hits, directions: np.ndarray) -> np.ndarray:
        """Return smooth unit normals (hits, 3) float32 at ``hits`` of rays in ``directions`` (hits, 3)."""
        corners = self.corner_normals[hits.faces]
        u, v = hits.barycentric[:, :1], hits.barycentric[:, 1:]
        normals = corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v
        lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))[:, None]
        return normals / lengths * self._side(hits.faces, directions)
