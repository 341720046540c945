"""Training of the paper's field, as nerf-pytorch trains NeRF."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nerf.mlp.field import MlpField, empty_networks, fill, frozen, on, parameters_of
from nerf.mlp.march import Networks, march, precision
from nerf.mlp.volume import axis_rays
from nerf.settings import NerfConfig
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint, load_metadata, load_tensors, save_tensors
from utils.errors import InputError
from utils.hull import object_bounds, silhouettes
from utils.progress import Progress
from utils.seeds import generator
from utils.views import Views

DECAY = 0.1  # what the step size falls to in `lrate_decay` thousand steps
MARGIN = 0.05  # share of the object's extent in depth by which rays begin before it and end behind it
VOTE = 0.95  # share of the views in whose silhouette a point must lie to belong to the object
SAVE_SECONDS = 60.0  # between two checkpoints
LOOK_STEPS = 20  # between two looks at errors and gradients: each waits for the device
ATTEMPTS = 50  # beginnings before training gives up; a third of all networks start with no density anywhere


@dataclass(frozen=True)
class Pictures:
    """The views, on the device."""

    images: Tensor  # (views, height, width, 3) uint8
    cameras: Tensor  # (views, 4, 4)
    background: Tensor  # (3,)


@dataclass
class Training:
    """Where training stands: all that a resumed run needs to end with the same result."""

    networks: Networks
    optimiser: torch.optim.Adam
    alive: Tensor  # (networks,) int64: steps since the last look in which a network found any density
    attempt: int = 0
    step: int = 0


def train_mlp(
    views: Views, config: NerfConfig, device: torch.device, seed: int, checkpoint_path: Path | None, progress: Progress
) -> MlpField:
    """A field trained on ``views``; continues from ``checkpoint_path`` where an interrupted training left one.

    Each step draws rays, renders them through both networks and takes an Adam step on the sum of both mean squared
    errors. All draws of a step depend on the seed and the step's number alone. A network without density wherever rays
    pass gets no gradient, and would stay so for good: training then begins anew with other weights.
    """
    if config.near is None or config.far is None:
        near, far = depth_range(views)
        config = replace(config, near=near, far=far)
    training = restored(config, device, checkpoint_path) or begin(config, device, seed, attempt=0)
    pictures = Pictures(
        views.images.to(device), views.camera_to_world.float().to(device), torch.tensor(views.background, device=device)
    )
    saved, errors = time.monotonic(), []
    with progress.bar("train", config.N_iters) as bar:
        while training.step < config.N_iters:
            errors.append(take_step(training, pictures, views.intrinsics, seed))
            if training.step % LOOK_STEPS == 0:
                bar.set_postfix_str(f"PSNR {psnr_of(errors):.1f} dB")
                errors.clear()
                if not bool(training.alive.all()):
                    progress.info(f"A network lost all density by step {training.step}, from where none learns: anew.")
                    training = begin(config, device, seed, training.attempt + 1)
                training.alive.zero_()
            bar.update(training.step - bar.n)
            if checkpoint_path and time.monotonic() - saved >= SAVE_SECONDS:
                save_training(checkpoint_path, training)
                saved = time.monotonic()
    if checkpoint_path:
        save_training(checkpoint_path, training)
    return MlpField(frozen(training.networks), views.background)


def depth_range(views: Views) -> tuple[float, float]:
    """Near and far: the depths along the viewing axes between which all views have the object, with a margin."""
    low, high = object_bounds(silhouettes(views), views.camera_to_world, views.intrinsics, VOTE)
    corners = torch.tensor(list(np.ndindex(2, 2, 2))) * (high - low) + low  # (8, 3)
    offsets = corners[None] - views.camera_to_world[:, None, :3, 3]  # (views, 8, 3)
    depths = -(offsets * views.camera_to_world[:, None, :3, 2]).sum(-1)
    margin = MARGIN * float(depths.max() - depths.min())
    return max(0.0, float(depths.min()) - margin), float(depths.max()) + margin


def begin(config: NerfConfig, device: torch.device, seed: int, attempt: int) -> Training:
    """Networks drawn from ``seed`` and ``attempt``, the same on every device, and their optimiser.

    Errors:
        InputError where too many beginnings came to nothing.
    """
    if attempt == ATTEMPTS:
        raise InputError(
            f"{ATTEMPTS} times a network lost all density, from where it learns nothing; lower nerf_lrate (now "
            f"{config.nerf_lrate:g}), raise precrop_iters, or give another seed."
        )
    networks = empty_networks(config)
    networks.coarse.initialise(generator(seed, f"coarse {attempt}"))
    if networks.fine is not None:
        networks.fine.initialise(generator(seed, f"fine {attempt}"))
    return training_of(networks, device, attempt)


def training_of(networks: Networks, device: torch.device, attempt: int) -> Training:
    """Training of ``networks`` on ``device`` before its first step."""
    on(networks, device)
    optimiser = torch.optim.Adam(
        networks.parameters(), lr=networks.config.nerf_lrate, betas=(0.9, 0.999), fused=device.type == "cuda"
    )
    alive = torch.zeros(1 if networks.fine is None else 2, dtype=torch.int64, device=device)
    return Training(networks, optimiser, alive, attempt)


def take_step(training: Training, pictures: Pictures, intrinsics: Intrinsics, seed: int) -> Tensor:
    """One optimiser step; returns the mean squared error of the picture, without waiting for it."""
    config, device = training.networks.config, pictures.images.device
    random = generator(seed, f"step {training.step}", device)
    view, pixels = draw_pixels(pictures, config, training.step, random)
    column, row = pixels.unbind(-1)
    truth = pictures.images[view, row, column].float() / 255.0  # (rays, 3)
    rays = axis_rays(pixels + 0.5, intrinsics, pictures.cameras[view])
    with precision(config.precision, device):
        shown = march(training.networks, rays, random)
        errors = [(each.on(pictures.background) - truth).square().mean() for each in shown]
    training.optimiser.zero_grad()
    sum(errors[1:], errors[0]).backward()
    for group in training.optimiser.param_groups:
        group["lr"] = config.nerf_lrate * DECAY ** (training.step / (1000 * config.lrate_decay))
    training.optimiser.step()
    training.alive += torch.stack([(each.opacity > 0).any() for each in shown])
    training.step += 1
    return errors[-1].detach()


def draw_pixels(pictures: Pictures, config: NerfConfig, step: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The rays of a step: from one view, each pixel at most once, or from all, drawn with repetition.

    Returns:
        View () or (rays,), and pixels (rays, 2) x, y, both int64.
    """
    count, height, width, _ = pictures.images.shape
    device = pictures.images.device
    share = config.precrop_frac if step < config.precrop_iters else 1.0
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    if config.no_batching:
        view = torch.randint(count, (), generator=random, device=device)
        chosen = torch.randperm(tall * wide, generator=random, device=device)[: config.N_rand]
    else:
        view = torch.randint(count, (config.N_rand,), generator=random, device=device)
        chosen = torch.randint(tall * wide, (config.N_rand,), generator=random, device=device)
    corner = torch.tensor([(width - wide) // 2, (height - tall) // 2], device=device)
    return view, torch.stack([chosen % wide, chosen // wide], dim=-1) + corner


def psnr_of(errors: list[Tensor]) -> float:
    """PSNR in dB of the mean of mean squared errors."""
    return -10 * math.log10(max(float(torch.stack(errors).mean()), 1e-10))


def save_training(path: Path, training: Training) -> None:
    """Write a checkpoint of an unfinished training."""
    tensors = parameters_of(training.networks)
    for name, parameter in zip(list(tensors), training.networks.parameters()):
        moments = training.optimiser.state[parameter]
        if moments:
            tensors |= {f"mean.{name}": moments["exp_avg"], f"square.{name}": moments["exp_avg_sq"]}
    header = {"kind": "mlp training", "step": training.step, "attempt": training.attempt}
    save_tensors(path, tensors | {"alive": training.alive}, header)


def restored(config: NerfConfig, device: torch.device, path: Path | None) -> Training | None:
    """The training that ``save_training`` wrote; None where there is no such file."""
    if path is None or load_metadata(path) is None:
        return None
    tensors, header = load_tensors(path, device)
    with as_checkpoint(path):
        training = training_of(fill(empty_networks(config), tensors), device, header["attempt"])
        training.step, training.alive = header["step"], tensors["alive"]
        for name, parameter in zip(parameters_of(training.networks), training.networks.parameters()):
            if f"mean.{name}" in tensors:
                training.optimiser.state[parameter] = {
                    "step": torch.tensor(float(training.step), device=device),
                    "exp_avg": tensors[f"mean.{name}"],
                    "exp_avg_sq": tensors[f"square.{name}"],
                }
    return training
