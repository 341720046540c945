"""Training of the paper's field, as nerf-pytorch trains NeRF."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nerf.mlp.field import MlpField
from nerf.mlp.network import NerfNetworks
from nerf.mlp.rendering import matmul_precision, render_rays
from nerf.mlp.sampling import axis_rays
from nerf.settings import NerfConfig
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint, load_metadata, load_tensors, save_tensors
from utils.errors import InputError
from utils.hull import object_bounds, silhouettes
from utils.run_context import RunContext
from utils.seeds import generator
from utils.views import Views

LR_DECAY = 0.1  # factor by which the learning rate falls in `lrate_decay` thousand steps
DEPTH_MARGIN = 0.05  # share of the object's extent in depth by which rays begin before it and end behind it
HULL_VOTE = 0.95  # share of the views in whose silhouette a point must lie to belong to the object
SAVE_SECONDS = 60.0  # between two checkpoints
CHECK_EVERY = 20  # steps between two checks of errors and densities: each waits for the device
MAX_ATTEMPTS = 50  # initialisations before training fails; a third of all networks start with no density anywhere


@dataclass(frozen=True)
class TrainingViews:
    """The views, on the device."""

    images: Tensor  # (views, height, width, 3) uint8
    cameras: Tensor  # (views, 4, 4) camera to world
    background: Tensor  # (3,)
    intrinsics: Intrinsics


@dataclass
class MlpTrainingState:
    """All that a resumed training needs to end with the same result."""

    networks: NerfNetworks
    optimiser: torch.optim.Adam
    alive: Tensor  # (networks,) int64: steps since the last check in which a network had any density
    attempt: int = 0
    step: int = 0


def train_mlp_field(views: Views, config: NerfConfig, context: RunContext, checkpoint_path: Path | None) -> MlpField:
    """Train a field on ``views``; resume from ``checkpoint_path`` if an interrupted training left its state there.

    Each step draws rays, renders them through both networks and takes an Adam step on the sum of both mean squared
    errors. All draws of a step depend on the seed and the step's number alone. A network without density wherever rays
    pass gets no gradient, and would stay so for good: training then restarts with other initial weights.
    """
    if config.near is None or config.far is None:
        near, far = depth_range(views)
        config = replace(config, near=near, far=far)
    device = context.device
    state = load_training(config, device, checkpoint_path) or start_training(config, context, attempt=0)
    cameras, background = views.camera_to_world.float().to(device), torch.tensor(views.background, device=device)
    training_views = TrainingViews(views.images.to(device), cameras, background, views.intrinsics)
    saved, errors = time.monotonic(), []
    with context.progress.bar("train", config.N_iters) as bar:
        while state.step < config.N_iters:
            errors.append(take_step(state, training_views, context.seed))
            if state.step % CHECK_EVERY == 0:
                bar.set_postfix_str(f"PSNR {psnr_of(errors):.1f} dB")
                errors.clear()
                if not bool(state.alive.all()):
                    context.progress.info(f"A network lost all density by step {state.step}; training restarts.")
                    state = start_training(config, context, state.attempt + 1)
                state.alive.zero_()
            bar.update(state.step - bar.n)
            if checkpoint_path and time.monotonic() - saved >= SAVE_SECONDS:
                save_training(checkpoint_path, state)
                saved = time.monotonic()
    if checkpoint_path:
        save_training(checkpoint_path, state)
    return MlpField(state.networks.freeze(), views.background)


def depth_range(views: Views) -> tuple[float, float]:
    """Return near and far, the depths along the viewing axes between which all views have the object, with a margin."""
    low, high = object_bounds(silhouettes(views), views.camera_to_world, views.intrinsics, HULL_VOTE)
    corners = torch.tensor(list(np.ndindex(2, 2, 2))) * (high - low) + low  # (8, 3)
    offsets = corners[None] - views.camera_to_world[:, None, :3, 3]  # (views, 8, 3)
    depths = -(offsets * views.camera_to_world[:, None, :3, 2]).sum(-1)
    margin = DEPTH_MARGIN * float(depths.max() - depths.min())
    return max(0.0, float(depths.min()) - margin), float(depths.max()) + margin


def start_training(config: NerfConfig, context: RunContext, attempt: int) -> MlpTrainingState:
    """Initialise networks from the seed and ``attempt``, the same on every device, and their optimiser.

    Raises:
        InputError: too many attempts have failed.
    """
    if attempt == MAX_ATTEMPTS:
        raise InputError(
            f"{MAX_ATTEMPTS} times a network lost all density and could not learn; lower nerf_lrate (now "
            f"{config.nerf_lrate:g}), raise precrop_iters, or set another seed."
        )
    networks = NerfNetworks.uninitialised(config)
    for name, network in networks.networks.items():
        network.initialise(generator(context.seed, f"{name} {attempt}"))
    return initial_state(networks, context.device, attempt)


def initial_state(networks: NerfNetworks, device: torch.device, attempt: int) -> MlpTrainingState:
    """Return the state of a training of ``networks`` on ``device`` before its first step."""
    networks.to_device(device)
    optimiser = torch.optim.Adam(
        list(networks.named_parameters().values()),
        lr=networks.config.nerf_lrate,
        betas=(0.9, 0.999),
        fused=device.type == "cuda",
    )
    alive = torch.zeros(len(networks.networks), dtype=torch.int64, device=device)
    return MlpTrainingState(networks, optimiser, alive, attempt)


def take_step(state: MlpTrainingState, views: TrainingViews, seed: int) -> Tensor:
    """Take one optimiser step; return the mean squared error of the last network, without waiting for the device."""
    config, device = state.networks.config, views.images.device
    random = generator(seed, f"step {state.step}", device)
    view, pixels = draw_pixels(views.images, config, state.step, random)
    column, row = pixels.unbind(-1)
    truth = views.images[view, row, column].float() / 255.0  # (rays, 3)
    rays = axis_rays(pixels + 0.5, views.intrinsics, views.cameras[view])
    with matmul_precision(config.precision, device):
        rendered = render_rays(state.networks, rays, random)
        errors = [(each.over(views.background) - truth).square().mean() for each in rendered]
    state.optimiser.zero_grad()
    sum(errors[1:], errors[0]).backward()
    for group in state.optimiser.param_groups:
        group["lr"] = config.nerf_lrate * LR_DECAY ** (state.step / (1000 * config.lrate_decay))
    state.optimiser.step()
    state.alive += torch.stack([(each.opacity > 0).any() for each in rendered])
    state.step += 1
    return errors[-1].detach()


def draw_pixels(images: Tensor, config: NerfConfig, step: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the rays of a step: from one view, each pixel at most once, or from all views, with repetition.

    Args:
        images: (views, height, width, 3).
    Returns:
        View () or (rays,), and pixels (rays, 2) x, y, both int64.
    """
    (count, height, width, _), device = images.shape, images.device
    share = config.precrop_frac if step < config.precrop_iters else 1.0
    crop_height, crop_width = max(1, round(share * height)), max(1, round(share * width))
    size = crop_height * crop_width
    if config.no_batching:
        view = torch.randint(count, (), generator=random, device=device)
        chosen = torch.randperm(size, generator=random, device=device)[: config.N_rand]
    else:
        view = torch.randint(count, (config.N_rand,), generator=random, device=device)
        chosen = torch.randint(size, (config.N_rand,), generator=random, device=device)
    corner = torch.tensor([(width - crop_width) // 2, (height - crop_height) // 2], device=device)
    return view, torch.stack([chosen % crop_width, chosen // crop_width], dim=-1) + corner


def psnr_of(errors: list[Tensor]) -> float:
    """Return the PSNR in dB of the mean of mean squared errors."""
    return -10 * math.log10(max(float(torch.stack(errors).mean()), 1e-10))


def save_training(path: Path, state: MlpTrainingState) -> None:
    """Write a checkpoint of an unfinished training."""
    tensors: dict[str, Tensor] = {"alive": state.alive}
    for name, parameter in state.networks.named_parameters().items():
        tensors[name] = parameter
        moments = state.optimiser.state[parameter]
        if moments:
            tensors |= {f"mean.{name}": moments["exp_avg"], f"square.{name}": moments["exp_avg_sq"]}
    save_tensors(path, tensors, {"kind": "mlp training", "step": state.step, "attempt": state.attempt})


def load_training(config: NerfConfig, device: torch.device, path: Path | None) -> MlpTrainingState | None:
    """Return the state that ``save_training`` wrote; None where there is no such file."""
    if path is None or load_metadata(path) is None:
        return None
    tensors, header = load_tensors(path, device)
    with as_checkpoint(path):
        networks = NerfNetworks.uninitialised(config).load_parameters(tensors)
        state = initial_state(networks, device, header["attempt"])
        state.step, state.alive = header["step"], tensors["alive"]
        for name, parameter in networks.named_parameters().items():
            if f"mean.{name}" in tensors:
                state.optimiser.state[parameter] = {
                    "step": torch.tensor(float(state.step), device=device),
                    "exp_avg": tensors[f"mean.{name}"],
                    "exp_avg_sq": tensors[f"square.{name}"],
                }
    return state
