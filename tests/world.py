"""A little world of spheres in the MAD layout, for tests of the scripts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.lens import Lens
from nerf.settings import FieldConfig
from pipeline.config import Config
from retrieval.settings import RetrievalConfig
from tests.inerf.scene import camera, render
from tests.mad_folder import write_picture, write_transforms
from utils.camera import Intrinsics
from utils.images import to_bytes

CAMERA = Intrinsics.from_angle(96, 96, 0.69)
RINGS = (-50, -25, 0, 25, 50, 75)
QUERIES = [(15, 10), (100, 35), (200, -15), (290, 55)]


def tiny_config(**changes: Any) -> Config:
    """Settings by which an object of images of 64 pixels is trained in seconds."""
    tiny = Config(
        field=FieldConfig(resolution=64, levels=2, steps=150, rays_per_step=4096),
        retrieval=RetrievalConfig(virtual_views=100),
        allow_bad_field=True,
        device="cpu",
        quiet=True,
    )
    return replace(tiny, **changes)


def photo_lens(intrinsics: Intrinsics) -> Lens:
    """The lens of photos twice as fine as the views."""
    finer = intrinsics.resized(2 * intrinsics.width, 2 * intrinsics.height)
    return Lens(finer.width, finer.height, finer.focal_x, finer.focal_y, finer.centre_x, finer.centre_y)


def write_world(folder: Path, intrinsics: Intrinsics = CAMERA, queries: int = 4) -> Path:
    """48 views on rings; queries (at most four) each without fault, without a sphere and with a stain."""
    frames = []
    for number, (ring, step) in enumerate((ring, step) for ring in RINGS for step in range(8)):
        pose = camera(45 * step + ring, ring)
        write_picture(folder / f"train/good/{number}.png", to_bytes(render(pose, intrinsics).colour))
        frames.append({"file_path": f"train/good/{number}.png", "transform_matrix": pose.tolist()})
    write_transforms(folder, frames, angle=0.69, photo_camera=photo_lens(intrinsics).entry())
    truth = {}
    for number, (azimuth, elevation) in enumerate(QUERIES[:queries]):
        pose = camera(azimuth, elevation, radius=3.1)
        good = render(pose, intrinsics)
        missing = render(pose, intrinsics, missing=(number % 2 + 1,)).colour
        stained = good.colour.clone()
        y, x = (int(value) for value in (good.opacity > 0.99).nonzero().float().median(0).values)
        stained[y - 3 : y + 4, x - 3 : x + 4] = 1.0 - stained[y - 3 : y + 4, x - 3 : x + 4]
        for kind, picture in (("good", good.colour), ("Missing", missing), ("Stains", stained)):
            write_picture(folder / f"test/{kind}/{number}.png", to_bytes(picture))
            truth[f"{kind}/{number}"] = pose.tolist()
            mask = ((picture - good.colour).abs().amax(-1) > 0.02).float()
            if kind != "good":
                write_picture(folder / f"ground_truth/{kind}/{number}_mask.png", to_bytes(mask))
    (folder / "poses_truth.json").write_text(json.dumps(truth))
    return folder
