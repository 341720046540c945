"""A toy placed in front of the cameras: centred, and as large in the frame as MAD-Sim's objects."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from data.synthetic.colours import Colour
from data.synthetic.render import camera_rays, pixel_share
from data.synthetic.scene import Scene
from data.synthetic.solids import Solid
from data.synthetic.toys import Toy
from data.synthetic.viewpoints import CAMERA_ANGLE_X, RADIUS, camera_at, grid_angles
from utils.camera import Intrinsics

COVERAGE = 0.21  # mean share of the frame that the object fills
SMALLEST_COVERAGE = 1e-3  # assumed for smaller toys
LARGEST_RADIUS = RADIUS * math.sin(CAMERA_ANGLE_X / 2) * 0.97  # of a sphere around the object within every frame


@dataclass(frozen=True)
class PlacedModel:
    """The parts of a toy in world coordinates."""

    solids: tuple[Solid, ...]
    colours: tuple[Colour, ...]  # sRGB 0-255
    face_colours: tuple[np.ndarray | None, ...]  # (faces, 3) of each part that has several
    scale: float  # scene units a stud

    def scene(self, without: int | None = None, extra: Solid | None = None, extra_colour: Colour = (0, 0, 0)) -> Scene:
        """Return a scene of all parts but number ``without``, with ``extra`` under the next free number."""
        kept = [number for number in range(len(self.solids)) if number != without]
        solids = [self.solids[number] for number in kept]
        colours = [_face_or_part_colour(self.face_colours[number], self.colours[number]) for number in kept]
        if extra is not None:
            kept, solids, colours = [*kept, len(self.solids)], [*solids, extra], [*colours, np.array(extra_colour)]
        return Scene(solids, colours, kept)


def _face_or_part_colour(faces: np.ndarray | None, part: Colour) -> np.ndarray:
    return np.array(part) if faces is None else faces


def _scaled(toy: Toy, scale: float) -> PlacedModel:
    points = np.concatenate([part.solid.vertices for part in toy.parts])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    solids = tuple(replace(part.solid, vertices=(part.solid.vertices - centre) * scale) for part in toy.parts)
    colours, face_colours = zip(*((part.colour, part.face_colours) for part in toy.parts))
    return PlacedModel(solids, colours, face_colours, scale)


def coverage(model: PlacedModel, size: int = 64) -> np.ndarray:
    """Return the share of the frame that the object fills, for 35 views spread over the grid: (35,) in [0, 1]."""
    scene, intrinsics = model.scene(), Intrinsics.from_angle(size, size, CAMERA_ANGLE_X)
    shares = []
    for angles in grid_angles()[3::6]:
        rays = camera_rays(scene, camera_at(*angles), intrinsics)
        hit = np.flatnonzero(scene.first_faces(rays.origins, rays.directions) >= 0)
        shares.append(pixel_share(rays, hit, intrinsics).mean())
    return np.array(shares)


def place_toy(toy: Toy) -> PlacedModel:
    """Scale a toy so that it fills 21 % of the frame on average, or less where it would leave the frame."""
    points = np.concatenate([part.solid.vertices for part in toy.parts])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    largest = LARGEST_RADIUS / np.linalg.norm(points - centre, axis=1).max()
    scale = 0.7 * largest
    for _ in range(4):
        share = max(float(coverage(_scaled(toy, scale)).mean()), SMALLEST_COVERAGE)
        scale = min(largest, scale * math.sqrt(COVERAGE / share))
    return _scaled(toy, scale)
