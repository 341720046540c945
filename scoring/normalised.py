"""The difference between a query and its reference, over the difference that is to be expected there.

A good reference errs, more in brightness than in colour, and at the same places in every view: at edges, thin parts
and gloss. What it has been wrong by, when training views were predicted from the others, is known at every surface
point, and so is where views differ from one another; both come with the reference. The depth says the rest: where a
surface ends in front of another, an error of the pose or of the shape by a pixel shows other colours, as much as they
vary there.

Where most of the object differs by more than that, the light has changed: then the query is compared with what the
reference becomes by the linear change of brightness that fits it best around each place (He et al., "Guided image
filtering", ECCV 2010): faces become lighter or darker, but nothing appears that was not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scoring.crop import Crop, object_crop
from scoring.scorers import Comparison
from scoring.settings import ScoreConfig
from utils.rendering import RESIDUAL_SIGMA, Rendering
from utils.run_context import RunContext
from utils.smoothing import largest, smallest, smooth

CHROMA = 2.0  # weight of differences of colour beside those of brightness, which gloss and shadow make too
LEAST = 0.012  # difference, root mean square over RGB, that is always to be expected
SHIFT = 0.2  # share of the range of colours within two pixels that an error of shape or pose shows
JUMP = 0.03  # step in depth, relative to the object's distance, where a surface ends in front of another
BEHIND = 1.5  # depth of the background, relative to the farthest surface
NEAR = 2  # pixels within which an expected residual counts
CHANGED = 0.015  # more than expected of most of the object, from which on all shading is taken for light
SHADING_SIGMA, SHADING_BOUND = 2.0, 0.2  # pixels over which shading varies, and its largest difference
SHADING_FLAT = 3e-4  # variance of the brightness below which a place is flat, and its shading one colour
CHANGE_ERROR = 0.5  # share of the change that is to be expected on top, once shading is left out


@dataclass(frozen=True)
class NormalisedDifference:
    """The comparison, which has nothing to learn and no settings."""

    def compare(self, query: Tensor, reference: Rendering) -> tuple[Tensor, float]:
        """Return the anomaly map (height, width) of a query (height, width, 3), and its maximum.

        1 is as much as expected. Far from the object it is 0.
        """
        crop = object_crop(query, reference)
        anomaly_map = torch.zeros_like(reference.opacity)
        crop.of(anomaly_map).copy_(self.respond(query, reference, crop))
        return anomaly_map, float(anomaly_map.max())

    def respond(self, query: Tensor, reference: Rendering, crop: Crop) -> Tensor:
        """Return the anomaly map within the crop."""
        difference, opacity = crop.of(query) - crop.of(reference.colour), crop.of(reference.opacity)
        measured, expected = smoothed_size(difference), expected_difference(reference, crop)
        change = light_change(difference, reference, crop)
        if change > 0:
            shaded = min(change / CHANGED, 1.0)
            rest = smoothed_size(difference - shading(difference, crop.of(reference.colour).mean(-1), opacity))
            measured, expected = torch.lerp(measured, rest, shaded), expected + CHANGE_ERROR * change
        return measured / expected

    def stored(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return nothing but the method's name."""
        return {}, {"kind": NormalisedScore.name}


def smoothed_size(difference: Tensor) -> Tensor:
    """Return the size (height, width) of a smoothed difference (height, width, 3): of grey, its absolute value."""
    smoothed = smooth(difference, RESIDUAL_SIGMA)
    brightness = smoothed.mean(-1)
    chroma = (smoothed - brightness[..., None]).square().mean(-1)
    return (brightness.square() + CHROMA**2 * chroma).sqrt()


def light_change(difference: Tensor, reference: Rendering, crop: Crop) -> float:
    """Return by how much most of the object differs more than expected, as it does under another light; or 0."""
    solid = crop.of(reference.opacity) > 0.5
    if reference.expected_residual is None or not bool(solid.any()):
        return 0.0
    found = smooth(difference, RESIDUAL_SIGMA).square().mean(-1).sqrt()[solid]
    if float((found > SHADING_BOUND).float().mean()) > 0.25:
        return 0.0  # that is no light, but another object
    return max(float(found.median() - crop.of(reference.expected_residual)[solid].median()), 0.0)


def shading(difference: Tensor, brightness: Tensor, opacity: Tensor) -> Tensor:
    """Return the part of a difference (height, width, 3) that a linear change of brightness around each place makes.

    Differences above ``SHADING_BOUND`` are no shading and do not count.

    Args:
        brightness: (height, width) of the reference.
        opacity: (height, width) of the reference.
    """
    trusted = (opacity * (difference.abs().amax(-1) < SHADING_BOUND))[..., None]
    guide = brightness[..., None]
    sums = [trusted, guide * trusted, guide.square() * trusted, difference * trusted, guide * difference * trusted]
    weight, *means = smooth(torch.cat(sums, -1), SHADING_SIGMA).split([1, 1, 1, 3, 3], -1)
    level, square, mean, product = (each / weight.clamp(min=0.05) for each in means)
    slope = (product - level * mean) / ((square - level.square()).clamp(min=0) + SHADING_FLAT)
    change = smooth(torch.cat([slope, mean - slope * level, torch.ones_like(trusted)], -1) * trusted, SHADING_SIGMA / 2)
    slope, offset, weight = change.split([3, 3, 1], -1)
    return (slope * guide + offset) / weight.clamp(min=0.05) * opacity[..., None]


def expected_difference(reference: Rendering, crop: Crop) -> Tensor:
    """Return the difference (height, width), root mean square over RGB, to expect of a good query in the crop."""
    expected = (LEAST + SHIFT * edge_range(reference, crop)) * reference.growth
    for image in (reference.expected_residual, reference.disagreement):
        if image is not None:
            expected = expected + smooth(largest(crop.of(image), NEAR), 1.0)
    return expected


def edge_range(reference: Rendering, crop: Crop) -> Tensor:
    """Return the range of colours (height, width) within two pixels of where the depth jumps, 0 elsewhere, smoothed."""
    colour, opacity, depth = (crop.of(image) for image in (reference.colour, reference.opacity, reference.depth))
    varies = (largest(colour, NEAR) - smallest(colour, NEAR)).square().mean(-1).sqrt()
    solid = depth[opacity > 0.5]
    if len(solid) == 0:
        return torch.zeros_like(depth)
    filled = torch.where(opacity > 0.1, depth, BEHIND * depth.max())
    jumps = largest(filled, NEAR) - smallest(filled, NEAR) > JUMP * solid.median()
    return smooth(varies * jumps, RESIDUAL_SIGMA)


@dataclass(frozen=True)
class NormalisedScore:
    """Scoring by the difference over the expected one."""

    config: ScoreConfig

    name: ClassVar[str] = "calibrated"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("score",)

    def make(self, context: RunContext) -> Comparison:  # noqa: ARG002  every method's
        """Make the comparison."""
        return NormalisedDifference()

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Comparison:  # noqa: ARG002
        """Make the comparison: nothing is stored."""
        return NormalisedDifference()
