"""One picture of a set: where its camera stands, what is wrong with the toy, and what it then looks like."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.synthetic import defects
from data.synthetic.assembly import Assembly, assemble
from data.synthetic.backdrops import backdrop, pictures_at
from data.synthetic.defects import Defect, Sight
from data.synthetic.lighting import SAME, Lighting, changed_light, make_lighting
from data.synthetic.render import pixel_share, render
from data.synthetic.scene import Scene
from data.synthetic.toys import read_toy, toy_path
from data.synthetic.viewpoints import CAMERA_ANGLE_X, camera_at, grid_angles, random_camera, spread_views
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import write_png

TRIES = 200  # viewpoints looked at before a defect is given up
GOOD = "good"
TRAIN = "train"


@dataclass(frozen=True)
class Settings:
    """What decides every byte of a set."""

    toy: str  # name, or path of an LDraw model
    views: int = 210  # training views, 1 ... 210
    queries: int = 24  # test images of each kind of defect
    good: int | None = None  # good test images; None: as many as of each defect
    image_size: int = 400  # pixels a side
    seed: int = 0
    gloss: str = "mild"  # mild | glaring | none
    light: str = "same"  # of the test images: same | changed
    background: str = ""  # picture, or folder of pictures, behind the toy; none: white
    ldraw: str = ""  # folder of an LDraw library; none: the built-in parts

    @property
    def counts(self) -> dict[str, int]:
        """Number of pictures of each kind, in order."""
        good = self.queries if self.good is None else self.good
        return {TRAIN: self.views, GOOD: good, **dict.fromkeys(defects.KINDS, self.queries)}


@dataclass(frozen=True)
class Task:
    """One picture."""

    kind: str  # train | good | Burrs | Missing | Stains
    number: int

    @property
    def name(self) -> str:
        """Such as ``Burrs/0``."""
        return f"{self.kind}/{self.number}"

    @property
    def place(self) -> str:
        """Where the picture lies in the object's folder."""
        return f"{'train/good' if self.kind == TRAIN else f'test/{self.kind}'}/{self.number}.png"

    def files(self, folder: Path, settings: Settings) -> list[Path]:
        """The picture, its mask for a defect, and its foreground mask where there is a background."""
        found = [folder / self.place]
        if self.kind in defects.KINDS:
            found.append(folder / "ground_truth" / self.kind / f"{self.number}_mask.png")
        return [*found, folder / "masks" / self.place] if settings.background else found


@dataclass(frozen=True)
class Studio:
    """The toy under its light, ready for pictures."""

    settings: Settings
    assembly: Assembly
    scene: Scene
    lighting: Lighting
    intrinsics: Intrinsics
    backdrops: tuple[Path, ...]


@dataclass(frozen=True)
class Photo:
    """A picture and its masks."""

    picture: np.ndarray  # (height, width, 3) uint8
    mask: np.ndarray  # (height, width) bool: what shows of the defect
    silhouette: np.ndarray  # (height, width) bool: what shows of the toy


@functools.lru_cache(maxsize=1)
def open_studio(settings: Settings) -> Studio:
    """Builds the toy and its light."""
    assembly = assemble(read_toy(toy_path(settings.toy), Path(settings.ldraw) if settings.ldraw else None))
    intrinsics = Intrinsics.from_angle(settings.image_size, settings.image_size, CAMERA_ANGLE_X)
    backdrops = tuple(pictures_at(Path(settings.background))) if settings.background else ()
    return Studio(settings, assembly, assembly.scene(), make_lighting(settings.gloss), intrinsics, backdrops)


def take(settings: Settings, folder: Path, task: Task) -> list[list[float]]:
    """Writes the picture and masks of ``task`` and returns its pose as nested lists."""
    studio = open_studio(settings)
    random = random_of(settings, task)
    if task.kind == TRAIN:
        pose, defect = camera_at(*grid_angles()[spread_views(settings.views)[task.number]]), Defect()
    elif task.kind == GOOD:
        pose, defect = random_camera(random), Defect()
    else:
        pose, defect = plan_defect(studio, task, random)
    photo = photograph(studio, pose, defect, int(random.integers(2**31)), task)
    masks = [photo.mask] * (task.kind in defects.KINDS) + [photo.silhouette] * bool(studio.backdrops)
    picture_path, *mask_paths = task.files(folder, settings)
    for path, mask in zip(mask_paths, masks, strict=True):
        write_png(path, mask.astype(np.uint8) * 255)
    write_png(picture_path, photo.picture)
    return pose.tolist()


def random_of(settings: Settings, task: Task, purpose: str = "") -> np.random.Generator:
    """The source of one picture's chances."""
    return np.random.default_rng([settings.seed, zlib.crc32(f"{task.name}{purpose}".encode())])


def plan_defect(studio: Studio, task: Task, random: np.random.Generator) -> tuple[torch.Tensor, Defect]:
    """Finds a viewpoint (``camera_to_world``) and a defect of the wanted area that it shows."""
    areas_random = np.random.default_rng([studio.settings.seed, zlib.crc32(task.kind.encode())])
    wanted = float(defects.wanted_areas(task.kind, studio.settings.queries, areas_random)[task.number])
    best, best_factor = None, np.inf
    for attempt in range(TRIES):
        pose = random_camera(random)
        sight = defects.look(studio.assembly, studio.scene, pose, studio.intrinsics)
        defect, factor = _try_defect(sight, task.kind, wanted, random) if len(sight.hits.rays) else (None, np.inf)
        if defect is not None and factor < best_factor:
            best, best_factor = (pose, defect), factor
        if best is not None and (best_factor < 1.25 or attempt >= 12):
            return best
    raise InputError(
        f"toy '{studio.settings.toy}': no {task.kind} of {wanted:.4f} of the frame shows from {TRIES} viewpoints; "
        "a toy needs parts that show, and pictures of at least some 64 pixels."
    )


def _try_defect(sight: Sight, kind: str, wanted: float, random: np.random.Generator) -> tuple[Defect | None, float]:
    if kind == "Missing":
        return defects.missing_part(sight, wanted) or (None, np.inf)
    make = defects.burr if kind == "Burrs" else defects.stain
    for _ in range(4):
        defect = make(sight, wanted, random)
        if defect is not None:
            return defect, 1.0
    return None, np.inf


def photograph(studio: Studio, pose: torch.Tensor, defect: Defect, grain: int, task: Task) -> Photo:
    """The toy with ``defect``, as it looks from ``pose``.

    Args:
        studio: the toy under its light.
        pose: ``camera_to_world`` (4, 4).
        defect: what is wrong with the toy; ``Defect()`` for nothing.
        grain: seed of the picture's noise.
        task: the picture, which decides its light and background.
    """
    scene, assembly, intrinsics = studio.scene, studio.assembly, studio.intrinsics
    if defect.missing is not None:
        scene = assembly.scene(without=defect.missing)
    elif defect.burr is not None:
        scene = assembly.scene(extra=defect.burr, extra_colour=defect.burr_colour)
    sight = defects.look(assembly, scene, pose, intrinsics)
    behind = _behind(studio, task)
    picture = render(scene, _light(studio, task), sight.rays, sight.hits, intrinsics, grain, defect.stain, behind)
    silhouette = pixel_share(sight.rays, sight.hits.rays, intrinsics) >= 0.5
    if defect.missing is not None:  # it is seen in the intact toy only
        sight = defects.look(assembly, studio.scene, pose, intrinsics)
    if defect.stain is not None:
        shows = defect.stain.weight(sight.points) > 0.5
    else:
        number = len(assembly.solids) if defect.missing is None else defect.missing
        shows = sight.scene.part_of_face[sight.hits.faces] == number
    return Photo(picture, defects.mask_of(sight.rays, sight.hits.rays[shows], intrinsics), silhouette)


def _light(studio: Studio, task: Task) -> Lighting:
    if studio.settings.light == SAME or task.kind == TRAIN:
        return studio.lighting
    return changed_light(studio.settings.gloss, random_of(studio.settings, task, "/light"))


def _behind(studio: Studio, task: Task) -> np.ndarray | None:
    if not studio.backdrops:
        return None
    random = random_of(studio.settings, task, "/background")
    return backdrop(studio.backdrops[random.integers(len(studio.backdrops))], studio.settings.image_size, random)
