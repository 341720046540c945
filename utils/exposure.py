"""Exposure: gains that match a rendering to an image, and disturbances of a whole image undone.

A gain is a factor on the object's red, green and blue: what NeRF in the Wild (arXiv:2008.02268) learns an embedding
for, reduced to what exposure and white balance do. Views, whose poses are known, are compared with the field pixel by
pixel; a query, whose pose is still sought, by the mean colour of its object.

A query may also be brighter, darker or noisier than the views as a whole. Its silhouette, on which the pose depends, is
what differs from the background, so all of it would count as object; the plain background shows what to undo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics
from utils.images import is_foreground
from utils.rendering import Field, Renderer, RenderFn, Rendering, RenderPixelsFn
from utils.views import Views

MIN_GAIN_STD = 0.03  # standard deviation of the views' log gains above which, in all channels, exposures differ
MIN_GAIN_TO_SCATTER = 0.35  # share of the scatter within the views that it must exceed, too
MAX_GAIN = 2.0  # gains are clamped to [1 / MAX_GAIN, MAX_GAIN]
COMPARED_SIDE = 100  # longer side, in pixels, at which views are compared with the field
MIN_PIXELS = 50  # of the object, from which a gain is estimated
MIN_DIVISOR = 0.02  # smallest colour value that is divided by

BORDER = 3  # width in pixels of the image border in which the background is sought
MAX_DEVIATION = 0.25  # largest channel difference to the border's median at which a pixel belongs to the background
MIN_BACKGROUND_SHARE = 0.75  # of the border; with less, no noise is estimated
MIN_SHIFT, MAX_SHIFT = 0.02, 0.35  # changes of brightness that are undone
MIN_NOISE = 0.015  # standard deviation of the noise above which an image is denoised
MAX_NOISE = 0.12  # above which the deviation is taken for texture of the object
BLOCK, EXACT = 8, 1.0 / 512  # side in pixels, and largest difference, of an undisturbed block of background
DENOISING_STRENGTH = 0.9  # in standard deviations of the noise


def rendered_pairs(field: Field, views: Views) -> list[tuple[Rendering, Tensor]]:
    """Pair views (height, width, 3), on the field's device, with their references at their poses, exposed alike."""
    pairs = []
    for index, pose in enumerate(views.camera_to_world):
        rendering = field.render_reference(pose, views.intrinsics)
        image = views.image(index).to(rendering.colour.device)
        pairs.append(
            (match_exposure(rendering, image, views.background) if field.exposure_varies else rendering, image)
        )
    return pairs


def apply_gain(rendering: Rendering, gain: Tensor, background: Tensor) -> Rendering:
    """Multiply the object's colour by ``gain`` (3,) on the same background (3,)."""
    behind = (1.0 - rendering.opacity[..., None]) * background

    def exposed(colour: Tensor) -> Tensor:
        return ((colour - behind) * gain + behind).clamp(0.0, 1.0)

    uncorrected = None if rendering.uncorrected is None else exposed(rendering.uncorrected)
    return replace(rendering, colour=exposed(rendering.colour), uncorrected=uncorrected)


def clamp_gain(gain: Tensor) -> Tensor:
    """Clamp a gain to the range that cameras use."""
    return gain.clamp(1.0 / MAX_GAIN, MAX_GAIN)


def colour_ratios(image: Tensor, rendering: Rendering, background: Tensor) -> Tensor:
    """Return the colour of an image over that of a rendering, (pixels, 3), where both show the object."""
    both = (rendering.opacity > 0.5) & is_foreground(image, background)
    return image[both] / rendering.colour[both].clamp(min=MIN_DIVISOR)


def match_exposure(rendering: Rendering, query: Tensor, background: tuple[float, float, float]) -> Rendering:
    """Expose a rendering like the query at the same pose, by the median ratio of their pixels.

    Args:
        rendering: at the query's size and pose.
        query: (height, width, 3) float32 RGB in [0, 1].
        background: RGB in [0, 1].

    Returns:
        The rendering with the gain applied; unchanged where too few pixels show the object in both.
    """
    behind = torch.tensor(background, device=query.device)
    ratio = colour_ratios(query, rendering, behind)
    if len(ratio) < MIN_PIXELS:
        return rendering
    return apply_gain(rendering, clamp_gain(ratio.median(dim=0).values), behind)


@dataclass(frozen=True)
class MeanColourRenderer:
    """Renders the object with a given mean colour, to be compared with a query whose pose is still sought."""

    field: Field
    mean_colour: Tensor  # (3,) of the query's object
    background: Tensor  # (3,)

    def render(self, camera_to_world: Tensor, intrinsics: Intrinsics) -> Rendering:
        """Render the object from ``camera_to_world`` (4, 4), its mean colour moved to ``mean_colour`` by a gain."""
        rendering = self.field.render(camera_to_world, intrinsics)
        shown = is_foreground(rendering.colour, self.background)
        if int(shown.sum()) < MIN_PIXELS:
            return rendering
        through = (1.0 - rendering.opacity[shown]).mean() * self.background  # background that shows through at edges
        gain = (self.mean_colour - through) / (rendering.colour[shown].mean(0) - through).clamp(min=MIN_DIVISOR)
        return apply_gain(rendering, clamp_gain(gain), self.background)

    @property
    def render_pixels(self) -> RenderPixelsFn:
        """Render in the field's exposure: single pixels have no mean colour."""
        return self.field.render_pixels


def match_renderer(field: Field, query: Tensor, background: tuple[float, float, float]) -> Renderer:
    """Return the renderer for the pose search: ``field``, with the query's mean colour where exposures vary."""
    if not field.exposure_varies:
        return field
    behind = torch.tensor(background, device=query.device)
    shown = is_foreground(query, behind)
    return MeanColourRenderer(field, query[shown].mean(0), behind) if int(shown.sum()) >= MIN_PIXELS else field


def view_gains(views: Views, render: RenderFn, absolute: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Estimate each view's gain over ``render``, on images of about ``COMPARED_SIDE`` pixels.

    Args:
        absolute: whether the gains may have any mean, as those of views that ``render`` was not trained on.
    Returns:
        Gains (views, 3) float32, of geometric mean 1 unless absolute, each the median ratio of the pixels that show
        the object in both images; and the scatter of the logarithms of those ratios within a view, (3,), 1.48 median
        absolute deviations.
    """
    camera = views.intrinsics
    shrink = max(1, round(max(camera.width, camera.height) / COMPARED_SIDE))
    small = camera.resized(max(camera.width // shrink, 1), max(camera.height // shrink, 1))
    background = torch.tensor(views.background)
    logs, scatter = torch.zeros(len(views), 3), []
    for index in range(len(views)):
        image = views.image(index).permute(2, 0, 1)[None]  # (1, 3, height, width)
        image = torch.nn.functional.interpolate(image, (small.height, small.width), mode="area")[0].permute(1, 2, 0)
        rendering = render(views.camera_to_world[index], small)
        on_cpu = Rendering(rendering.colour.cpu(), rendering.opacity.cpu(), rendering.depth.cpu())
        ratio = colour_ratios(image, on_cpu, background).clamp(min=MIN_DIVISOR).log()
        if len(ratio) >= MIN_PIXELS:
            middle = ratio.median(dim=0).values
            logs[index] = clamp_gain(middle.exp()).log()
            scatter.append(1.48 * (ratio - middle).abs().median(dim=0).values)
    spread = torch.stack(scatter).median(dim=0).values if scatter else torch.zeros(3)
    return (logs if absolute else logs - logs.mean(0)).exp().numpy(), spread.numpy()


def gains_vary(gains: np.ndarray, scatter: np.ndarray) -> bool:
    """Decide whether gains (views, 3) show that the camera changed its exposure.

    They must differ by more than an unfinished field explains, which ``scatter`` (3,) within the views measures; and in
    all channels: glare, which whitens coloured surfaces, changes only the dark ones.
    """
    return bool((np.log(gains).std(0) > np.maximum(MIN_GAIN_STD, MIN_GAIN_TO_SCATTER * scatter)).all())


def normalise_exposure(views: Views, gains: np.ndarray, masks: np.ndarray) -> Views:
    """Divide each view by its gain, so that all look as if exposed alike.

    Args:
        views: as photographed.
        gains: (views, 3).
        masks: (views, height, width) bool, where the object is; the background is left unchanged.
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
    """Raise the HSV value of an RGB image (..., 3) in [0, 1] by ``change``, clamped; hue and saturation stay."""
    value = image.amax(dim=-1, keepdim=True)  # (..., 1), HSV's V
    raised = (value + change).clamp(0.0, 1.0)
    return torch.where(value > 0.0, image * (raised / value.clamp(min=1e-12)), raised.expand_as(image)).clamp(0.0, 1.0)


def undo_disturbance(query: Tensor, background: tuple[float, float, float]) -> Tensor:
    """Undo a change of brightness and noise of a whole query, as far as its background shows them.

    The HSV value is shifted until the background fits; noise is removed by non-local means (Buades, Coll and Morel,
    CVPR 2005; OpenCV's implementation).

    Args:
        query: (height, width, 3) float32 RGB in [0, 1].
        background: RGB in [0, 1] of the views.

    Returns:
        The query like the views; unchanged where its background is theirs.
    """
    noise = None if has_intact_block(query, background) else border_noise(query)
    if noise is None or noise > MAX_NOISE:
        return query
    wanted, noisy = max(background), noise > MIN_NOISE
    if noisy:
        query = denoise(query, noise)
    # Remaining noise is pushed out of range: the far end of the background's values is moved to the wanted one.
    quantile = 0.5 if not noisy else 0.05 if wanted > 0.5 else 0.95
    shift = wanted - float(border_pixels(query).amax(-1).quantile(quantile))
    least = 0.0 if noisy else MIN_SHIFT
    return change_brightness(query, shift) if least < abs(shift) <= MAX_SHIFT else query


def has_intact_block(image: Tensor, background: tuple[float, float, float]) -> bool:
    """Whether any ``BLOCK`` x ``BLOCK`` pixels show the background exactly, which a disturbed image never does."""
    exact = (image - torch.tensor(background, device=image.device)).abs().amax(-1) < EXACT
    if min(exact.shape) < BLOCK:
        return False
    return bool(torch.nn.functional.avg_pool2d(exact[None].float(), BLOCK, stride=BLOCK // 2).max() > 1.0 - 1e-6)


def border_pixels(image: Tensor) -> Tensor:
    """Return the pixels (pixels, 3) within ``BORDER`` of the edge of an image (height, width, 3)."""
    sides = (image[:BORDER], image[-BORDER:], image[BORDER:-BORDER, :BORDER], image[BORDER:-BORDER, -BORDER:])
    return torch.cat([side.reshape(-1, 3) for side in sides])


def border_noise(image: Tensor) -> float | None:
    """Estimate the standard deviation of the noise on the background at the border; None with too little background.

    At white or black half of the noise is clipped; then 70 % of the values lie within .524 standard deviations of the
    median. A bright object that touches less than 25 % of the border does not affect the estimate.
    """
    border = border_pixels(image)
    deviation = (border - border.median(dim=0).values).abs()
    if float((deviation.amax(-1) < MAX_DEVIATION).float().mean()) < MIN_BACKGROUND_SHARE:
        return None
    return float(deviation.flatten().quantile(0.7)) / 0.524


def denoise(image: Tensor, noise: float) -> Tensor:
    """Apply non-local means for a noise of this standard deviation to an image (height, width, 3)."""
    values = (255.0 * image.cpu().numpy()).round().clip(0, 255).astype(np.uint8)
    strength = 255.0 * DENOISING_STRENGTH * noise
    bgr = np.ascontiguousarray(values[..., ::-1])
    smooth = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, 5, 15)
    return torch.from_numpy(np.ascontiguousarray(smooth[..., ::-1]).astype(np.float32) / 255.0).to(image.device)
