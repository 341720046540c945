"""EfficientNet-Lite0 (arXiv:1905.11946, without squeeze and excitation), by the names of its published weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils.weights import LITE0_NAME, Weights, fill

# of each stage: blocks, kernel, stride of the first block, expansion, channels
STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
LEVELS = {2: 0, 4: 1, 8: 2, 16: 4, 32: 6}  # stride → the last stage that has it, whose end is the level
STEM = 32  # channels
EPSILON = 1e-3  # of batch normalisation


class SamePadded(nn.Conv2d):
    """A convolution that pads as TensorFlow does: where an odd pixel is left, it is below and to the right."""

    def forward(self, image: Tensor) -> Tensor:
        """Convolve (N, channels, height, width); a stride divides the size, rounded up."""
        pads: list[int] = []
        for size in (image.shape[-1], image.shape[-2]):
            kernel, stride = self.kernel_size[0], self.stride[0]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(functional.pad(image, pads), self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """Expansion, depthwise convolution, projection; added to its input where that has the same shape."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and channels == out
        if self.expands:
            self._expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, EPSILON)
        self._depthwise_conv = SamePadded(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, EPSILON)
        self._project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, channels, height, width) to (N, out, height / stride, width / stride)."""
        inner = functional.relu6(self._bn0(self._expand_conv(image))) if self.expands else image
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return image + inner if self.adds else inner


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 up to the last of some levels; initial weights come from torch's global random numbers.

    Args:
        strides: of the levels to return, ascending, out of ``LEVELS``.
    """

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        stages = [LEVELS[stride] for stride in strides]
        self.channels = tuple(STAGES[stage][-1] for stage in stages)
        self._conv_stem = SamePadded(3, STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, EPSILON)
        blocks, channels, ends = [], STEM, []
        for count, kernel, stride, expansion, out in STAGES[: stages[-1] + 1]:
            for number in range(count):
                blocks.append(Block(channels, kernel, 1 if number else stride, expansion, out))
                channels = out
            ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self.ends = [ends[stage] for stage in stages]  # blocks that end a level

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map RGB in [0, 1] (N, 3, height, width) to levels (N, channels, height / stride, width / stride)."""
        images = functional.relu6(self._bn0(self._conv_stem((255 * images - 127) / 128)))
        levels = []
        for number, block in enumerate(self._blocks):
            images = block(images)
            if number in self.ends:
                levels.append(images)
        return levels


def efficientnet_lite0(weights: Weights, strides: Sequence[int]) -> EfficientNetLite:
    """Make EfficientNet-Lite0, whose levels have these strides; an InputError says where its weights are missing."""
    with torch.random.fork_rng(devices=[]):  # its initial values are drawn, and not kept
        network = EfficientNetLite(strides)
    return fill(network, LITE0_NAME, weights)
