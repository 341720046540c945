"""Splits for studies: fewer training views, disturbed queries; by name and seed, without copies of images."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from data.settings import RobustnessConfig
from utils.errors import InputError
from utils.exposure import change_brightness
from utils.geometry import common_point, farthest_points
from utils.seeds import generator
from utils.views import Views

RING_STEP = 5.0  # degrees of elevation by which a camera must lie below the highest one to be of another ring
LIGHT_LEVELS = 256  # light quanta that a value of 1 stands for in poisson: an 8-bit image's levels


def select_views(views: Views, config: RobustnessConfig, seed: int) -> Views:
    """Select the training views of a study; ``views`` itself where it takes all of them."""
    return views if config.view_split == "all" else views.subset(chosen_views(views.camera_to_world, config, seed))


def chosen_views(camera_to_world: Tensor, config: RobustnessConfig, seed: int) -> list[int]:
    """Choose the training views of a study.

    Args:
        camera_to_world: (views, 4, 4) poses of all training views.
        config: ``view_split`` names the choice: "all"; "uniform", a draw of ``view_fraction`` of them without
            replacement, rounded down but at least 2, as SplatPose's published code draws; "published", as many, drawn
            from the views that are not on the highest and the lowest ring of cameras; or "few_shot",
            ``few_shot_views`` that lie farthest from each other on the sphere of viewing directions.
        seed: of the draw; for few_shot, of its first view.
    Returns:
        Numbers of views, ascending.
    """
    count = len(camera_to_world)
    if config.view_split == "all":
        return list(range(count))
    random = generator(seed, f"views/{config.view_split}")
    if config.view_split == "few_shot":
        first = int(torch.randint(count, (1,), generator=random))
        directions = viewing_directions(camera_to_world)
        rows = farthest_points(lambda row: (directions - directions[row]).norm(dim=1), first)
        return sorted(islice(rows, config.few_shot_views))
    pool = list(range(count)) if config.view_split == "uniform" else without_pole_rings(camera_to_world)
    wanted = max(2, int(config.view_fraction * count + 1e-9))
    if wanted > len(pool):
        raise InputError(
            f"view_fraction {config.view_fraction} asks for {wanted} of {count} views, but view_split "
            f"{config.view_split} leaves only {len(pool)}; lower the fraction."
        )
    return sorted(pool[row] for row in torch.randperm(len(pool), generator=random)[:wanted].tolist())


def viewing_directions(camera_to_world: Tensor) -> Tensor:
    """Return unit vectors from the point that all cameras look at to the cameras: (views, 3) float64."""
    poses = camera_to_world.double()
    return torch.nn.functional.normalize(poses[:, :3, 3] - common_point(poses), dim=1)


def without_pole_rings(camera_to_world: Tensor) -> list[int]:
    """Return the views that are not within ``RING_STEP`` of the highest or the lowest camera's elevation (z is up)."""
    elevations = torch.rad2deg(torch.asin(viewing_directions(camera_to_world)[:, 2].clamp(-1.0, 1.0)))  # (views,)
    inner = (elevations < elevations.max() - RING_STEP) & (elevations > elevations.min() + RING_STEP)
    return torch.nonzero(inner)[:, 0].tolist()


def disturb(query: Tensor, name: str, config: RobustnessConfig, seed: int) -> Tensor:
    """Disturb a query as a study asks: first its brightness, then noise, in the order of iNeRF's code.

    iNeRF's own code divides an image of changed brightness by 255 twice, which leaves it all but black; this does not.

    Args:
        query: (height, width, 3) float32 RGB in [0, 1].
        name: seeds its noise together with ``seed``, so that it depends neither on order nor on number of queries.
        config: the ``noise`` and its strength, and ``delta_brightness``.
        seed: of the noise.
    Returns:
        An image like ``query``; ``query`` itself where the settings ask for nothing.
    """
    if config.delta_brightness != 0.0:
        query = change_brightness(query, config.delta_brightness)
    return query if config.noise == "None" else add_noise(query, config, generator(seed, f"noise/{name}"))


def add_noise(image: Tensor, config: RobustnessConfig, random: torch.Generator) -> Tensor:
    """Add noise to RGB (..., 3) in [0, 1], clamped to [0, 1]; the models are those of ``skimage.util.random_noise``."""
    values = image.cpu()
    if config.noise == "gaussian":
        values = values + config.sigma * torch.randn(values.shape, generator=random)
    elif config.noise == "poisson":
        values = torch.poisson(values * LIGHT_LEVELS, generator=random) / LIGHT_LEVELS
    else:
        hit = torch.rand(values.shape, generator=random) < config.amount
        white = torch.rand(values.shape, generator=random) < {"salt": 1.0, "pepper": 0.0, "s_and_p": 0.5}[config.noise]
        values = torch.where(hit, white.to(values.dtype), values)
    return values.clamp(0.0, 1.0).to(image.device)
