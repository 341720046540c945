"""Renders scenes by ray tracing.

Every pixel takes 10 stratified samples. Each sample sends one ray into the cosine-weighted hemisphere (sky, ambient
occlusion and one bounce of light from other parts), one toward a point of an area light, and one mirror ray. The sample
points are one fixed set shifted at random per pixel, so two images with the same seed and pose differ only where the
scenes do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc

from data.synthetic.lighting import Lighting
from data.synthetic.scene import RAY_OFFSET, Hits, Scene, linear_from_srgb, srgb_from_linear
from data.synthetic.stain import Stain
from utils.camera import Intrinsics, project_points, world_rays

SAMPLES = 10  # a pixel
# positions in the pixel: a rotated square lattice, no two samples in one row or column
OFFSETS = (np.stack([np.arange(SAMPLES), 3 * np.arange(SAMPLES) % SAMPLES], axis=1) + 0.5) / SAMPLES
BOUNCE_VISIBILITY = 0.65  # share of the open sky's light that a typical surface of a toy receives


@dataclass(frozen=True)
class CameraRays:
    """The rays of one image that can hit its scene."""

    pixels: np.ndarray  # (rays,) flat pixel numbers
    samples: np.ndarray  # (rays,) 0 ... SAMPLES - 1
    origins: np.ndarray  # (rays, 3) float32
    directions: np.ndarray  # (rays, 3) float32


def camera_rays(scene: Scene, camera_to_world: torch.Tensor, intrinsics: Intrinsics) -> CameraRays:
    """Make rays through the SAMPLES sub-pixels of every pixel in the scene's bounding rectangle."""
    low, high = _rectangle(scene, camera_to_world, intrinsics)
    columns, rows = np.arange(low[0], high[0]), np.arange(low[1], high[1])
    pixels = (rows[:, None] * intrinsics.width + columns).reshape(-1)
    corners = np.stack(np.broadcast_arrays(columns, rows[:, None]), axis=-1).reshape(-1, 1, 2)
    points = torch.from_numpy((corners + OFFSETS).reshape(-1, 2).astype(np.float32))
    starts, directions = world_rays(points, intrinsics, camera_to_world)
    samples = np.tile(np.arange(SAMPLES), len(pixels))
    origins = np.ascontiguousarray(starts.numpy())
    return CameraRays(np.repeat(pixels, SAMPLES), samples, origins, np.ascontiguousarray(directions.numpy()))


def _rectangle(scene: Scene, camera_to_world: torch.Tensor, intrinsics: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.stack(scene.corners)
    corners = np.array([[bounds[i, 0], bounds[j, 1], bounds[k, 2]] for i, j, k in np.ndindex(2, 2, 2)])
    points, _ = project_points(torch.from_numpy(corners).float(), intrinsics, camera_to_world)
    size = np.array([intrinsics.width, intrinsics.height])
    low = np.clip(np.floor(points.numpy().min(axis=0)).astype(int) - 1, 0, size)
    return low, np.clip(np.ceil(points.numpy().max(axis=0)).astype(int) + 1, 0, size)


def render(
    scene: Scene,
    lighting: Lighting,
    rays: CameraRays,
    hits: Hits,
    intrinsics: Intrinsics,
    seed: int,
    stain: Stain | None = None,
    background: np.ndarray | None = None,
) -> np.ndarray:
    """Render an image, RGB (height, width, 3) uint8.

    Args:
        scene: to be rendered.
        lighting: of the scene.
        rays: from `camera_rays`.
        hits: of the rays in ``scene``.
        intrinsics: of the camera.
        seed: of the image noise.
        stain: discoloration of the surface.
        background: image (height, width, 3) uint8; None: pure white.
    """
    light = _shade(scene, lighting, rays, hits, intrinsics, seed, stain)
    count = intrinsics.width * intrinsics.height
    pixels = rays.pixels[hits.rays]
    covered = np.bincount(pixels, minlength=count)
    total = np.stack([np.bincount(pixels, light[:, channel], count) for channel in range(3)], axis=1)
    image = np.full((count, 3), 255, np.uint8) if background is None else background.reshape(count, 3).copy()
    hit = np.flatnonzero(covered)
    behind = (SAMPLES - covered[hit])[:, None] * linear_from_srgb(image[hit])
    image[hit] = np.rint(srgb_from_linear((total[hit] + behind) / SAMPLES) * 255.0)
    return image.reshape(intrinsics.height, intrinsics.width, 3)


def pixel_share(rays: CameraRays, chosen: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Return the share of each pixel's samples among the ``chosen`` rays (indices): (height, width) in [0, 1]."""
    count = np.bincount(rays.pixels[chosen], minlength=intrinsics.width * intrinsics.height)
    return (count / SAMPLES).reshape(intrinsics.height, intrinsics.width)


class _PixelSampler:
    """Low-discrepancy numbers: a fixed point set for the samples of a pixel, shifted at random for each pixel."""

    def __init__(self, seed: int, pixels: int, dimensions: int) -> None:
        self._points = qmc.Sobol(dimensions, rng=np.random.default_rng(7)).random(16)[:SAMPLES].astype(np.float32)
        self._shifts = np.random.default_rng(seed).random((pixels, dimensions), dtype=np.float32)

    def uniform(self, dimension: int, pixels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        value = self._points[samples, dimension] + self._shifts[pixels, dimension]
        return np.minimum(value - np.floor(value), np.float32(1 - 2**-24))


def _shade(
    scene: Scene, lighting: Lighting, rays: CameraRays, hits: Hits, intrinsics: Intrinsics, seed: int, stain
) -> np.ndarray:
    """Return the linear RGB (hits, 3) that the camera receives along the rays that hit."""
    pixels, samples = rays.pixels[hits.rays], rays.samples[hits.rays]
    random = _PixelSampler(seed, intrinsics.width * intrinsics.height, 6)
    u = [random.uniform(dimension, pixels, samples) for dimension in range(6)]
    view = rays.directions[hits.rays]
    normals, faces = scene.shading_normals(hits, view), scene.flat_normals(hits.faces, view)
    points = rays.origins[hits.rays] + hits.distances[:, None] * view
    albedo = scene.albedo_of_face[hits.faces]
    if stain is not None:
        weight = stain.weight(points)[:, None]
        albedo = albedo + weight * (stain.albedo - albedo)
    start = points + faces * RAY_OFFSET
    incoming = _hemisphere_light(scene, lighting, start, normals, u[0], u[1])
    incoming += _direct_light(scene, lighting, start, normals, samples, u[2], u[3])
    light = albedo * incoming
    if lighting.reflectance > 0:
        light += _mirrored_light(scene, lighting, start, normals, faces, view, u[4], u[5])
    return light


def _around(axis: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return vectors (n, 3) with components x, y, z in a frame whose z axis is ``axis`` (Duff et al. 2017)."""
    sign = np.where(axis[:, 2] >= 0, np.float32(1), np.float32(-1))
    a = -1.0 / (sign + axis[:, 2])
    b = axis[:, 0] * axis[:, 1] * a
    first = np.stack([1.0 + sign * axis[:, 0] ** 2 * a, sign * b, -sign * axis[:, 0]], axis=1)
    second = np.stack([b, sign + axis[:, 1] ** 2 * a, -axis[:, 1]], axis=1)
    return first * x[:, None] + second * y[:, None] + axis * z[:, None]


def _arriving(scene: Scene, lighting: Lighting, start, directions, with_lights: bool) -> np.ndarray:
    """Return the radiance (n, 3) arriving at ``start`` from ``directions``: of the sky, or of the first part hit."""
    faces = scene.first_faces(start, directions)
    radiance = lighting.radiance(start, directions) if with_lights else lighting.sky(directions)
    hit = np.flatnonzero(faces >= 0)
    normals = scene.flat_normals(faces[hit], directions[hit])
    radiance[hit] = scene.albedo_of_face[faces[hit]] * lighting.irradiance(normals) * np.float32(BOUNCE_VISIBILITY)
    return radiance


def _hemisphere_light(scene: Scene, lighting: Lighting, start, normals, u, v) -> np.ndarray:
    """Return the irradiance over pi (n, 3) from the sky and other parts, one cosine-weighted ray each."""
    radius, angle = np.sqrt(u), np.float32(2 * math.pi) * v
    directions = _around(normals, radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1.0 - u))
    return _arriving(scene, lighting, start, directions, with_lights=False)


def _direct_light(scene: Scene, lighting: Lighting, start, normals, samples, u, v) -> np.ndarray:
    """Return the irradiance over pi (n, 3) from the area lights; the samples take them in turn."""
    lights, chosen = lighting.lights, samples % len(lighting.lights)
    centre, side, upward, normal, radiance = (
        np.stack([getattr(light, name) for light in lights]).astype(np.float32)[chosen]
        for name in ("centre", "side", "upward", "normal", "radiance")
    )
    toward = centre + side * (2 * u - 1)[:, None] + upward * (2 * v - 1)[:, None] - start
    distance = np.sqrt(np.einsum("ij,ij->i", toward, toward))
    toward /= distance[:, None]
    cosine = np.einsum("ij,ij->i", toward, normals) * -np.einsum("ij,ij->i", toward, normal)
    area = np.array([light.area for light in lights], dtype=np.float32)[chosen]
    turns = np.bincount(np.arange(SAMPLES) % len(lights)).astype(np.float32)[chosen]
    factor = np.maximum(cosine, 0) * area / (np.float32(math.pi) * distance**2) * SAMPLES / turns
    factor[np.einsum("ij,ij->i", toward, normals) <= 0] = 0
    lit = np.flatnonzero(factor > 0)
    blocked = scene.blocked(start[lit], toward[lit], distance[lit])
    factor[lit[blocked]] = 0
    return radiance * factor[:, None]


def _mirrored_light(scene: Scene, lighting: Lighting, start, normals, faces, view, u, v) -> np.ndarray:
    """Return the light (n, 3) mirrored by slightly rough plastic: Schlick's Fresnel term, lower on rough surfaces."""
    tilt = np.float32(lighting.roughness) * np.sqrt(-2.0 * np.log(np.maximum(1.0 - u, 1e-6)))
    angle = np.float32(2 * math.pi) * v
    facets = _around(normals, np.sin(tilt) * np.cos(angle), np.sin(tilt) * np.sin(angle), np.cos(tilt))
    directions = view - 2 * np.einsum("ij,ij->i", view, facets)[:, None] * facets
    outward = np.einsum("ij,ij->i", directions, faces)
    directions -= np.minimum(2 * outward, 0)[:, None] * faces  # directions into the surface are mirrored out
    grazing = 1.0 - np.clip(-np.einsum("ij,ij->i", view, normals), 0.0, 1.0)
    edge = max(1.0 - 3.0 * lighting.roughness, lighting.reflectance) - lighting.reflectance
    fresnel = lighting.reflectance + np.float32(edge) * grazing**5
    return fresnel[:, None] * _arriving(scene, lighting, start, directions, with_lights=True)
