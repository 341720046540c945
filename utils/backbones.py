"""Networks trained on ImageNet that more than one room looks through."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils.efficientnet_lite import EfficientNetLite, efficientnet_lite0
from utils.weights import LITE0, Weights, fill

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STAGES = (1, 2, 3, 5)  # torchvision's stages whose ends are the levels
STRIDES = (2, 4, 8, 16)  # of the levels
_REPEATS = (2, 4, 4, 6, 6)  # blocks of each stage, as they are numbered through in the paper's file
_PAPER_EPSILON = 1e-3  # of batch normalisation


def imagenet_normalised(images: Tensor) -> Tensor:
    """Normalise RGB images (N, height, width, 3) in [0, 1] for ImageNet's networks: (N, 3, height, width)."""
    mean, std = images.new_tensor(IMAGENET_MEAN), images.new_tensor(IMAGENET_STD)
    return ((images - mean) / std).permute(0, 3, 1, 2).contiguous()


def imagenet_unnormalised(images: Tensor) -> Tensor:
    """Return images (N, 3, height, width), normalised for ImageNet's networks, as RGB in [0, 1]."""
    mean, std = images.new_tensor(IMAGENET_MEAN), images.new_tensor(IMAGENET_STD)
    return images * std[:, None, None] + mean[:, None, None]


class FeatureNetwork(nn.Module):
    """Maps images (N, 3, height, width), normalised for ImageNet, to a list of levels (N, channels, …)."""

    channels: tuple[int, ...]  # of each level


class Lite0Levels(FeatureNetwork):
    """EfficientNet-Lite0 in place of another network, whose levels have these strides.

    Args:
        strides: of the levels, ascending: 2, 4, 8, 16 or 32.
        weights: source of the pretrained weights, which are frozen; None keeps the random initialisation, which is
            drawn from torch's global random numbers.
    """

    def __init__(self, strides: Sequence[int], weights: Weights | None) -> None:
        super().__init__()
        self.network = EfficientNetLite(strides) if weights is None else efficientnet_lite0(weights, strides)
        self.channels = self.network.channels
        self.train(weights is None)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the levels (N, channels, height / stride, width / stride) of normalised images."""
        return self.network(imagenet_unnormalised(images))


class Levels(FeatureNetwork):
    """The first stages of an EfficientNet-B4."""

    channels = (24, 32, 56, 160)

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import efficientnet_b4 as whole  # noqa: PLC0415  seconds, for few methods

        with torch.random.fork_rng(devices=[]):  # its initial values are drawn, and not kept
            self.features = whole(weights=None).features[: _STAGES[-1] + 1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map normalised images (N, 3, height, width) to 4 levels of strides 2, 4, 8 and 16."""
        levels = []
        for stage, layers in enumerate(self.features):
            images = layers(images)
            if stage in _STAGES:
                levels.append(images)
        return levels


def efficientnet_b4(weights: Weights) -> FeatureNetwork:
    """Make EfficientNet-B4 (arXiv:1905.11946) up to its 22nd block, whose levels the paper compares, or its stand-in.

    ``weights.efficientnet`` says whose: the paper's code has TensorFlow's padding and epsilon, torchvision its own;
    each file of weights was trained with its own.
    """
    if weights.stand_in("efficientnet_b4") == LITE0:
        return Lite0Levels(STRIDES, weights)
    network = Levels()
    if weights.efficientnet == "torchvision":
        return fill(network, "efficientnet_b4", weights)
    _pad_like_tensorflow(network)
    return fill(network, "efficientnet_b4", weights, _from_paper)


def resnet50(weights: Weights, name: str = "resnet50") -> nn.Module:
    """Make ResNet-50 (arXiv:1512.03385) without its last layer: (N, 3, height, width) → (N, 2048).

    Args:
        name: of the registered weights: "resnet50", "resnet50_v2" or "resnet50_retrieval".
    """
    from torchvision.models import resnet50 as whole  # noqa: PLC0415  seconds, for few methods

    with torch.random.fork_rng(devices=[]):  # its initial values are drawn, and not kept
        network = whole(weights=None)
    network.fc = nn.Identity()
    return fill(network, name, weights)


def _pad_like_tensorflow(network: nn.Module) -> None:
    """Set padding and epsilon as the paper's network has them.

    Its padding was worked out once, for images of 380 pixels: there 3 x 3 convolutions of stride 2 meet even sizes,
    and pad right and below only. All others pad evenly, as torchvision's do.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = _PAPER_EPSILON
        elif isinstance(layer, nn.Conv2d) and layer.stride == (2, 2) and layer.kernel_size == (3, 3):
            layer.padding = (0, 0)
            layer.register_forward_pre_hook(lambda _, inputs: functional.pad(inputs[0], (0, 1, 0, 1)))


def _from_paper(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the paper's tensors to torchvision's names; those of later stages and of the head are left out."""
    places = [(stage + 1, block) for stage, repeats in enumerate(_REPEATS) for block in range(repeats)]
    stem = {"_conv_stem.": "features.0.0.", "_bn0.": "features.0.1."}
    renamed = {}
    for name, value in tensors.items():
        match = re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)", name)
        if match and int(match[1]) < len(places):
            stage, block = places[int(match[1])]
            renamed[f"features.{stage}.{block}.block.{_part(match[2], stage)}.{match[3]}"] = value
        for old, new in stem.items():
            if name.startswith(old):
                renamed[new + name[len(old) :]] = value
    return renamed


def _part(part: str, stage: int) -> str:
    """Return where torchvision keeps a part of a block; the first stage's blocks do not expand."""
    first = 0 if stage == 1 else 1
    return {
        "_expand_conv": "0.0",
        "_bn0": "0.1",
        "_depthwise_conv": f"{first}.0",
        "_bn1": f"{first}.1",
        "_se_reduce": f"{first + 1}.fc1",
        "_se_expand": f"{first + 1}.fc2",
        "_project_conv": f"{first + 2}.0",
        "_bn2": f"{first + 2}.1",
    }[part]
