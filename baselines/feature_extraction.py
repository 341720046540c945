"""Extracts features of images from layers of networks trained on ImageNet."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils.backbones import FeatureNetwork, Lite0Levels
from utils.run_context import RunContext
from utils.weights import LITE0, Weights, fill

ResNetName = Literal["resnet18", "wide_resnet50_2"]
RESNET_CHANNELS = {"resnet18": (64, 128, 256, 512), "wide_resnet50_2": (256, 512, 1024, 2048)}  # of layers 1 to 4
IMAGES_AT_ONCE = 8  # batch size of feature extraction


class ResNetFeatures(FeatureNetwork):
    """The layers of a ResNet (arXiv:1512.03385).

    Args:
        name: "resnet18", or "wide_resnet50_2" (arXiv:1605.07146).
        layers: numbers of the layers to return, ascending, 1 to 4; later ones are left out.
        weights: source of the pretrained weights, which are frozen; None keeps the random initialisation, which is
            drawn from torch's global random numbers.
    """

    def __init__(self, name: ResNetName, layers: tuple[int, ...], weights: Weights | None) -> None:
        super().__init__()
        import torchvision  # noqa: PLC0415  seconds, which listing the methods does not need

        resnet = getattr(torchvision.models, name)(weights=None)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.layers = nn.ModuleList(getattr(resnet, f"layer{number}") for number in range(1, max(layers) + 1))
        self.returned = layers
        self.channels = tuple(RESNET_CHANNELS[name][number - 1] for number in layers)
        if weights is not None:
            fill(resnet, name, weights)  # shares its parameters with this module
            self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return each layer k, (N, channels, height / 2^(k+1), …), of normalised images (N, 3, height, width)."""
        features = []
        values = self.stem(images)
        for number, layer in enumerate(self.layers, start=1):
            values = layer(values)
            if number in self.returned:
                features.append(values)
        return features


def resnet_features(
    name: ResNetName, layers: tuple[int, ...], weights: Weights, pretrained: bool = True
) -> FeatureNetwork:
    """Make the layers of a ResNet, or of what stands in for it with levels of the same strides.

    Args:
        name, layers: as for ``ResNetFeatures``.
        weights: says what stands in, and where pretrained weights come from.
        pretrained: with frozen pretrained weights; else with the random initialisation.
    """
    source = weights if pretrained else None
    if weights.stand_in(name) == LITE0:
        return Lite0Levels([2 ** (layer + 1) for layer in layers], source)
    return ResNetFeatures(name, layers, source)


def frozen_resnet(name: ResNetName, layers: tuple[int, ...], context: RunContext) -> FeatureNetwork:
    """Load a pretrained ResNet, or what stands in for it, frozen, onto the context's device."""
    return resnet_features(name, layers, context.weights).to(context.device)


@torch.no_grad()
def extract_features(network: nn.Module, images: Tensor, device: torch.device) -> list[Tensor]:
    """Return each output (N, …) of a frozen network for images (N, 3, height, width), on the CPU."""
    batches = [[each.cpu() for each in network(batch.to(device))] for batch in images.split(IMAGES_AT_ONCE)]
    return [torch.cat(each) for each in zip(*batches)]


def patch_features(layers: list[Tensor], pool: int = 3) -> Tensor:
    """Average layers over neighbourhoods of ``pool`` pixels and concatenate them at the first layer's size.

    Args:
        layers: (N, channels, height, width) each, the largest first.
    Returns:
        (N, sum of channels, height, width) of the first layer.
    """
    pooled = [functional.avg_pool2d(layer, pool, stride=1, padding=pool // 2) for layer in layers]
    size = pooled[0].shape[2:]
    others = [functional.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in pooled[1:]]
    return torch.cat([pooled[0], *others], dim=1)
