"""Coarse poses in a photo with any background: the object's renderings are moved over it as templates.

Where the correlation of colours inside a template's silhouette is largest, the object may stand (OpenCV's masked,
normalised ``matchTemplate``; Hinterstoisser et al., ACCV 2012, find objects in clutter likewise, by gradients).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.rendering import RenderFn

SIDE = 64  # longer side of photo and templates in pixels
BORDER = 16  # pixels by which a template may leave the photo
SOLID = 0.5  # opacity from which a pixel belongs to a template


@dataclass(frozen=True)
class Template:
    """The object as a camera shows it, cut to what it covers."""

    pose: Tensor  # (4, 4) camera_to_world
    colour: np.ndarray  # (height, width, 3) float32 RGB
    mask: np.ndarray  # (height, width, 3) float32, 1 on the object
    corner: tuple[int, int]  # column and row of its first pixel
    distance: float  # of the object from the camera, scene units


@dataclass(frozen=True)
class Templates:
    """An object's templates, one for each pose."""

    camera: Intrinsics  # of the small images
    all: tuple[Template, ...]

    @staticmethod
    def build(poses: Tensor, intrinsics: Intrinsics, render: RenderFn, device: torch.device) -> Templates:
        """Render the templates.

        Args:
            poses: (templates, 4, 4) camera_to_world.
            intrinsics: of the photos.
        """
        scale = SIDE / max(intrinsics.width, intrinsics.height)
        camera = intrinsics.resized(round(intrinsics.width * scale), round(intrinsics.height * scale))
        made = (_template(pose.float(), camera, render, device) for pose in poses)
        return Templates(camera, tuple(template for template in made if template is not None))

    def retrieve(self, photo: Tensor, count: int) -> Tensor:
        """Return coarse poses (at most ``count``, 4, 4) of the object in a photo (height, width, 3), best first."""
        image: np.ndarray = np.ascontiguousarray(photo.cpu().numpy(), np.float32)
        image = cv2.resize(image, (self.camera.width, self.camera.height), interpolation=cv2.INTER_AREA)
        image = cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
        matches = sorted((self._match(template, image) for template in self.all), key=lambda match: -match[0])
        poses = [pose for _, pose in matches[:count]]
        return torch.stack(poses).to(photo.device) if poses else torch.empty(0, 4, 4, device=photo.device)

    def _match(self, template: Template, image: np.ndarray) -> tuple[float, Tensor]:
        """Return the largest correlation of a template, and the pose that shows the object there."""
        correlation = cv2.matchTemplate(image, template.colour, cv2.TM_CCOEFF_NORMED, mask=template.mask)
        correlation = np.where(np.isfinite(correlation), correlation, -1.0)
        row, column = divmod(int(correlation.argmax()), correlation.shape[1])
        across, down = column - BORDER - template.corner[0], row - BORDER - template.corner[1]
        unit = template.distance / self.camera.focal_x  # scene units a pixel
        pose = template.pose.clone()
        pose[:3, 3] += pose[:3, :3] @ torch.tensor([-across * unit, down * unit, 0.0])
        return float(correlation.max()), pose


def _template(pose: Tensor, camera: Intrinsics, render: RenderFn, device: torch.device) -> Template | None:
    """Render a template; None where the pose shows nothing."""
    rendering = render(pose.to(device), camera)
    solid = (rendering.opacity > SOLID).cpu()
    if not bool(solid.any()):
        return None
    rows, columns = (_extent(solid.any(axis)) for axis in (1, 0))
    mask = solid[rows, columns, None].float().repeat(1, 1, 3)
    distance = float(rendering.depth.cpu()[solid].median())
    colour = rendering.colour.cpu()[rows, columns].contiguous()
    return Template(pose.cpu(), colour.numpy(), mask.numpy(), (columns.start, rows.start), distance)


def _extent(shown: Tensor) -> slice:
    places: Sequence[int] = shown.nonzero()[:, 0].tolist()
    return slice(min(places), max(places) + 1)
