"""Cameras of the training views, refined together with the field where the images ask for it.

COLMAP's half pixels and a robot's hand-eye errors blur a field that takes its cameras for exact. A coarse field of
small images, trained in seconds, tells by how much the cameras would move. Where that matters they are aligned to it,
then to each level of the real training. ``refined_poses.json`` keeps each round, so that a resumed training goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inerf.cameras import ALIGNED_SIDE, align_cameras, without_drift
from nerf.settings import FieldConfig
from nerf.voxel.method import VoxelMethod
from utils.checkpoint import as_checkpoint, write_text
from utils.progress import Progress
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views

FILE = "refined_poses.json"
PROBED_VIEWS = 12  # views that tell whether the cameras would move
MIN_MOTION = 0.3  # pixels of the coarse images by which half of the probed views must move
COARSE_ROUNDS = 2  # coarse fields, each with the cameras that were aligned to the one before
COARSE_STEPS, COARSE_RAYS = 150, 4096  # of a coarse field's training on images of ``ALIGNED_SIDE``
HELD_OUT = "held-out views"  # name of the round that aligns them to the trained field
HELD_OUT_RENDERS = 3  # of each held-out view, whose camera has not been moved before


@dataclass
class CameraRounds:
    """The content of ``refined_poses.json``: what each round gave, by its name; the last one's poses are the result."""

    path: Path
    fingerprint: str = ""  # of the training
    rounds: dict[str, dict[str, Any]] = field(default_factory=dict)  # moved_pixels, and frames where cameras moved

    @staticmethod
    def read(path: Path, fingerprint: str) -> CameraRounds:
        """Read the rounds of a training; none where the file is missing or of another training."""
        if path.is_file():
            with as_checkpoint(path):
                content = json.loads(path.read_text(encoding="utf-8"))
                if content["fingerprint"] == fingerprint:
                    return CameraRounds(
                        path, fingerprint, {name: dict(each) for name, each in content["rounds"].items()}
                    )
        return CameraRounds(path, fingerprint)

    def write(self) -> None:
        """Write the file atomically."""
        write_text(self.path, json.dumps({"fingerprint": self.fingerprint, "rounds": self.rounds}, indent=1) + "\n")

    def add(self, name: str, views: Views, poses: Tensor | None, pixels: Tensor) -> None:
        """Keep a round: the poses (views, 4, 4) that it gave, if it moved any, and the views' motions in pixels."""
        self.rounds[name] = {"moved_pixels": round(float(pixels.median()), 3)}
        if poses is not None:
            frames = [{"name": view, "transform_matrix": pose.tolist()} for view, pose in zip(views.names, poses)]
            self.rounds[name]["frames"] = frames
        self.write()

    def poses(self, name: str) -> Tensor:
        """Return the poses (views, 4, 4) that a round gave."""
        with as_checkpoint(self.path):
            return torch.tensor([frame["transform_matrix"] for frame in self.rounds[name]["frames"]])

    @property
    def last(self) -> str | None:
        """The last round that moved the training views' cameras; None where none did."""
        moving = [name for name, content in self.rounds.items() if "frames" in content and name != HELD_OUT]
        return moving[-1] if moving else None

    def refined(self, views: Views) -> Views:
        """Return the training views with the cameras of the last round; unchanged where none was moved."""
        if self.last is None:
            return views
        poses = self.poses(self.last)
        with as_checkpoint(self.path):
            if poses.shape != views.camera_to_world.shape:
                raise ValueError(f"poses of the shape {tuple(poses.shape)} for {len(views)} views")
        return replace(views, camera_to_world=poses)

    def held_out(self, views: Views, field: Field) -> Views:
        """Return the held-out views with cameras aligned to the trained field; unchanged where none was moved."""
        if self.last is None:
            return views
        poses, pixels = align_cameras(views, views.camera_to_world, field, HELD_OUT_RENDERS)
        self.add(HELD_OUT, views, poses, pixels)
        return replace(views, camera_to_world=poses)


@dataclass(frozen=True)
class CameraTraining:
    """Trains a field with cameras that are refined on the way."""

    views: Views  # for training, with the cameras as given
    rounds: CameraRounds
    context: RunContext
    policy: str  # "auto" or "always"

    def train(self, train_field: Callable[[Views, RunContext], Field]) -> Field:
        """Train by ``train_field``, on the given cameras or on refined ones."""
        if not self.needed():
            return train_field(self.views, self.context)
        self.context.progress.info("The cameras of the views are refined.")
        views = self.views
        for number in range(1, COARSE_ROUNDS + 1):
            views = self.moved(f"coarse field {number}", views, lambda on=views: self.coarse_field(on))  # type: ignore[misc]
        return train_field(views, replace(self.context, refine_cameras=self.at_level))

    def needed(self) -> bool:
        """Return whether cameras are refined: always, or where a coarse field shows that they would move."""
        if self.policy == "always":
            return True
        if "probe" not in self.rounds.rounds:
            rows = torch.linspace(0, len(self.views) - 1, PROBED_VIEWS).round().long().unique().tolist()
            small = self.small(self.views)
            _, pixels = align_cameras(small, small.camera_to_world, self.coarse_field(self.views), rows=rows)
            self.rounds.add("probe", small, None, pixels)
        moved = float(self.rounds.rounds["probe"]["moved_pixels"])
        return moved >= MIN_MOTION

    def at_level(self, level: int, views: Views, make_field: Callable[[], Field]) -> Views:
        """Move the cameras before a level of the training; see ``CameraRefiner``."""
        before = f"level {level - 1}"
        if before in self.rounds.rounds:  # a training that is resumed has not gone through it
            views = replace(views, camera_to_world=self.rounds.poses(before))
        return self.moved(f"level {level}", views, make_field)

    def moved(self, name: str, views: Views, make_field: Callable[[], Field]) -> Views:
        """Align all cameras to a field, or read what the round gave before an interruption."""
        if name not in self.rounds.rounds:
            given = self.views.camera_to_world
            poses, pixels = align_cameras(views, given, make_field())
            self.rounds.add(name, views, without_drift(poses, given), pixels)
        return replace(views, camera_to_world=self.rounds.poses(name))

    def small(self, views: Views) -> Views:
        """Return the views as a coarse field is trained on them."""
        longest = max(views.intrinsics.width, views.intrinsics.height)
        return views.shrunk(max(1, round(longest / ALIGNED_SIDE)))

    def coarse_field(self, views: Views) -> Field:
        """Train a coarse field on small images, in seconds."""
        small = self.small(views)
        share = max(small.intrinsics.width, small.intrinsics.height) / ALIGNED_SIDE
        rays, resolution = max(64, round(COARSE_RAYS * share**2)), max(16, round(96 * share))
        config = FieldConfig(resolution=resolution, levels=2, steps=COARSE_STEPS, rays_per_step=rays, residual_views=0)
        return VoxelMethod(config).train(small, replace(self.context, progress=Progress(quiet=True)), None)
