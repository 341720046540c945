"""Makes the three defects of MAD, Burrs, Missing and Stains, of a given visible area in a given view."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import cv2
import numpy as np
import trimesh
from scipy.stats import norm
from torch import Tensor

from data.synthetic.placed_model import PlacedModel
from data.synthetic.render import SAMPLES, CameraRays, camera_rays, pixel_share
from data.synthetic.scene import Hits, Scene, linear_from_srgb, srgb_from_linear
from data.synthetic.solids import Solid, hull, joined, revolved
from data.synthetic.stain import Stain
from utils.camera import Intrinsics

# Visible area as a share of the frame, as measured on MAD: median, smallest, largest, and the spread of its logarithm.
AREAS = {
    "Burrs": (0.0015, 0.0003, 0.043, 0.8),
    "Missing": (0.0087, 0.0011, 0.033, 0.75),
    "Stains": (0.0011, 0.0002, 0.008, 0.75),
}
SMALLEST_AREA = 0.0002  # of the frame; smaller defects are discarded
SIMILAR_COLOUR = 30.0  # CIELAB distance below which two colours are too similar


@dataclass(frozen=True)
class Defect:
    """One defect of a toy, or none."""

    missing: int | None = None  # number of the part that is left out
    burr: Solid | None = None
    burr_colour: tuple[int, int, int] = (0, 0, 0)  # sRGB 0-255
    stain: Stain | None = None


@dataclass(frozen=True)
class VisibleSurface:
    """The surface of a toy that one camera sees."""

    model: PlacedModel
    scene: Scene
    rays: CameraRays
    hits: Hits
    intrinsics: Intrinsics
    camera_to_world: Tensor

    @property
    def points(self) -> np.ndarray:
        """Return the world positions (hits, 3) of the visible surface."""
        return self.rays.origins[self.hits.rays] + self.hits.distances[:, None] * self.rays.directions[self.hits.rays]

    def area(self, chosen: np.ndarray) -> float:
        """Return the share of the frame that the mask of the ``chosen`` rays covers."""
        return float(mask_of(self.rays, chosen, self.intrinsics).mean())


def visible_surface(
    model: PlacedModel, scene: Scene, camera_to_world: Tensor, intrinsics: Intrinsics
) -> VisibleSurface:
    """Find the surface of a model in ``scene`` that a camera sees."""
    rays = camera_rays(scene, camera_to_world, intrinsics)
    hits = scene.first_hits(rays.origins, rays.directions)
    return VisibleSurface(model, scene, rays, hits, intrinsics, camera_to_world)


def mask_of(rays: CameraRays, chosen: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Return the pixels (height, width) bool of which the ``chosen`` rays (indices) make up at least half."""
    return pixel_share(rays, chosen, intrinsics) >= 0.5


def draw_areas(kind: str, count: int, random: np.random.Generator) -> np.ndarray:
    """Draw ``count`` areas (shares of the frame) from MAD's distribution for a defect type, in random order.

    They are stratified, so that the median is right for few queries too.
    """
    median, smallest, largest, spread = AREAS[kind]
    low, high = (norm.cdf(math.log(bound / median) / spread) for bound in (smallest, largest))
    # half of the queries on either side of the median, whatever the bounds cut off
    level = (random.permutation(count) + random.random(count)) / count
    level = np.where(level < 0.5, low + (0.5 - low) * level * 2, 0.5 + (high - 0.5) * (level * 2 - 1))
    return median * np.exp(spread * norm.ppf(level))


def missing_part(surface: VisibleSurface, wanted: float) -> tuple[Defect, float] | None:
    """Remove the part whose visible area is nearest to ``wanted``, among those whose absence is visible.

    Returns:
        The defect and the factor (>= 1) by which its area differs from the wanted one; None where no part is suitable.
    """
    parts = surface.scene.part_of_face[surface.hits.faces]
    frame = surface.intrinsics.width * surface.intrinsics.height
    shares = np.bincount(parts, minlength=len(surface.model.solids)) / (frame * SAMPLES)
    order = np.argsort(np.abs(np.log(np.maximum(shares, 1e-9) / wanted)), kind="stable")
    for part in order[:3]:
        chosen = np.flatnonzero(parts == part)
        area = surface.area(surface.hits.rays[chosen])
        if area >= SMALLEST_AREA and _changed_share(surface, chosen, int(part)) > 0.5:
            return Defect(missing=int(part)), float(np.exp(abs(math.log(area / wanted))))
    return None


def _changed_share(surface: VisibleSurface, chosen: np.ndarray, part: int) -> float:
    """Return the share of the hits that would look different (background, colour or normal) without the part."""
    scene, rays = surface.model.scene(without=part), surface.hits.rays[chosen]
    behind = scene.first_faces(surface.rays.origins[rays], surface.rays.directions[rays])
    faces = surface.hits.faces[chosen]
    before, after = surface.scene.albedo_of_face[faces], scene.albedo_of_face[behind]
    colour = np.abs(srgb_from_linear(after) - srgb_from_linear(before))
    directions = surface.rays.directions[rays]
    normals = scene.flat_normals(behind, directions), surface.scene.flat_normals(faces, directions)
    cosine = np.einsum("ij,ij->i", *normals)
    return float(((behind < 0) | (colour.max(axis=1) > 0.1) | (cosine < 0.95)).mean())


def burr(surface: VisibleSurface, wanted: float, random: np.random.Generator) -> Defect | None:
    """Add a small protrusion in the part's own colour; None where it cannot get about the ``wanted`` area."""
    spot = int(random.integers(len(surface.hits.rays)))
    view = surface.rays.directions[surface.hits.rays[spot]]
    normal = surface.scene.flat_normals(surface.hits.faces[[spot]], view[None])[0].astype(np.float64)
    foot = surface.points[spot].astype(np.float64)
    part = int(surface.scene.part_of_face[surface.hits.faces[spot]])
    shape = _spikes(normal, random) if random.random() < 0.6 else _shards(normal, random)
    length = 2.0 * math.sqrt(wanted)
    for _ in range(5):
        grown = Solid(shape.vertices * length + foot, shape.faces, shape.corner_normals)
        area = _visible_area(surface, grown)
        if area > 0 and abs(math.log(area / wanted)) < 0.1:
            break
        length *= float(np.clip(math.sqrt(wanted / max(area, 1e-6)), 0.4, 2.5))
    if area < SMALLEST_AREA or abs(math.log(area / wanted)) > 0.4 or length > 0.6:
        return None
    return Defect(burr=grown, burr_colour=surface.model.colours[part])


def _visible_area(surface: VisibleSurface, solid: Solid) -> float:
    """Return the share of the frame that a solid covers in front of the toy."""
    low, high = solid.vertices.min(axis=0), solid.vertices.max(axis=0)
    if max(np.abs(low).max(), np.abs(high).max()) > 1.2:
        return 1.0
    alone = Scene([solid], [np.zeros(3)], [0])
    rays = camera_rays(alone, surface.camera_to_world, surface.intrinsics)
    found = alone.first_hits(rays.origins, rays.directions)
    unblocked = ~surface.scene.blocked(rays.origins[found.rays], rays.directions[found.rays], found.distances)
    return float(mask_of(rays, found.rays[unblocked], surface.intrinsics).mean())


def _random_tilt(normal: np.ndarray, random: np.random.Generator, spread: float) -> np.ndarray:
    direction = normal + spread * random.normal(size=3)
    direction += normal * max(0.0, 0.25 - direction @ normal)
    return direction / np.linalg.norm(direction)


def _spikes(normal: np.ndarray, random: np.random.Generator) -> Solid:
    """Make three to six thin tilted cones at one spot; the longest has length 1."""
    spikes = []
    for number in range(int(random.integers(3, 7))):
        height = 1.0 if number == 0 else random.uniform(0.45, 0.95)
        radius = random.uniform(0.07, 0.13)
        cone = revolved(((0.0, -0.12), (radius, -0.12), (radius * 0.6, height * 0.55), (0.0, height)), 12)
        rotation = trimesh.geometry.align_vectors([0, 0, 1], _random_tilt(normal, random, 0.7))[:3, :3]
        foot = random.normal(size=3) * 0.06
        spikes.append(cone.moved(rotation, foot - normal * (foot @ normal)))
    return joined(spikes)


def _shards(normal: np.ndarray, random: np.random.Generator) -> Solid:
    """Make ragged bits of plastic side by side, about 1 long."""
    along = np.cross(normal, _random_tilt(normal, random, 1.0))
    along /= np.linalg.norm(along)
    shards = []
    for number in range(int(random.integers(2, 5))):
        centre = along * (number * 0.3 - 0.4) + normal * 0.08
        points = random.normal(size=(9, 3)) * 0.13
        points[0] = normal * random.uniform(0.3, 0.7) + random.normal(size=3) * 0.12
        points[1] = -normal * 0.2
        shards.append(hull(centre + points))
    return joined(shards)


def stain(surface: VisibleSurface, wanted: float, random: np.random.Generator) -> Defect | None:
    """Discolour a patch of the ``wanted`` area in a colour unlike all that it covers; None where that fails."""
    points = surface.points
    centre = points[int(random.integers(len(points)))]
    hue, saturation, value = random.random(), random.uniform(0.25, 0.95), random.uniform(0.15, 0.9)
    colour = np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255.0
    waves = np.concatenate([random.normal(size=(5, 3)) * 2.4, random.uniform(0, 2 * math.pi, (5, 1))], axis=1)
    blob = Stain(centre, math.sqrt(wanted), linear_from_srgb(colour), waves.astype(np.float32))
    for _ in range(6):
        weight = blob.weight(points)
        area = surface.area(surface.hits.rays[weight > 0.5])
        if area > 0 and abs(math.log(area / wanted)) < 0.08:
            break
        blob = blob.scaled(float(np.clip(math.sqrt(wanted / max(area, 1e-6)), 0.5, 2.0)))
    if area < SMALLEST_AREA or abs(math.log(area / wanted)) > 0.4:
        return None
    beneath = np.unique(surface.scene.albedo_of_face[surface.hits.faces[weight > 0]], axis=0)
    if colour_distance(srgb_from_linear(beneath), colour / 255.0).min() < SIMILAR_COLOUR:
        return None
    return Defect(stain=blob)


def colour_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distance in CIELAB (CIE 1976) between sRGB colours (n, 3) in [0, 1] and one colour (3,): (n,)."""
    return np.linalg.norm(_lab(first) - _lab(second), axis=-1)


def _lab(srgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.asarray(srgb, dtype=np.float32).reshape(1, -1, 3), cv2.COLOR_RGB2LAB)[0]
