"""The paper's field: NeRF's networks, rendered along rays."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nerf.mlp.march import POINTS_AT_ONCE, Composite, Networks, march, precision
from nerf.mlp.network import MlpNetwork
from nerf.mlp.volume import axis_rays
from nerf.settings import NerfConfig
from utils.camera import Intrinsics, pixel_centres
from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.rendering import Rendering

LEAST_OPACITY = 1e-3  # opacity below which a pixel shows nothing that has a depth


@dataclass(frozen=True)
class MlpField:
    """Trained networks; satisfies the ``Field`` protocol."""

    networks: Networks
    background: tuple[float, float, float]
    # What a direction gains, in focal lengths, to the right and downwards before a ray is cast: 0, but half a pixel of
    # the training pictures for networks trained with pixel (0, 0) centred at (0, 0); see nerf/mlp/official.py.
    shift: float = 0.0
    exposure_varies: bool = False  # the paper's training takes all pictures as they are

    @property
    def device(self) -> torch.device:
        """Where the networks lie."""
        return self.networks.coarse.density.weight.device

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """The object as seen from ``camera_to_world`` (4, 4); the answer lies on the field's device."""
        config = self.networks.config
        points = POINTS_AT_ONCE[self.device.type] // (config.N_samples + config.N_importance)
        pixels = pixel_centres(intrinsics, self.device).reshape(-1, 2).to(self.networks.coarse.density.weight.dtype)
        parts = []
        with torch.no_grad():
            for chunk in pixels.split(max(1, min(config.chunk, points))):
                shown, stretch = self._march(chunk, camera_to_world, intrinsics)
                distance = shown.depth / shown.opacity.clamp(min=LEAST_OPACITY) * stretch
                distance = torch.where(shown.opacity > LEAST_OPACITY, distance, torch.zeros_like(distance))
                parts.append((shown.on(self._behind(shown)), shown.opacity, distance))
        colour, opacity, depth = (torch.cat(part).float() for part in zip(*parts))
        shape = (intrinsics.height, intrinsics.width)
        return Rendering(colour.clamp(0, 1).view(*shape, 3), opacity.clamp(0, 1).view(shape), depth.view(shape))

    def render_pixels(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> Tensor:
        """RGB (pixels, 3) at ``pixels`` (pixels, 2), differentiable in ``camera_to_world``.

        Where samples lie is not differentiated: the coarse network, which decides it, runs without gradients.
        """
        shown, _ = self._march(pixels, camera_to_world, intrinsics)
        return shown.on(self._behind(shown))

    def _march(self, pixels: Tensor, camera_to_world: Tensor, camera: Intrinsics) -> tuple[Composite, Tensor]:
        """What ``pixels`` show, and the distance along each ray per unit of depth (rays,)."""
        like = self.networks.coarse.density.weight
        centre_x, centre_y = (
            camera.centre_x + self.shift * camera.focal_x,
            camera.centre_y + self.shift * camera.focal_y,
        )
        shifted = replace(camera, centre_x=centre_x, centre_y=centre_y)
        rays = axis_rays(pixels.to(like), shifted, camera_to_world.to(like))
        with precision(self.networks.config.precision, self.device):
            return march(self.networks, rays)[-1], rays.stretch()[:, 0]

    def _behind(self, shown: Composite) -> Tensor:
        return shown.colour.new_tensor(self.background)

    def save(self, path: Path) -> None:
        """Write the field; ``load_mlp_field`` reads it back bit for bit."""
        networks = self.networks
        header = {
            "kind": "mlp",
            "nerf": asdict(replace(networks.config, ft_path="")),
            "background": list(self.background),
            "opaque_end": networks.opaque_end,
            "shift": self.shift,
        }
        save_tensors(path, parameters_of(networks), header)


def empty_networks(config: NerfConfig, opaque_end: bool = False) -> Networks:
    """Networks of the configured sizes, on the CPU, whose parameters hold anything."""
    coarse = MlpNetwork(config.netdepth, config.netwidth, config)
    fine = MlpNetwork(config.netdepth_fine, config.netwidth_fine, config) if config.N_importance else None
    return Networks(coarse, fine, config, opaque_end)


def parameters_of(networks: Networks) -> dict[str, Tensor]:
    """All weights and biases by name, as files keep them."""
    parts = {"coarse": networks.coarse, "fine": networks.fine}
    return {f"{part}.{name}": value for part, net in parts.items() if net for name, value in net.state_dict().items()}


def fill(networks: Networks, tensors: dict[str, Tensor]) -> Networks:
    """Copy ``tensors``, as ``parameters_of`` names them, into the networks; returns them.

    Errors:
        KeyError, RuntimeError where a tensor is missing or has another shape.
    """
    with torch.no_grad():
        for name, parameter in parameters_of(networks).items():
            if parameter.shape != tensors[name].shape:
                raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}")
            parameter.copy_(tensors[name])
    return networks


def on(networks: Networks, device: torch.device | str) -> Networks:
    """The networks, moved to ``device`` and compiled if the settings say so."""
    for network in (networks.coarse, networks.fine):
        if network is not None:
            network.to(device)
            if networks.config.compile:
                network.translate()
    return networks


def frozen(networks: Networks) -> Networks:
    """The networks, which from now on get no gradients."""
    for parameter in networks.parameters():
        parameter.requires_grad_(False)
    return networks


def load_mlp_field(path: Path, device: torch.device | str = "cpu") -> MlpField:
    """The field that ``MlpField.save`` wrote, on ``device``."""
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        networks = fill(empty_networks(NerfConfig(**header["nerf"]), header["opaque_end"]), tensors)
        return MlpField(frozen(on(networks, device)), tuple(header["background"]), header["shift"])
