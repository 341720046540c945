"""Networks that nerf-pytorch has trained, as the paper's authors publish them: ``.tar`` files.

The conventions of such networks differ from this program's in two ways, each of which is recorded in the field:

- the ray of the pixel in column i and row j passes through (i, j) on the image plane, where here it passes through the
  pixel's centre, (i + 0.5, j + 0.5): such a field has learned images that lie half a pixel off (``MlpField.shift``);
- the last sample of a ray stands for the next 1e10 units of length, hence any density makes it opaque
  (``NerfNetworks.opaque_end``).
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerf.mlp.field import MlpField
from nerf.mlp.network import MlpNetwork, NerfNetworks
from nerf.settings import NerfConfig
from utils.errors import InputError
from utils.run_context import RunContext
from utils.views import Views

NEAR, FAR = 2.0, 6.0  # the paper's, for all its objects
STATE_DICTS = {"coarse": "network_fn_state_dict", "fine": "network_fine_state_dict"}
OURS_TO_THEIRS = {
    "layers": "pts_linears",
    "density": "alpha_linear",
    "feature": "feature_linear",
    "mixture": "views_linears.0",
    "colour": "rgb_linear",
}


def import_official_field(views: Views, config: NerfConfig, context: RunContext) -> MlpField:
    """Return the field of the checkpoint ``config.ft_path``, which replaces training.

    Args:
        views: of the object, in the size in which the networks were trained; only their camera and background count.
        config: the networks' sizes and the samples; near and far default to the paper's.
    Raises:
        InputError: the file is missing, is not a nerf-pytorch checkpoint, or does not fit the settings.
    """
    path = Path(config.ft_path)
    if config.near is None or config.far is None:
        config = replace(config, near=NEAR, far=FAR)
        context.progress.info(f"near and far are not set; using the paper's values, {NEAR:g} and {FAR:g}.")
    networks = NerfNetworks.uninitialised(config, opaque_end=True)
    content = read_tar(path)
    expected = {STATE_DICTS[part] for part in networks.networks}
    check_names(expected, set(content), path, "", {"global_step", "optimizer_state_dict"})
    for part, network in networks.networks.items():
        load_state_dict(network, content[STATE_DICTS[part]], config, path, part)
    context.progress.info(
        f"The field is {path}, trained for {content.get('global_step', '?')} steps; nothing is trained."
    )
    half_pixel = 0.5 / views.intrinsics.focal_x
    return MlpField(networks.freeze().to_device(context.device), views.background, half_pixel)


def read_tar(path: Path) -> dict[str, Any]:
    """Read a ``.tar`` checkpoint to the CPU; code in it is refused, not run."""
    if not path.is_file():
        raise InputError(f"ft_path is {path}, which is not a file; set it to a nerf-pytorch checkpoint (.tar).")
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


def load_state_dict(network: MlpNetwork, state: dict[str, Tensor], config: NerfConfig, path: Path, part: str) -> None:
    """Copy nerf-pytorch's ``state`` into ``network``, with every name and shape checked."""
    where = f"{STATE_DICTS[part]} of {path}"
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{where} is not a dict of tensors; it is not a nerf-pytorch checkpoint.")
    check_network_sizes(state, config, where, part)
    parameters = network.state_dict()
    names = {name: their_name(name, config.use_viewdirs) for name in parameters}
    ignored = set() if config.use_viewdirs else {"views_linears.0.weight", "views_linears.0.bias"}
    check_names(set(names.values()), set(state), path, f"{STATE_DICTS[part]}: ", ignored)
    for name, parameter in parameters.items():
        theirs = state[names[name]].float()
        if not config.use_viewdirs and name.startswith(("colour", "density")):  # rows R, G, B, density, and one unused
            theirs = theirs[:3] if name.startswith("colour") else theirs[3:4]
        if theirs.shape != parameter.shape or not bool(theirs.isfinite().all()):
            raise InputError(
                f"{where}: {names[name]} has shape {tuple(theirs.shape)}, expected finite numbers "
                f"in shape {tuple(parameter.shape)}; the file is damaged or of another network."
            )
        parameter.copy_(theirs)


def their_name(name: str, use_viewdirs: bool) -> str:
    """Return nerf-pytorch's name of one of our parameters.

    >>> their_name("layers.3.weight", True), their_name("density.bias", False)
    ('pts_linears.3.weight', 'output_linear.bias')
    """
    part, rest = name.split(".", 1)
    if not use_viewdirs and part in ("density", "colour"):
        return f"output_linear.{rest}"
    return f"{OURS_TO_THEIRS[part]}.{rest}"


def check_network_sizes(state: dict[str, Tensor], config: NerfConfig, where: str, part: str) -> None:
    """Raise an InputError that names the setting under which the network would fit, if it does not."""
    suffix = "_fine" if part == "fine" else ""
    first = state.get("pts_linears.0.weight")
    if first is None or first.dim() != 2:
        return  # `check_names` says what is missing
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
                f"{where} was trained with {key} = {plain}, not {getattr(config, key)}; set --{key} {plain}."
            )


def check_names(expected: set[str], found: set[str], path: Path, where: str, ignored: set[str]) -> None:
    """Raise an InputError that lists missing and unknown names, if there are any."""
    missing, unknown = sorted(expected - found), sorted(found - expected - ignored)
    if missing or unknown:
        parts = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise InputError(
            f"{where}{path} is not a nerf-pytorch checkpoint as expected ({'; '.join(parts)}); check ft_path, and "
            f"N_importance = 0 if it was trained without a fine network."
        )
