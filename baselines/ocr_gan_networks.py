"""The networks of OCR-GAN: two U-Nets that weigh each other's channels, and a discriminator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST = 8  # times the first layer's channels that a layer of the generator has at most
FEATURES = 100  # of the discriminator


def bands(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Low and high frequencies of pictures (N, 3, size, size) in [-1, 1]: their sum is the picture, where in range.

    Low is the picture through one level of a Gaussian pyramid, down and up again; high is the rest, held to [-1, 1].
    """
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=pictures.device) / 16
    low = _filtered(
        _filtered(pictures, kernel)[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2), kernel
    )
    return low, (pictures - low).clamp(-1, 1)


def _filtered(pictures: Tensor, kernel: Tensor) -> Tensor:
    """Each channel smoothed along rows and columns, mirrored at the edges."""
    channels = pictures.shape[1]
    across = kernel.expand(channels, 1, 1, -1)
    padded = functional.pad(pictures, (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(
        functional.conv2d(padded, across, groups=channels), across.transpose(2, 3), groups=channels
    )


class ChannelSelection(nn.Module):
    """Shares each channel out between the two bands, by what both show together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 32)
        self.squeeze = nn.Sequential(nn.Linear(channels, inner), nn.ReLU())
        self.weigh = nn.ModuleList(nn.Linear(inner, channels) for _ in range(2))

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Two of (N, channels, height, width), scaled by weights that sum to 1 for each channel."""
        squeezed = self.squeeze((low + high).mean((2, 3)))
        weights = torch.softmax(torch.stack([weigh(squeezed) for weigh in self.weigh]), dim=0)[..., None, None]
        return low * weights[0], high * weights[1]


def _down(channels: int, out: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, out, 4, 2, 1, bias=not norm)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(out)] if norm else []))


def _up(channels: int, out: int, last: bool) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=last)
    return nn.Sequential(nn.ReLU(), convolution, nn.Tanh() if last else nn.BatchNorm2d(out))


class Generator(nn.Module):
    """A U-Net (pix2pix, arXiv:1611.07004) for each band, down to one pixel; the restored picture is their sum."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        levels = int(math.log2(size))
        widths = [width * min(2**level, LARGEST) for level in range(levels)]  # of each level going down
        inputs = [3, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.ModuleList(_down(inputs[level], widths[level], norm=0 < level < levels - 1) for level in range(levels))
            for _ in range(2)
        )
        self.select = nn.ModuleList(ChannelSelection(channels) for channels in widths)
        outs = [3, *widths[:-1]]  # of each level going up
        self.up = nn.ModuleList(
            nn.ModuleList(
                _up(widths[level] * (1 if level == levels - 1 else 2), outs[level], last=level == 0)
                for level in range(levels)
            )
            for _ in range(2)
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Both bands (N, 3, size, size) → the restored picture, in [-1, 1] where the two networks agree to that."""
        values = [low, high]
        kept: list[list[Tensor]] = [[], []]
        for level, select in enumerate(self.select):
            values = [
                self.down[band][level](functional.leaky_relu(values[band], 0.2) if level else values[band])  # type: ignore[index]
                for band in range(2)
            ]
            values = list(select(*values))
            for band in range(2):
                kept[band].append(values[band])
        outputs = []
        for band in range(2):
            value = kept[band][-1]
            for level in range(len(self.select) - 1, -1, -1):
                joined = value if level == len(self.select) - 1 else torch.cat([value, kept[band][level]], dim=1)
                value = self.up[band][level](joined)  # type: ignore[index]
            outputs.append(value)
        return outputs[0] + outputs[1]


class Discriminator(nn.Module):
    """Convolutions down to 4 x 4, then 100 features, and from them a verdict."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(int(math.log2(size)) - 2)]  # 64 to 2048 for 256 pixels
        layers: list[nn.Module] = []
        for level, out in enumerate(widths):
            layers.append(_down(3 if level == 0 else widths[level - 1], out, norm=level > 0))
            layers.append(nn.LeakyReLU(0.2))
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], FEATURES, 4))
        self.verdict = nn.Sequential(nn.Conv2d(FEATURES, 1, 3, padding=1), nn.Sigmoid())

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, size, size) → the probability of being real (N,), and features (N, 100)."""
        features = self.body(pictures)
        return self.verdict(features).flatten(), features.flatten(1)
