"""Renders one image of a set: chooses its viewpoint and defect, and shows what the toy then looks like."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.mad_facts import DEFECTS
from data.synthetic import defects
from data.synthetic.backgrounds import background_images, random_background
from data.synthetic.config import GOOD, TRAIN, ImageSpec, ToyConfig, toy_path
from data.synthetic.defects import Defect, VisibleSurface
from data.synthetic.lighting import Lighting, changed_lighting, make_lighting
from data.synthetic.placed_model import PlacedModel, place_toy
from data.synthetic.render import pixel_share, render
from data.synthetic.scene import Scene
from data.synthetic.toys import read_toy
from data.synthetic.viewpoints import CAMERA_ANGLE_X, camera_at, grid_angles, random_camera, spread_views
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import write_png

MOST_VIEWPOINTS = 200  # tried before a defect is given up


@dataclass(frozen=True)
class ToyImage:
    """An image and its masks."""

    image: np.ndarray  # (height, width, 3) uint8
    mask: np.ndarray  # (height, width) bool: the visible defect
    silhouette: np.ndarray  # (height, width) bool: the visible toy


@dataclass(frozen=True)
class ToyRenderer:
    """A toy under its light, ready to be rendered."""

    config: ToyConfig
    model: PlacedModel
    scene: Scene
    lighting: Lighting
    intrinsics: Intrinsics
    backgrounds: tuple[Path, ...]

    def render(self, pose: torch.Tensor, defect: Defect, seed: int, spec: ImageSpec) -> ToyImage:
        """Render the toy with a defect.

        Args:
            pose: ``camera_to_world`` (4, 4).
            defect: of the toy; ``Defect()`` for none.
            seed: of the image noise.
            spec: decides light and background.
        """
        return self.show(pose, defect, seed, self.lighting_of(spec), self.background_of(spec))

    def show(
        self, pose: torch.Tensor, defect: Defect, seed: int, light: Lighting, background: np.ndarray | None
    ) -> ToyImage:
        """Render the toy with a defect under ``light``, before ``background`` (height, width, 3) uint8 or white."""
        scene, model, intrinsics = self.scene, self.model, self.intrinsics
        if defect.missing is not None:
            scene = model.scene(without=defect.missing)
        elif defect.burr is not None:
            scene = model.scene(extra=defect.burr, extra_colour=defect.burr_colour)
        surface = defects.visible_surface(model, scene, pose, intrinsics)
        image = render(scene, light, surface.rays, surface.hits, intrinsics, seed, defect.stain, background)
        silhouette = pixel_share(surface.rays, surface.hits.rays, intrinsics) >= 0.5
        if defect.missing is not None:  # visible in the intact toy only
            surface = defects.visible_surface(model, self.scene, pose, intrinsics)
        if defect.stain is not None:
            shown = defect.stain.weight(surface.points) > 0.5
        else:
            part = len(model.solids) if defect.missing is None else defect.missing
            shown = surface.scene.part_of_face[surface.hits.faces] == part
        return ToyImage(image, defects.mask_of(surface.rays, surface.hits.rays[shown], intrinsics), silhouette)

    def lighting_of(self, spec: ImageSpec) -> Lighting:
        """Return the light on an image."""
        if self.config.light == "same" or spec.kind == TRAIN:
            return self.lighting
        return changed_lighting(self.config.gloss, random_of(self.config, spec, "/light"))

    def background_of(self, spec: ImageSpec) -> np.ndarray | None:
        """Return the background (height, width, 3) uint8 of an image; None for white."""
        if not self.backgrounds:
            return None
        random = random_of(self.config, spec, "/background")
        path = self.backgrounds[random.integers(len(self.backgrounds))]
        return random_background(path, self.config.image_size, random)


@functools.lru_cache(maxsize=1)
def make_renderer(config: ToyConfig) -> ToyRenderer:
    """Build the toy and its light."""
    model = place_toy(read_toy(toy_path(config.toy), config.ldraw))
    intrinsics = Intrinsics.from_angle(config.image_size, config.image_size, CAMERA_ANGLE_X)
    backgrounds = tuple(background_images(config.background)) if config.background else ()
    return ToyRenderer(config, model, model.scene(), make_lighting(config.gloss), intrinsics, backgrounds)


def write_image_files(config: ToyConfig, folder: Path, spec: ImageSpec) -> list[list[float]]:
    """Write an image and its masks; return its pose as nested lists."""
    renderer = make_renderer(config)
    random = random_of(config, spec)
    if spec.kind == TRAIN:
        pose, defect = camera_at(*grid_angles()[spread_views(config.views)[spec.number]]), Defect()
    elif spec.kind == GOOD:
        pose, defect = random_camera(random), Defect()
    else:
        pose, defect = plan_defect(renderer, spec, random)
    rendered = renderer.render(pose, defect, int(random.integers(2**31)), spec)
    masks = [rendered.mask] * (spec.kind in DEFECTS) + [rendered.silhouette] * bool(renderer.backgrounds)
    image_path, *mask_paths = spec.files(folder, config.background is not None)
    for path, mask in zip(mask_paths, masks, strict=True):
        write_png(path, mask.astype(np.uint8) * 255)
    write_png(image_path, rendered.image)
    return pose.tolist()


def random_of(config: ToyConfig, spec: ImageSpec, purpose: str = "") -> np.random.Generator:
    """Return the random generator of one image."""
    return np.random.default_rng([config.seed, zlib.crc32(f"{spec.name}{purpose}".encode())])


def plan_defect(renderer: ToyRenderer, spec: ImageSpec, random: np.random.Generator) -> tuple[torch.Tensor, Defect]:
    """Find a viewpoint (``camera_to_world``) and a defect that shows there on the area drawn for this image."""
    config = renderer.config
    areas_random = np.random.default_rng([config.seed, zlib.crc32(spec.kind.encode())])
    area = float(defects.draw_areas(spec.kind, config.queries, areas_random)[spec.number])
    return find_defect(renderer, spec.kind, area, random)


def find_defect(
    renderer: ToyRenderer, kind: str, area: float, random: np.random.Generator
) -> tuple[torch.Tensor, Defect]:
    """Find a viewpoint (``camera_to_world``) and a defect that shows there on ``area``, a share of the frame."""
    best, best_factor = None, np.inf
    for attempt in range(MOST_VIEWPOINTS):
        pose = random_camera(random)
        surface = defects.visible_surface(renderer.model, renderer.scene, pose, renderer.intrinsics)
        defect, factor = try_defect(surface, kind, area, random) if len(surface.hits.rays) else (None, np.inf)
        if defect is not None and factor < best_factor:
            best, best_factor = (pose, defect), factor
        if best is not None and (best_factor < 1.25 or attempt >= 12):
            return best
    raise InputError(
        f"toy '{renderer.config.toy}': no {kind} of {area:.4f} of the frame shows from {MOST_VIEWPOINTS} viewpoints; a "
        f"toy needs visible parts, and images of at least some 64 pixels."
    )


def try_defect(
    surface: VisibleSurface, kind: str, area: float, random: np.random.Generator
) -> tuple[Defect | None, float]:
    """Make a defect of about ``area`` (share of the frame); None, or the factor (>= 1) by which it is another."""
    if kind == "Missing":
        return defects.missing_part(surface, area) or (None, np.inf)
    make = defects.burr if kind == "Burrs" else defects.stain
    for _ in range(4):
        defect = make(surface, area, random)
        if defect is not None:
            return defect, 1.0
    return None, np.inf
