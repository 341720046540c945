"""Random networks in nerf-pytorch's names, the same on every machine, on which its own code gave the numbers of
``nerf_pytorch.json`` and ``tests/inerf/inerf_step.json``.

Those were made by running the original code, unchanged, on the CPU in float32: nerf-pytorch's ``render``, and the
paper's ``get_rays``, ``render``, ``img2mse`` and ``camera_transf``, with these weights and the settings that each case
lists (no jitter, no noise). The files hold its numbers only.

The last of the evenly spaced draws of importance samples, at 1, falls on either side of the running sum's end as
rounding will have it, which can move a sample. Only pixels that stay where they are, to 4e-6, when the original's
weights are changed by 3e-7 of themselves were kept: all of the pictures', 46 of 48 of iNeRF's step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerf.mlp.network import SKIP, encoded_size
from nerf.settings import NerfConfig
from utils.camera import Intrinsics
from utils.views import Views


@dataclass(frozen=True)
class Case:
    """Settings, a camera and what the original code gave."""

    config: NerfConfig
    camera: Intrinsics
    pose: Tensor  # (4, 4)
    background: tuple[float, float, float]
    seed: int
    numbers: dict[str, Tensor]

    def views(self) -> Views:
        """No views, but their camera and background."""
        empty = torch.zeros(0, self.camera.height, self.camera.width, 3, dtype=torch.uint8)
        return Views(empty, None, torch.zeros(0, 4, 4), self.camera, (), self.background)

    def write_tar(self, path: Path) -> NerfConfig:
        """A checkpoint with the case's weights; returns the settings that name it."""
        torch.save(content(self.config, self.seed), path)
        return replace(self.config, ft_path=str(path))


def cases(path: Path) -> dict[str, Case]:
    """The cases of a file of numbers, by name."""
    return {name: case_of(values) for name, values in json.loads(path.read_text()).items()}


def case_of(values: dict[str, Any]) -> Case:
    """One entry of such a file."""
    width, height, focal = values["camera"]
    camera = Intrinsics(width, height, focal, focal, 0.5 * width, 0.5 * height)
    numbers = {name: torch.tensor(value) for name, value in values["numbers"].items()}
    background = (1.0, 1.0, 1.0) if values["white"] else (0.0, 0.0, 0.0)
    pose = torch.tensor(values["pose"])
    return Case(NerfConfig(**values["config"]), camera, pose, background, values["seed"], numbers)


def content(config: NerfConfig, seed: int) -> dict[str, Any]:
    """What nerf-pytorch would save, with random weights."""
    generator = torch.Generator().manual_seed(seed)
    coarse = state(config, config.netdepth, config.netwidth, generator)
    fine = state(config, config.netdepth_fine, config.netwidth_fine, generator)
    optimiser = {"state": {}, "param_groups": [{"lr": 5e-4}]}
    return {
        "global_step": 200000,
        "network_fn_state_dict": coarse,
        "network_fine_state_dict": fine,
        "optimizer_state_dict": optimiser,
    }


def state(config: NerfConfig, depth: int, width: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights of one network in nerf-pytorch's names, uniform, of a size that keeps the signal's."""
    points = encoded_size(config.multires)
    views = encoded_size(config.multires_views) if config.use_viewdirs else 0
    sizes = {f"pts_linears.{i}": (width, (width if i else 0) + (points if i in (0, SKIP) else 0)) for i in range(depth)}
    sizes["views_linears.0"] = (width // 2, views + width)
    if config.use_viewdirs:
        sizes |= {"feature_linear": (width, width), "alpha_linear": (1, width), "rgb_linear": (3, width // 2)}
    else:
        sizes["output_linear"] = (5, width)
    made = {}
    for name, (outputs, inputs) in sizes.items():
        bound = (6 / inputs) ** 0.5
        made[f"{name}.weight"] = bound * (2 * torch.rand(outputs, inputs, generator=generator) - 1)
        if name in ("pts_linears.0", f"pts_linears.{SKIP}"):  # smooth, as trained networks are
            made[f"{name}.weight"][:, :points] *= torch.cat(
                [torch.ones(3), 0.6 ** torch.arange(config.multires).repeat_interleave(6)]
            )
        made[f"{name}.bias"] = 0.2 * (2 * torch.rand(outputs, generator=generator) - 1)
    return made
