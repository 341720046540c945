"""Photos of a toy as a phone takes them on a walk around it: no poses, a patterned room behind, JPEG with EXIF."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.synthetic import defects
from data.synthetic.config import GOOD, TRAIN, ImageSpec, ToyConfig
from data.synthetic.defects import Defect
from data.synthetic.generate import claim_folder
from data.synthetic.room import Room
from data.synthetic.toy_renderer import ToyImage, ToyRenderer, make_renderer, random_of, try_defect
from utils.camera import Intrinsics, look_at
from utils.checkpoint import write_atomically
from utils.errors import InputError
from utils.images import write_png
from utils.progress import Progress

FOCAL_35MM = 35  # of a film's width of 35 mm, as COLMAP reads it: the focal length is the image's longer side
RADIUS = 2.6  # scene units from the toy's centre
RINGS = (8.0, 30.0, 54.0)  # degrees of elevation of the walk's rounds
WALLS = 3.6  # scene units from the toy's centre to the walls
AREAS = {"Burrs": 0.012, "Missing": 0.02, "Stains": 0.008}  # visible area of the defects, shares of the frame
MOST_PLACES = 60  # tried for a defect
EXIF_IFD, FILM_FOCAL = 0x8769, 0xA405
QUALITY = 95  # of JPEG


@dataclass(frozen=True)
class PhotoFolders:
    """Where photos go: views and new photos, each with a folder of masks beside it."""

    views: Path

    @property
    def new(self) -> Path:
        """The new photos, good and defective, named for what they show."""
        return self.views.with_name(f"{self.views.name}_new")

    def files(self, spec: ImageSpec) -> tuple[Path, Path]:
        """Return the paths of a photo and of its mask."""
        folder, name = (self.views, f"{spec.number:03d}") if spec.kind == TRAIN else (self.new, spec.name)
        stem = name.replace("/", "_")
        return folder / f"{stem}.jpg", folder.with_name(f"{folder.name}_masks") / f"{stem}.png"


def write_photos(config: ToyConfig, views: Path, progress: Progress, overwrite: bool = False) -> None:
    """Write photos of a toy into ``views``, and new ones beside it; existing photos are kept.

    Raises:
        InputError: for an unknown toy, or a folder that holds something else.
    """
    folders = PhotoFolders(views)
    claim_folder(views, {"photos": True} | {key: _plain(value) for key, value in asdict(config).items()})
    specs = [ImageSpec(kind, number) for kind, count in config.counts.items() for number in range(count)]
    left = [spec for spec in specs if overwrite or not all(path.is_file() for path in folders.files(spec))]
    if not left:
        return
    camera = Intrinsics.from_angle(config.image_size, config.image_size * 3 // 4, 2.0 * math.atan(0.5))
    renderer = replace(make_renderer(config), intrinsics=camera)
    room = room_around(renderer, config.seed)
    for spec in progress.track(left, "photos", len(left)):
        photo = take_photo(renderer, room, spec)
        path, mask = folders.files(spec)
        write_png(mask, photo.silhouette.astype(np.uint8) * 255)
        write_photo(path, photo.image)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def room_around(renderer: ToyRenderer, seed: int) -> Room:
    """Make a room on whose floor the toy stands."""
    low, high = renderer.scene.corners
    floor = float(low[2]) - 1e-3
    return Room.patterned(np.array([-WALLS, -WALLS, floor]), np.array([WALLS, WALLS, float(high[2]) + WALLS]), seed)


def take_photo(renderer: ToyRenderer, room: Room, spec: ImageSpec) -> ToyImage:
    """Render one photo: a view of the walk, or a new one from between its places."""
    random = random_of(renderer.config, spec, "/photo")
    if spec.kind == TRAIN:
        pose, defect = walk_place(spec.number, renderer.config.views, random), Defect()
    elif spec.kind == GOOD:
        pose, defect = any_place(random), Defect()
    else:
        pose, defect = place_of_defect(renderer, spec.kind, random)
    background = room.image(pose, renderer.intrinsics)
    return renderer.show(pose, defect, int(random.integers(2**31)), renderer.lighting_of(spec), background)


def camera_near(elevation: float, azimuth: float, random: np.random.Generator) -> Tensor:
    """Return the camera_to_world (4, 4) float32 of a hand-held camera about there (degrees), toward about the toy."""
    up, around = (math.radians(angle + random.uniform(-1.5, 1.5)) for angle in (elevation, azimuth))
    toward = [math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)]
    eye = torch.tensor(toward, dtype=torch.float64) * RADIUS * random.uniform(0.97, 1.03)
    target = torch.from_numpy(random.uniform(-0.05, 0.05, 3))
    return look_at(eye, target, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)).float()


def walk_place(number: int, count: int, random: np.random.Generator) -> Tensor:
    """Return the camera of photo ``number`` of ``count``: rounds at three heights, photos evenly around."""
    rounds = np.array_split(np.arange(count), len(RINGS))
    ring = next(index for index, members in enumerate(rounds) if number in members)
    members = rounds[ring]
    azimuth = 360.0 * (number - int(members[0]) + 0.5 * (ring % 2)) / len(members)
    return camera_near(RINGS[ring], azimuth, random)


def any_place(random: np.random.Generator) -> Tensor:
    """Draw a camera between the places of the walk."""
    return camera_near(random.uniform(RINGS[0] + 4.0, RINGS[-1] - 4.0), random.uniform(0.0, 360.0), random)


def place_of_defect(renderer: ToyRenderer, kind: str, random: np.random.Generator) -> tuple[Tensor, Defect]:
    """Find a camera and a large defect that shows from it."""
    for _ in range(MOST_PLACES):
        pose = any_place(random)
        surface = defects.visible_surface(renderer.model, renderer.scene, pose, renderer.intrinsics)
        defect, factor = try_defect(surface, kind, AREAS[kind], random)
        if defect is not None and factor < 2.0:
            return pose, defect
    raise InputError(f"toy '{renderer.config.toy}': no large {kind} shows from {MOST_PLACES} places; take another toy.")


def write_photo(path: Path, image: np.ndarray) -> None:
    """Write a JPEG (height, width, 3) uint8 with the focal length that a phone's photos tell."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FILM_FOCAL] = FOCAL_35MM
    write_atomically(path, lambda temporary: Image.fromarray(image).save(temporary, "JPEG", quality=QUALITY, exif=exif))
