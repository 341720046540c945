"""The paper's field: NeRF's networks, rendered along rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nerf.mlp.network import NerfNetworks
from nerf.mlp.rendering import POINTS_AT_ONCE, RenderedRays, matmul_precision, render_rays
from nerf.mlp.sampling import axis_rays
from nerf.settings import NerfConfig
from utils.camera import Intrinsics, pixel_centres
from utils.checkpoint import as_checkpoint, load_tensors, save_tensors
from utils.rendering import Rendering

MIN_OPACITY = 1e-3  # opacity below which a pixel shows nothing that has a depth


@dataclass(frozen=True)
class MlpField:
    """Trained networks; satisfies the ``Field`` protocol."""

    networks: NerfNetworks
    background: tuple[float, float, float]
    # Offset to the right and downwards, in focal lengths, added to a direction before a ray is cast: 0, or half a pixel
    # of the training images for networks trained with pixel (0, 0) centred at (0, 0); see nerf/mlp/official.py.
    shift: float = 0.0
    exposure_varies: bool = False  # the paper's training takes all images as they are

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """Render the object as seen from ``camera_to_world`` (4, 4); the result is on the field's device."""
        config, like = self.networks.config, self._weight
        points = POINTS_AT_ONCE[like.device.type] // (config.N_samples + config.N_importance)
        pixels = pixel_centres(intrinsics, like.device).reshape(-1, 2).to(like.dtype)
        parts = []
        with torch.no_grad():
            for chunk in pixels.split(max(1, min(config.chunk, points))):
                rendered, length = self._render_rays(chunk, camera_to_world, intrinsics)
                distance = rendered.depth / rendered.opacity.clamp(min=MIN_OPACITY) * length
                distance = torch.where(rendered.opacity > MIN_OPACITY, distance, torch.zeros_like(distance))
                parts.append((rendered.over(like.new_tensor(self.background)), rendered.opacity, distance))
        colour, opacity, depth = (torch.cat(part).float() for part in zip(*parts))
        shape = (intrinsics.height, intrinsics.width)
        return Rendering(colour.clamp(0, 1).view(*shape, 3), opacity.clamp(0, 1).view(shape), depth.view(shape))

    def render_reference(
        self,
        camera_to_world: Tensor,
        intrinsics: Intrinsics,
        rendering: Rendering | None = None,
        without: int = 0,  # noqa: ARG002  it looks at no views
    ) -> Rendering:
        """Render as ``render`` does, unless ``rendering`` is that."""
        return rendering or self.render(camera_to_world, intrinsics)

    def calibrate(self, pairs: Sequence[tuple[Rendering, Tensor]]) -> MlpField:  # noqa: ARG002
        """Return the field: it expects no residuals."""
        return self

    def render_pixels(self, pixels: Tensor, camera_to_world: Tensor, intrinsics: Intrinsics) -> Tensor:
        """Return RGB (pixels, 3) at ``pixels`` (pixels, 2), differentiable in ``camera_to_world``.

        Where samples lie is not differentiated: the coarse network, which decides it, runs without gradients.
        """
        rendered, _ = self._render_rays(pixels, camera_to_world, intrinsics)
        return rendered.over(self._weight.new_tensor(self.background))

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
        save_tensors(path, networks.named_parameters(), header)

    @property
    def _weight(self) -> Tensor:
        """A parameter, for its device and dtype."""
        return self.networks.coarse.density.weight.detach()

    def _render_rays(self, pixels: Tensor, camera_to_world: Tensor, camera: Intrinsics) -> tuple[RenderedRays, Tensor]:
        """Render the rays through ``pixels``; also return the distance along each per unit of depth (rays,)."""
        centre_x, centre_y = (
            camera.centre_x + self.shift * camera.focal_x,
            camera.centre_y + self.shift * camera.focal_y,
        )
        shifted = replace(camera, centre_x=centre_x, centre_y=centre_y)
        rays = axis_rays(pixels.to(self._weight), shifted, camera_to_world.to(self._weight))
        with matmul_precision(self.networks.config.precision, self._weight.device):
            return render_rays(self.networks, rays)[-1], rays.lengths()[:, 0]


def load_mlp_field(path: Path, device: torch.device | str = "cpu") -> MlpField:
    """Return the field that ``MlpField.save`` wrote, on ``device``."""
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        networks = NerfNetworks.uninitialised(NerfConfig(**header["nerf"]), header["opaque_end"])
        networks.load_parameters(tensors).freeze().to_device(device)
        return MlpField(networks, tuple(header["background"]), header["shift"])
