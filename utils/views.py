"""Posed training images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.camera import Intrinsics

FOLDS = 4  # of a cross-validation; held-out views without which there is one


@dataclass(frozen=True)
class Views:
    """Anomaly-free images of one object with their cameras, as uint8 on the CPU."""

    images: Tensor  # (views, height, width, 3) uint8 RGB, composited on `background`
    alphas: Tensor | None  # (views, height, width) uint8 where the files have an alpha channel, else None
    camera_to_world: Tensor  # (views, 4, 4) float32
    intrinsics: Intrinsics
    names: tuple[str, ...]
    background: tuple[float, float, float]  # RGB in [0, 1]

    def __len__(self) -> int:
        return self.images.shape[0]

    def image(self, index: int) -> Tensor:
        """Return view ``index`` as float32 RGB (height, width, 3) in [0, 1]."""
        return self.images[index].float() / 255.0

    def subset(self, indices: list[int]) -> Views:
        """Return the views at ``indices``, in that order."""
        rows = torch.tensor(indices, dtype=torch.long)
        return replace(
            self,
            images=self.images[rows],
            alphas=None if self.alphas is None else self.alphas[rows],
            camera_to_world=self.camera_to_world[rows],
            names=tuple(self.names[index] for index in indices),
        )

    def shrunk(self, factor: int) -> Views:
        """Return the views averaged down by a whole ``factor``; rows and columns that are left over are cut off."""
        camera = self.intrinsics
        rows, columns = camera.height // factor, camera.width // factor
        if factor == 1 or min(rows, columns) == 0:
            return self
        cut = replace(camera, height=rows * factor, width=columns * factor)

        def average(pixels: Tensor) -> Tensor:
            whole = pixels[:, : cut.height, : cut.width].numpy()
            small = [cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA) for image in whole]
            return torch.from_numpy(np.stack(small))

        alphas = None if self.alphas is None else average(self.alphas)
        return replace(self, images=average(self.images), alphas=alphas, intrinsics=cut.resized(columns, rows))


def split_folds(count: int, every: int = 8) -> list[tuple[list[int], list[int]]]:
    """Return the folds by which ``count`` views, two or more, judge fields that were not trained on them.

    One fold, that of ``split_held_out``; where it would hold out fewer than ``FOLDS`` views, as many folds, which hold
    out each view once.

    Returns:
        The indices of the training views and of the held-out views of each fold.

    >>> split_folds(5)
    [([1, 2, 3], [0, 4]), ([0, 2, 3, 4], [1]), ([0, 1, 3, 4], [2]), ([0, 1, 2, 4], [3])]
    """
    fold = split_held_out(count, every)
    if len(fold[1]) >= FOLDS:
        return [fold]
    folds = min(FOLDS, count)
    return [
        ([row for row in range(count) if row % folds != number], list(range(number, count, folds)))
        for number in range(folds)
    ]


def split_held_out(count: int, every: int = 8) -> tuple[list[int], list[int]]:
    """Return the indices of the training views, and of every ``every``-th view, which is held out.

    >>> split_held_out(10, every=4)
    ([1, 2, 3, 5, 6, 7, 9], [0, 4, 8])
    """
    held_out = list(range(0, count, every))
    return [index for index in range(count) if index % every], held_out
