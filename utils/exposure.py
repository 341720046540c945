"""Exposure: a camera that chooses it photo by photo makes each of them brighter, darker or tinted; a gain undoes that.

A gain is a factor on the object's red, green and blue: what NeRF in the Wild (arXiv:2008.02268) learns an embedding
for, reduced to what exposure and white balance do. Views, whose poses are known, are held against the field pixel by
pixel; a query, whose pose is still sought, by the mean colour of its object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.images import is_foreground
from utils.rendering import Field, Renderer, RenderFn, Rendering, RenderPixelsFn
from utils.views import Views

VARIES = 0.03  # standard deviation of the views' log gains above which, in all channels, exposures differ
CLEARLY = 0.35  # share of the scatter within the views that it must exceed, too
BOUND = 2.0  # gains are kept within 1 / BOUND and BOUND
SIDE = 100  # pixels of the longer side at which views are held against the field
LEAST_PIXELS = 50  # of the object, from which a gain is told
DARKEST = 0.02  # least value that is divided by


def apply_gain(rendering: Rendering, gain: Tensor, background: Tensor) -> Rendering:
    """A rendering whose object is brighter by ``gain`` (3,), on the same background (3,)."""
    behind = (1.0 - rendering.opacity[..., None]) * background
    return replace(rendering, colour=((rendering.colour - behind) * gain + behind).clamp(0.0, 1.0))


def colour_ratios(picture: Tensor, rendering: Rendering, background: Tensor) -> Tensor:
    """How much brighter a picture is than a rendering, (pixels, 3), at the pixels that show the object in both."""
    both = (rendering.opacity > 0.5) & is_foreground(picture, background)
    return picture[both] / rendering.colour[both].clamp(min=DARKEST)


def match_exposure(rendering: Rendering, query: Tensor, background: tuple[float, float, float]) -> Rendering:
    """Expose a rendering as the query at the same pose is apply_gain, by the median ratio of their pixels.

    Args:
        rendering: of the query's size and pose.
        query: (height, width, 3) float32 RGB in [0, 1].
        background: RGB in [0, 1].
    """
    behind = torch.tensor(background, device=query.device)
    ratio = colour_ratios(query, rendering, behind)
    if len(ratio) < LEAST_PIXELS:
        return rendering
    return apply_gain(rendering, clamp_gain(ratio.median(dim=0).values), behind)


@dataclass(frozen=True)
class MeanColourRenderer:
    """Renders the object with a given mean colour: what a query whose pose is still sought can be compared with."""

    field: Field
    mean_colour: Tensor  # (3,) of the query's object
    background: Tensor  # (3,)

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """Render the object from ``camera_to_world`` (4, 4), its mean colour moved to ``mean_colour`` by a gain."""
        rendering = self.field.render(camera_to_world, intrinsics)
        shown = is_foreground(rendering.colour, self.background)
        if int(shown.sum()) < LEAST_PIXELS:
            return rendering
        through = (1.0 - rendering.opacity[shown]).mean() * self.background  # what edges let through of the background
        gain = (self.mean_colour - through) / (rendering.colour[shown].mean(0) - through).clamp(min=DARKEST)
        return apply_gain(rendering, clamp_gain(gain), self.background)

    @property
    def render_pixels(self) -> RenderPixelsFn:
        """The field's own, in its own exposure: single pixels have no mean."""
        return self.field.render_pixels


def match_renderer(field: Field, query: Tensor, background: tuple[float, float, float]) -> Renderer:
    """The renderer by which a query's pose is sought: ``field``, with the query's mean colour where exposures vary."""
    if not field.exposure_varies:
        return field
    behind = torch.tensor(background, device=query.device)
    shown = is_foreground(query, behind)
    return MeanColourRenderer(field, query[shown].mean(0), behind) if int(shown.sum()) >= LEAST_PIXELS else field


def view_gains(views: Views, render: RenderFn) -> tuple[np.ndarray, np.ndarray]:
    """How much brighter each view shows the object than ``render`` does, by pictures of some ``SIDE`` pixels.

    Returns:
        Gains (views, 3) float32 of geometric mean 1, the median ratio of the pixels that show the object in both
        pictures; and how far the logarithms of those ratios scatter in a view, (3,), 1.48 median absolute deviations.
    """
    camera = views.intrinsics
    shrink = max(1, round(max(camera.width, camera.height) / SIDE))
    small = camera.resized(max(camera.width // shrink, 1), max(camera.height // shrink, 1))
    background = torch.tensor(views.background)
    logs, scatter = torch.zeros(len(views), 3), []
    for index in range(len(views)):
        picture = views.image(index).permute(2, 0, 1)[None]
        picture = torch.nn.functional.interpolate(picture, (small.height, small.width), mode="area")[0].permute(1, 2, 0)
        rendering = render(views.camera_to_world[index], small)
        on_cpu = Rendering(rendering.colour.cpu(), rendering.opacity.cpu(), rendering.depth.cpu())
        ratio = colour_ratios(picture, on_cpu, background).clamp(min=DARKEST).log()
        if len(ratio) >= LEAST_PIXELS:
            middle = ratio.median(dim=0).values
            logs[index] = clamp_gain(middle.exp()).log()
            scatter.append(1.48 * (ratio - middle).abs().median(dim=0).values)
    spread = torch.stack(scatter).median(dim=0).values if scatter else torch.zeros(3)
    return (logs - logs.mean(0)).exp().numpy(), spread.numpy()


def clamp_gain(gain: Tensor) -> Tensor:
    """A gain within what cameras do."""
    return gain.clamp(1.0 / BOUND, BOUND)


def gains_vary(gains: np.ndarray, scatter: np.ndarray) -> bool:
    """Whether gains (views, 3) tell of a camera that chose its exposure.

    They must differ by more than a field that is not right yet would have it, which ``scatter`` (3,) within the views
    tells; and in all channels: glare, which whitens what is coloured, moves the dark ones only.
    """
    return bool((np.log(gains).std(0) > np.maximum(VARIES, CLEARLY * scatter)).all())


def normalise_exposure(views: Views, gains: np.ndarray, masks: np.ndarray) -> Views:
    """The views as one exposure would have shown them.

    Args:
        views: as they are.
        gains: (views, 3).
        masks: (views, height, width) bool, where the object is; the background stays.
    """
    images = views.images.numpy()
    background = 255.0 * np.array(views.background, np.float32)
    result = np.empty_like(images)
    for index, (image, gain, mask) in enumerate(zip(images, gains.astype(np.float32), masks)):
        share = mask.astype(np.float32) if views.alphas is None else views.alphas[index].numpy() / np.float32(255.0)
        behind = (1.0 - share[..., None]) * background
        result[index] = ((image - behind) / gain + behind).round().clip(0, 255)
    return replace(views, images=torch.from_numpy(result))


def change_brightness(image: Tensor, change: float) -> Tensor:
    """RGB (..., 3) in [0, 1] whose HSV value is raised by ``change``, held to [0, 1]; hue and saturation stay."""
    value = image.amax(dim=-1, keepdim=True)  # (..., 1), HSV's V
    raised = (value + change).clamp(0.0, 1.0)
    return torch.where(value > 0.0, image * (raised / value.clamp(min=1e-12)), raised.expand_as(image)).clamp(0.0, 1.0)
