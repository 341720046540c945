"""Networks that nerf-pytorch has trained, as the paper's authors publish them: ``.tar`` files.

What such networks take for granted differs from this program in three ways, each of which the field is told:

- samples lie at equal depths along the viewing axis: so do ours (``nerf/mlp/volume.py``);
- the ray of the pixel in column i and row j passes the picture's plane at (i, j), where here it passes the pixel's
  centre, (i + 0.5, j + 0.5): such a field has learned pictures that lie half a pixel off (``MlpField.shift``);
- the last sample of a ray stands for the next 1e10 units of length, hence any density makes it opaque
  (``Networks.opaque_end``).
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerf.mlp.field import MlpField, empty_networks, frozen, on
from nerf.mlp.network import MlpNetwork
from nerf.settings import NerfConfig
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.progress import Progress
from utils.views import Views

NEAR, FAR = 2.0, 6.0  # the paper's, for all its objects
NETWORKS = {"coarse": "network_fn_state_dict", "fine": "network_fine_state_dict"}
OURS_TO_THEIRS = {
    "layers": "pts_linears",
    "density": "alpha_linear",
    "feature": "feature_linear",
    "mixture": "views_linears.0",
    "colour": "rgb_linear",
}


def import_field(views: Views, config: NerfConfig, device: torch.device, progress: Progress) -> MlpField:
    """The field of the checkpoint ``config.ft_path``, which takes the place of training.

    Args:
        views: of the object, in the size in which the networks were trained; only their camera and background count.
        config: the networks' sizes and the samples; near and far are the paper's where they are not given.
    Errors:
        InputError where the file is missing, is no checkpoint of nerf-pytorch, or does not fit the settings.
    """
    path = Path(config.ft_path)
    if config.near is None or config.far is None:
        config = replace(config, near=NEAR, far=FAR)
        progress.info(f"near and far are not given: taking the paper's, {NEAR:g} and {FAR:g}.")
    networks = empty_networks(config, opaque_end=True)
    content = read_tar(path)
    expected = [part for part in NETWORKS if part == "coarse" or config.N_importance]
    check_names({NETWORKS[part] for part in expected}, set(content), path, "", {"global_step", "optimizer_state_dict"})
    for part, network in zip(expected, (networks.coarse, networks.fine)):
        assert network is not None
        fill_from(network, content[NETWORKS[part]], config, path, part)
    progress.info(f"The field is {path}, trained for {content.get('global_step', '?')} steps; nothing is trained.")
    return MlpField(frozen(on(networks, device)), views.background, half_pixel(views.intrinsics))


def half_pixel(intrinsics: Intrinsics) -> float:
    """Half a pixel, in focal lengths."""
    return 0.5 / intrinsics.focal_x


def read_tar(path: Path) -> dict[str, Any]:
    """What a ``.tar`` file holds, on the CPU; code in it is refused, not run."""
    if not path.is_file():
        raise InputError(f"ft_path names {path}, which is no file; give the path of a nerf-pytorch checkpoint (.tar).")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise InputError(
            f"{path} is not a file of plain tensors and numbers, as nerf-pytorch saves them ({reason}); it may be "
            f"damaged, or hold objects that run code when read. Save its state dicts alone with torch.save."
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dict as nerf-pytorch saves it.")
    return content


def fill_from(network: MlpNetwork, state: dict[str, Tensor], config: NerfConfig, path: Path, part: str) -> None:
    """Copy nerf-pytorch's ``state`` into ``network``, every name and shape checked."""
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{NETWORKS[part]} of {path} is not a dict of tensors; it is no checkpoint of nerf-pytorch.")
    check_sizes(state, config, path, part)
    own = network.state_dict()
    wanted = {name: their_name(name, config.use_viewdirs) for name in own}
    ignored = set() if config.use_viewdirs else {"views_linears.0.weight", "views_linears.0.bias"}
    check_names(set(wanted.values()), set(state), path, f"{NETWORKS[part]}: ", ignored)
    for name, value in own.items():
        theirs = state[wanted[name]].float()
        if not config.use_viewdirs and name.startswith(("colour", "density")):  # rows R, G, B, density, and one unused
            theirs = theirs[:3] if name.startswith("colour") else theirs[3:4]
        if theirs.shape != value.shape or not bool(theirs.isfinite().all()):
            raise InputError(
                f"{NETWORKS[part]} of {path}: {wanted[name]} has shape {tuple(theirs.shape)}, expected finite numbers "
                f"in shape {tuple(value.shape)}; the file is damaged or of another network."
            )
        value.copy_(theirs)


def their_name(name: str, use_viewdirs: bool) -> str:
    """nerf-pytorch's name of one of our parameters.

    >>> their_name("layers.3.weight", True), their_name("density.bias", False)
    ('pts_linears.3.weight', 'output_linear.bias')
    """
    part, rest = name.split(".", 1)
    if not use_viewdirs and part in ("density", "colour"):
        return f"output_linear.{rest}"
    return f"{OURS_TO_THEIRS[part]}.{rest}"


def check_sizes(state: dict[str, Tensor], config: NerfConfig, path: Path, part: str) -> None:
    """An InputError that names the setting under which the network would fit, where it does not."""
    suffix = "_fine" if part == "fine" else ""
    first = state.get("pts_linears.0.weight")
    if first is None or first.dim() != 2:
        return  # the check of names says what is missing
    width, inputs = first.shape
    depth = sum(name.startswith("pts_linears.") and name.endswith(".weight") for name in state)
    found: dict[str, object] = {f"netdepth{suffix}": depth, f"netwidth{suffix}": width, "multires": (inputs - 3) / 6}
    found["use_viewdirs"] = "output_linear.weight" not in state
    mixture = state.get("views_linears.0.weight")
    if found["use_viewdirs"] and mixture is not None and mixture.dim() == 2:
        found["multires_views"] = (mixture.shape[1] - width - 3) / 6
    for key, value in found.items():
        if value != getattr(config, key):
            plain = int(value) if isinstance(value, float) and value.is_integer() else value
            raise InputError(
                f"{NETWORKS[part]} of {path} was trained with {key} = {plain}, the settings say "
                f"{getattr(config, key)}; set --{key} {plain}."
            )


def check_names(expected: set[str], found: set[str], path: Path, where: str, ignored: set[str]) -> None:
    """An InputError that lists what is missing and what is not known."""
    missing, unknown = sorted(expected - found), sorted(found - expected - ignored)
    if missing or unknown:
        parts = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise InputError(
            f"{where}{path} is no checkpoint of nerf-pytorch as expected ({'; '.join(parts)}); check ft_path, and "
            f"N_importance = 0 if it was trained without a fine network."
        )
