"""A method in one file: an image is compared with the normal view that looks most like it.

python benchmark.py --methods examples/nearest_view.py:NearestView --objects all
"""

from dataclasses import dataclass

import torch

from baselines.preprocessing import resize_map, resize_to_square, resize_views
from baselines.protocol import Method


@dataclass(frozen=True)
class NearestViewConfig:
    size: int = 128  # image size, pixels


class NearestView(Method[NearestViewConfig]):
    name = "NearestView"
    config_type = NearestViewConfig
    fast_config = NearestViewConfig(size=64)

    def fit(self, views):
        self.views = resize_views(views, self.config.size).to(self.context.device)

    def predict(self, image):
        square = resize_to_square(image.to(self.context.device), self.config.size)
        maps = (self.views - square).square().sum(1)  # (views, size, size)
        nearest = maps[maps.mean((1, 2)).argmin()]
        return resize_map(nearest, image), float(torch.quantile(nearest, 0.99))

    def tensors(self):
        return {"views": self.views}

    def restore(self, tensors):
        self.views = tensors["views"]
