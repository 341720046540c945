"""The variational autoencoder of FAVAE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

LATENT = 100  # dimensions
ADAPTED_CHANNELS = (128, 256, 512)  # of the decoder's features that are mapped to the teacher's


@dataclass(frozen=True)
class AutoencoderOutput:
    """The autoencoder's reconstruction of images."""

    images: Tensor  # (N, 3, size, size) in [0, 1]
    features: list[Tensor]  # of the teacher's shapes
    mean: Tensor  # (N, 100) of the latent distribution
    log_variance: Tensor  # (N, 100)


def down(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    """Build a convolution of the encoder."""
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, padding=1), nn.BatchNorm2d(out), nn.LeakyReLU(0.2))


def up(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    """Build a transposed convolution of the decoder."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out, kernel, stride, padding=1), nn.BatchNorm2d(out), nn.LeakyReLU(0.2)
    )


def adapter(channels: int, out: int) -> nn.Sequential:
    """Build the layers that map the decoder's features to the teacher's."""
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, out, 1))


class Autoencoder(nn.Module):
    """The variational autoencoder, with adapters on three layers of its decoder.

    Args:
        size: image size, pixels; with 128 the innermost layers are 8 x 8 convolutions, as in the paper.
        teacher_channels: of the teacher's features at 1/2, 1/4 and 1/8 of the size; the defaults are VGG-16's.
    """

    def __init__(self, size: int, teacher_channels: tuple[int, ...] = ADAPTED_CHANNELS) -> None:
        super().__init__()
        inner = size // 16
        self.encoder = nn.Sequential(
            down(3, 128, 4, 2),
            down(128, 128, 4, 2),
            down(128, 256, 3, 1),
            down(256, 256, 4, 2),
            down(256, 512, 3, 1),
            down(512, 512, 4, 2),
            down(512, 512, 3, 1),
            down(512, 32, 3, 1),
            nn.Conv2d(32, 2 * LATENT, inner),
        )
        self.start = nn.Sequential(nn.ConvTranspose2d(LATENT, 32, inner), nn.BatchNorm2d(32), nn.LeakyReLU(0.2))
        self.first = nn.Sequential(up(32, 512, 3, 1), up(512, 512, 4, 2))  # 1/8 of the size
        self.second = nn.Sequential(up(512, 256, 3, 1), up(256, 256, 4, 2))  # 1/4
        self.third = nn.Sequential(up(256, 128, 3, 1), up(128, 128, 4, 2))  # 1/2
        self.last = nn.Sequential(nn.ConvTranspose2d(128, 3, 4, 2, padding=1), nn.Sigmoid())
        self.adapters = nn.ModuleList(adapter(*pair) for pair in zip(ADAPTED_CHANNELS, teacher_channels))

    def forward(self, images: Tensor) -> AutoencoderOutput:
        """Reconstruct images (N, 3, size, size) in [0, 1]; the latent is sampled in training, else its mean."""
        mean, log_variance = self.encoder(images)[:, :, 0, 0].chunk(2, dim=1)
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        eighth = self.first(self.start(latent[:, :, None, None]))
        quarter = self.second(eighth)
        half = self.third(quarter)
        features = [adapt(each) for adapt, each in zip(self.adapters, (half, quarter, eighth))]
        return AutoencoderOutput(self.last(half), features, mean, log_variance)
