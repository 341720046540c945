"""The three defects of MAD: Burrs, Missing and Stains, of a wanted visible area in a given view."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np
import trimesh
from skimage.color import rgb2lab
from torch import Tensor

from data.synthetic.assembly import Assembly
from data.synthetic.render import SAMPLES, CameraRays, camera_rays, pixel_share
from data.synthetic.scene import Hits, Scene, linear_from_srgb, srgb_from_linear
from data.synthetic.solids import Solid, hull, joined, revolved
from data.synthetic.stain import Stain
from utils.camera import Intrinsics

KINDS = ("Burrs", "Missing", "Stains")
# Visible area as a part of the frame, as measured on MAD: median, smallest, largest, and the spread of its logarithm.
AREAS = {
    "Burrs": (0.0015, 0.0003, 0.043, 0.8),
    "Missing": (0.0087, 0.0011, 0.033, 0.75),
    "Stains": (0.0011, 0.0002, 0.008, 0.75),
}
SMALLEST_AREA = 0.0002  # of the frame; what shows less is no query
SAME_COLOUR = 30.0  # CIELAB distance below which two colours are nearly the same


@dataclass(frozen=True)
class Defect:
    """One defect on a toy."""

    missing: int | None = None  # number of the part that is left out
    burr: Solid | None = None
    burr_colour: tuple[int, int, int] = (0, 0, 0)  # sRGB 0-255
    stain: Stain | None = None


@dataclass(frozen=True)
class Sight:
    """An intact toy as one camera sees it."""

    assembly: Assembly
    scene: Scene
    rays: CameraRays
    hits: Hits
    intrinsics: Intrinsics
    camera_to_world: Tensor

    @property
    def points(self) -> np.ndarray:
        """World positions (hits, 3) of the visible surface."""
        return self.rays.origins[self.hits.rays] + self.hits.distances[:, None] * self.rays.directions[self.hits.rays]

    def area(self, chosen: np.ndarray) -> float:
        """Part of the frame that the mask of the ``chosen`` rays covers."""
        return float(mask_of(self.rays, chosen, self.intrinsics).mean())


def look(assembly: Assembly, scene: Scene, camera_to_world: Tensor, intrinsics: Intrinsics) -> Sight:
    """Sees the intact ``scene`` of ``assembly``."""
    rays = camera_rays(scene, camera_to_world, intrinsics)
    hits = scene.first_hits(rays.origins, rays.directions)
    return Sight(assembly, scene, rays, hits, intrinsics, camera_to_world)


def mask_of(rays: CameraRays, chosen: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Pixels (height, width) bool of which the ``chosen`` rays (indices) make up at least half."""
    return pixel_share(rays, chosen, intrinsics) >= 0.5


def wanted_areas(kind: str, count: int, random: np.random.Generator) -> np.ndarray:
    """``count`` areas (parts of the frame) in random order that follow MAD's distribution for ``kind``.

    They are stratified, so that the median is right for few queries too.
    """
    from scipy.stats import norm

    median, smallest, largest, spread = AREAS[kind]
    low, high = (norm.cdf(math.log(bound / median) / spread) for bound in (smallest, largest))
    # Half of the queries on either side of the median, whatever the bounds cut away.
    level = (random.permutation(count) + random.random(count)) / count
    level = np.where(level < 0.5, low + (0.5 - low) * level * 2, 0.5 + (high - 0.5) * (level * 2 - 1))
    return median * np.exp(spread * norm.ppf(level))


def missing_part(sight: Sight, wanted: float) -> tuple[Defect, float] | None:
    """Leaves out the part whose visible area is nearest to ``wanted``, among those whose absence can be seen.

    Returns:
        The defect and the factor (>= 1) by which its area misses the wanted one; None where no part will do.
    """
    parts = sight.scene.part_of_face[sight.hits.faces]
    frame = sight.intrinsics.width * sight.intrinsics.height
    shares = np.bincount(parts, minlength=len(sight.assembly.solids)) / (frame * SAMPLES)
    order = np.argsort(np.abs(np.log(np.maximum(shares, 1e-9) / wanted)), kind="stable")
    for part in order[:3]:
        chosen = np.flatnonzero(parts == part)
        area = sight.area(sight.hits.rays[chosen])
        if area >= SMALLEST_AREA and _changes(sight, chosen, int(part)) > 0.5:
            return Defect(missing=int(part)), float(np.exp(abs(math.log(area / wanted))))
    return None


def _changes(sight: Sight, chosen: np.ndarray, part: int) -> float:
    """Part of the ``chosen`` hits behind which, without ``part``, lies background, another colour or another slant."""
    scene, rays = sight.assembly.scene(without=part), sight.hits.rays[chosen]
    behind = scene.first_faces(sight.rays.origins[rays], sight.rays.directions[rays])
    faces = sight.hits.faces[chosen]
    before, after = sight.scene.albedo_of_face[faces], scene.albedo_of_face[behind]
    colour = np.abs(srgb_from_linear(after) - srgb_from_linear(before))
    directions = sight.rays.directions[rays]
    slants = scene.flat_normals(behind, directions), sight.scene.flat_normals(faces, directions)
    slant = np.einsum("ij,ij->i", *slants)
    return float(((behind < 0) | (colour.max(axis=1) > 0.1) | (slant < 0.95)).mean())


def burr(sight: Sight, wanted: float, random: np.random.Generator) -> Defect | None:
    """Grows a small protrusion of the part's own colour; None where it cannot reach about the ``wanted`` area."""
    spot = int(random.integers(len(sight.hits.rays)))
    view = sight.rays.directions[sight.hits.rays[spot]]
    normal = sight.scene.flat_normals(sight.hits.faces[[spot]], view[None])[0].astype(np.float64)
    foot = sight.points[spot].astype(np.float64)
    part = int(sight.scene.part_of_face[sight.hits.faces[spot]])
    shape = _spikes(normal, random) if random.random() < 0.6 else _shards(normal, random)
    length = 2.0 * math.sqrt(wanted)
    for _ in range(5):
        grown = Solid(shape.vertices * length + foot, shape.faces, shape.corner_normals)
        area = _visible_area(sight, grown, part)
        if area > 0 and abs(math.log(area / wanted)) < 0.1:
            break
        length *= float(np.clip(math.sqrt(wanted / max(area, 1e-6)), 0.4, 2.5))
    if area < SMALLEST_AREA or abs(math.log(area / wanted)) > 0.4 or length > 0.6:
        return None
    return Defect(burr=grown, burr_colour=sight.assembly.colours[part])


def _visible_area(sight: Sight, solid: Solid, part: int) -> float:
    low, high = solid.vertices.min(axis=0), solid.vertices.max(axis=0)
    if max(np.abs(low).max(), np.abs(high).max()) > 1.2:
        return 1.0
    alone = Scene([solid], [np.zeros(3)], [0])
    rays = camera_rays(alone, sight.camera_to_world, sight.intrinsics)
    found = alone.first_hits(rays.origins, rays.directions)
    open_way = ~sight.scene.blocked(rays.origins[found.rays], rays.directions[found.rays], found.distances)
    return float(mask_of(rays, found.rays[open_way], sight.intrinsics).mean())


def _random_tilt(normal: np.ndarray, random: np.random.Generator, spread: float) -> np.ndarray:
    direction = normal + spread * random.normal(size=3)
    direction += normal * max(0.0, 0.25 - direction @ normal)
    return direction / np.linalg.norm(direction)


def _spikes(normal: np.ndarray, random: np.random.Generator) -> Solid:
    """Three to six thin crooked cones from one spot; the longest has length 1."""
    spikes = []
    for number in range(int(random.integers(3, 7))):
        height = 1.0 if number == 0 else random.uniform(0.45, 0.95)
        radius = random.uniform(0.07, 0.13)
        cone = revolved(((0.0, -0.12), (radius, -0.12), (radius * 0.6, height * 0.55), (0.0, height)), 12)
        turn = trimesh.geometry.align_vectors([0, 0, 1], _random_tilt(normal, random, 0.7))[:3, :3]
        foot = random.normal(size=3) * 0.06
        spikes.append(cone.moved(turn, foot - normal * (foot @ normal)))
    return joined(spikes)


def _shards(normal: np.ndarray, random: np.random.Generator) -> Solid:
    """Ragged bits of plastic beside each other, about 1 long."""
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


def stain(sight: Sight, wanted: float, random: np.random.Generator) -> Defect | None:
    """Discolours a patch of the ``wanted`` area in a colour unlike all that it covers; None where that fails."""
    points = sight.points
    centre = points[int(random.integers(len(points)))]
    hue, saturation, value = random.random(), random.uniform(0.25, 0.95), random.uniform(0.15, 0.9)
    colour = np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255.0
    waves = np.concatenate([random.normal(size=(5, 3)) * 2.4, random.uniform(0, 2 * math.pi, (5, 1))], axis=1)
    blob = Stain(centre, math.sqrt(wanted), linear_from_srgb(colour), waves.astype(np.float32))
    for _ in range(6):
        weight = blob.weight(points)
        area = sight.area(sight.hits.rays[weight > 0.5])
        if area > 0 and abs(math.log(area / wanted)) < 0.08:
            break
        blob = blob.scaled(float(np.clip(math.sqrt(wanted / max(area, 1e-6)), 0.5, 2.0)))
    if area < SMALLEST_AREA or abs(math.log(area / wanted)) > 0.4:
        return None
    beneath = np.unique(sight.scene.albedo_of_face[sight.hits.faces[weight > 0]], axis=0)
    if colour_distance(srgb_from_linear(beneath), colour / 255.0).min() < SAME_COLOUR:
        return None
    return Defect(stain=blob)


def colour_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distance in CIELAB (CIE 1976) between sRGB colours (n, 3) in [0, 1] and one colour (3,): (n,)."""
    return np.linalg.norm(rgb2lab(np.asarray(first, dtype=float)) - rgb2lab(np.asarray(second, dtype=float)), axis=-1)
