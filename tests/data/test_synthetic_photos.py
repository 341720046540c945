"""Photos of a toy in a room: what they show, what their files say, and that capture takes them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.commands import generate_command as main
from data.mad_facts import DEFECTS
from data.synthetic.config import GOOD, TRAIN, ImageSpec, ToyConfig
from data.synthetic.photo_walk import EXIF_IFD, FILM_FOCAL, RINGS, room_around, take_photo, walk_place
from data.synthetic.room import TEXTURE, Room
from data.synthetic.toy_renderer import make_renderer
from utils.camera import Intrinsics, look_at, pixel_centres, world_rays
from utils.errors import InputError

WORDS = ["--toy", "cottage", "--views", "3", "--queries", "1", "--image_size", "128", "--quiet"]
CAMERA = Intrinsics.from_angle(24, 18, 0.9)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    assert main([*WORDS, "--photos", str(folder / "toy")]) == 0
    return folder


def test_photos_lie_beside_their_masks_and_have_no_poses(photos: Path) -> None:
    new = [f"{kind}_0" for kind in (GOOD, *DEFECTS)]
    expected = {f"toy/{index:03d}.jpg" for index in range(3)} | {f"toy_masks/{index:03d}.png" for index in range(3)}
    expected |= {f"toy_new/{name}.jpg" for name in new} | {f"toy_new_masks/{name}.png" for name in new}
    assert set(files_of(photos)) == {*expected, "toy/synthetic.json"}
    with Image.open(photos / "toy/000.jpg") as photo:
        assert photo.size == (128, 96) and photo.getexif().get_ifd(EXIF_IFD)[FILM_FOCAL] == 35
    mask = np.asarray(Image.open(photos / "toy_masks/000.png"))
    assert mask.shape == (96, 128) and 0.05 < (mask == 255).mean() < 0.6


def test_the_same_photos_again_and_only_what_is_missing(photos: Path, tmp_path: Path) -> None:
    before = files_of(photos)
    main([*WORDS, "--photos", str(tmp_path / "toy")])
    assert files_of(tmp_path) == before
    (tmp_path / "toy/001.jpg").unlink()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    main([*WORDS, "--photos", str(tmp_path / "toy")])
    assert files_of(tmp_path) == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_photos_take_the_place_of_a_set(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other settings"):
        main([*WORDS, "--seed", "1", "--photos", str(photos / "toy")])
    for more in (["--out", str(tmp_path / "out")], ["--background", str(tmp_path)]):
        with pytest.raises(InputError, match="--photos"):
            main([*WORDS, "--photos", str(tmp_path / "toy"), *more])
    assert not any(tmp_path.iterdir())


def test_a_wall_is_seen_where_each_ray_meets_it() -> None:
    low, high = np.array([-3.0, -2.0, -1.0]), np.array([3.0, 4.0, 2.0])
    room = Room.patterned(low, high, seed=0)
    up = torch.tensor([0.0, 0.0, 1.0])
    for eye, target in [((0.5, 0.2, 0.3), (2.0, 1.0, 0.0)), ((-1.0, 1.0, 1.0), (-2.0, 0.0, -1.0))]:
        pose = look_at(torch.tensor(eye), torch.tensor(target), up)
        image = room.image(pose, CAMERA).astype(int)
        starts, rays = world_rays(pixel_centres(CAMERA), CAMERA, pose)
        for row, column in np.ndindex(3, 4):
            y, x = 2 + 6 * row, 2 + 6 * column
            assert np.abs(image[y, x] - slow_colour(room, starts[y, x].numpy(), rays[y, x].numpy())).max() <= 12


def slow_colour(room: Room, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """What a ray meets: small steps to the first wall, and the texel there, the linear way."""
    point = origin.astype(float)
    while np.all((point > room.low) & (point < room.high)):
        point = point + 1e-4 * direction
    axis = int(np.argmax(np.maximum(room.low - point, point - room.high)))
    wall = 2 * axis + int(point[axis] >= room.high[axis])
    place = np.clip((point - room.low) / (room.high - room.low), 0, 1) * (TEXTURE - 1)
    u, v = place[(axis + 1) % 3], place[(axis + 2) % 3]
    left, top = min(int(u), TEXTURE - 2), min(int(v), TEXTURE - 2)
    a, b = u - left, v - top
    texels = room.walls[wall].astype(float)
    upper = (1 - a) * texels[top, left] + a * texels[top, left + 1]
    lower = (1 - a) * texels[top + 1, left] + a * texels[top + 1, left + 1]
    return (1 - b) * upper + b * lower


def test_the_walk_goes_round_at_three_heights() -> None:
    poses = [walk_place(number, 30, np.random.default_rng(number)) for number in range(30)]
    places = torch.stack([pose[:3, 3] for pose in poses])
    elevations = torch.rad2deg(torch.asin(places[:, 2] / places.norm(dim=1)))
    for ring, elevation in enumerate(RINGS):
        members = slice(10 * ring, 10 * ring + 10)
        assert (elevations[members] - elevation).abs().max() < 2.0
        azimuths = torch.rad2deg(torch.atan2(places[members, 1], places[members, 0])) % 360.0
        steps = azimuths.sort().values.diff()
        assert steps.min() > 32.0 and steps.max() < 40.0
    assert all(math.isclose(float(torch.linalg.det(pose[:3, :3])), 1.0, abs_tol=1e-5) for pose in poses)


def test_the_toy_stands_on_the_floor_and_is_where_its_mask_is() -> None:
    renderer = replace(make_renderer(ToyConfig("cottage", views=9, image_size=96)), intrinsics=CAMERA)
    room = room_around(renderer, seed=0)
    assert room.low[2] == pytest.approx(renderer.scene.corners[0][2], abs=0.01)
    spec = ImageSpec(TRAIN, 4)
    photo = take_photo(renderer, room, spec)
    other = take_photo(renderer, Room(room.low, room.high, 255 - room.walls), spec)
    inner = photo.silhouette & (photo.image == other.image).all(axis=2)
    assert photo.silhouette.any() and inner.sum() > 0.7 * photo.silhouette.sum()
    assert not (photo.image == other.image).all(axis=2)[~photo.silhouette].any()
