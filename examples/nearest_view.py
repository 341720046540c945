"""A method in one file: a picture is compared with the normal view that looks most like it.

python benchmark.py --methods examples/nearest_view.py:NearestView --objects all
"""

from dataclasses import dataclass

import torch

from baselines.pictures import scaled_map, squared, squared_views
from baselines.protocol import Method


@dataclass(frozen=True)
class NearestViewConfig:
    size: int = 128  # pixels of a side at which pictures are compared


class NearestView(Method[NearestViewConfig]):
    Config = NearestViewConfig
    FAST = NearestViewConfig(size=64)

    def fit(self, views):
        self.pictures = squared_views(views, self.config.size).to(self.context.device)

    def predict(self, image):
        picture = squared(image.to(self.context.device), self.config.size)
        maps = (self.pictures - picture).square().sum(1)  # (views, size, size)
        nearest = maps[maps.mean((1, 2)).argmin()]
        return scaled_map(nearest, image), float(torch.quantile(nearest, 0.99))

    def tensors(self):
        return {"pictures": self.pictures}

    def restore(self, tensors):
        self.pictures = tensors["pictures"]
