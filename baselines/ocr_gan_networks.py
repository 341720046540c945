"""The networks of OCR-GAN: two U-Nets with channel selection between them, and a discriminator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_WIDTH_FACTOR = 8  # largest number of channels in the generator, relative to its first layer
FEATURE_COUNT = 100  # of the discriminator


def frequency_bands(images: Tensor) -> tuple[Tensor, Tensor]:
    """Split images (N, 3, size, size) in [-1, 1] into low and high frequencies.

    Low is one level of a Gaussian pyramid, resized back; high is the difference, clamped to [-1, 1].
    """
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    coarse = _filtered(images, kernel)[..., ::2, ::2]
    low = _filtered(coarse.repeat_interleave(2, -1).repeat_interleave(2, -2), kernel)
    return low, (images - low).clamp(-1, 1)


def _filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel along rows and columns, reflected at the edges."""
    channels = images.shape[1]
    across = kernel.expand(channels, 1, 1, -1)
    padded = functional.pad(images, (2, 2, 2, 2), mode="reflect")
    rows = functional.conv2d(padded, across, groups=channels)
    return functional.conv2d(rows, across.transpose(2, 3), groups=channels)


class ChannelSelection(nn.Module):
    """Weights each channel of the two bands by the content of both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 32)
        self.squeeze = nn.Sequential(nn.Linear(channels, inner), nn.ReLU())
        self.weigh = nn.ModuleList(nn.Linear(inner, channels) for _ in range(2))

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Scale both bands (N, channels, height, width) by weights that sum to 1 for each channel."""
        squeezed = self.squeeze((low + high).mean((2, 3)))
        weights = torch.softmax(torch.stack([weigh(squeezed) for weigh in self.weigh]), dim=0)[..., None, None]
        return low * weights[0], high * weights[1]


def _down(channels: int, out: int, norm: bool) -> nn.Sequential:
    """Build a convolution that halves the size."""
    layers: list[nn.Module] = [nn.Conv2d(channels, out, 4, 2, 1, bias=not norm)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(out)] if norm else []))


def _up(channels: int, out: int, last: bool) -> nn.Sequential:
    """Build a transposed convolution that doubles the size."""
    convolution = nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=last)
    return nn.Sequential(nn.ReLU(), convolution, nn.Tanh() if last else nn.BatchNorm2d(out))


class FrequencyGenerator(nn.Module):
    """A U-Net (pix2pix, arXiv:1611.07004) for each band, down to one pixel; the restored image is their sum."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        levels = int(math.log2(size))
        widths = [width * min(2**level, MAX_WIDTH_FACTOR) for level in range(levels)]  # of each level going down
        outer = [3, *widths[:-1]]  # of the level above
        self.down = nn.ModuleList(
            nn.ModuleList(_down(outer[level], widths[level], norm=0 < level < levels - 1) for level in range(levels))
            for _ in range(2)
        )
        self.select = nn.ModuleList(ChannelSelection(channels) for channels in widths)
        self.up = nn.ModuleList(
            nn.ModuleList(
                _up(widths[level] * (1 if level == levels - 1 else 2), outer[level], last=level == 0)
                for level in range(levels)
            )
            for _ in range(2)
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Restore images from both bands (N, 3, size, size); each U-Net's output is in [-1, 1]."""
        values = [low, high]
        skips: list[tuple[Tensor, Tensor]] = []  # both bands of each level
        for level, (select, *layers) in enumerate(zip(self.select, *(band.children() for band in self.down))):
            inputs = [functional.leaky_relu(each, 0.2) for each in values] if level else values
            values = list(select(*(layer(each) for layer, each in zip(layers, inputs))))
            skips.append((values[0], values[1]))
        for level in range(len(skips) - 1, -1, -1):
            if level < len(skips) - 1:
                values = [torch.cat([each, skip], dim=1) for each, skip in zip(values, skips[level])]
            values = [list(band.children())[level](each) for band, each in zip(self.up, values)]
        return values[0] + values[1]


class Discriminator(nn.Module):
    """Convolutions down to 4 x 4 pixels, then 100 features, and a verdict from them."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(int(math.log2(size)) - 2)]  # 64 to 2048 for 256 pixels
        layers: list[nn.Module] = []
        for level, out in enumerate(widths):
            layers.append(_down(3 if level == 0 else widths[level - 1], out, norm=level > 0))
            layers.append(nn.LeakyReLU(0.2))
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], FEATURE_COUNT, 4))
        self.verdict = nn.Sequential(nn.Conv2d(FEATURE_COUNT, 1, 3, padding=1), nn.Sigmoid())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability of being real (N,) and features (N, 100) of images (N, 3, size, size)."""
        features = self.body(images)
        return self.verdict(features).flatten(), features.flatten(1)
