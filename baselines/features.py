"""What frozen networks trained on ImageNet see in pictures, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils.run_context import RunContext
from utils.weights import Weights, fill

CHANNELS = {"resnet18": (64, 128, 256, 512), "wide_resnet50_2": (256, 512, 1024, 2048)}  # of layers 1 to 4
BATCH = 8  # pictures that a frozen network sees at once


class ResNetLayers(nn.Module):
    """A ResNet (arXiv:1512.03385) up to some of its four layers.

    Args:
        name: "resnet18", or "wide_resnet50_2" (arXiv:1605.07146).
        layers: numbers of the layers to give, ascending, 1 to 4; later ones are left out.
        weights: where the pretrained weights come from; None leaves the first weights of an untrained network, drawn
            from torch's global random numbers.
    """

    def __init__(self, name: str, layers: tuple[int, ...], weights: Weights | None) -> None:
        super().__init__()
        import torchvision

        whole = getattr(torchvision.models, name)(weights=None)
        self.stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool)
        self.layers = nn.ModuleList(getattr(whole, f"layer{number}") for number in range(1, max(layers) + 1))
        self.wanted = layers
        self.channels = tuple(CHANNELS[name][number - 1] for number in layers)
        if weights is not None:
            fill(whole, name, weights)  # shares its parameters with this module
            self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, height, width), normalised → for each wanted layer k (N, channels, height / 2^(k+1), …)."""
        found = []
        values = self.stem(pictures)
        for number, layer in enumerate(self.layers, start=1):
            values = layer(values)
            if number in self.wanted:
                found.append(values)
        return found


def frozen(name: str, layers: tuple[int, ...], context: RunContext) -> ResNetLayers:
    """The pretrained network of a method, on its device."""
    return ResNetLayers(name, layers, context.weights).to(context.device)


@torch.no_grad()
def in_batches(network: nn.Module, pictures: Tensor, device: torch.device, batch: int = BATCH) -> list[Tensor]:
    """A frozen network's outputs for many pictures (N, 3, height, width): each output (N, …) on the CPU."""
    parts = [[each.cpu() for each in network(some.to(device))] for some in pictures.split(batch)]
    return [torch.cat(each) for each in zip(*parts)]


def patch_features(layers: list[Tensor], pool: int = 3) -> Tensor:
    """Layers averaged over neighbourhoods of ``pool`` pixels, at the size of the first, one after the other.

    Args:
        layers: (N, channels, height, width) each, the largest first.
    Returns:
        (N, sum of channels, height, width) of the first layer.
    """
    pooled = [functional.avg_pool2d(layer, pool, stride=1, padding=pool // 2) for layer in layers]
    size = pooled[0].shape[2:]
    return torch.cat(
        [
            each
            if each.shape[2:] == size
            else functional.interpolate(each, size=size, mode="bilinear", align_corners=False)
            for each in pooled
        ],
        dim=1,
    )
