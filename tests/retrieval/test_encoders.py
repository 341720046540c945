from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval import encoders
from retrieval.encoders import descriptor_distances
from utils.backbones import imagenet_normalised


class Pyramid(nn.Module):
    """Levels of other sizes and channels than EfficientNet's, by nothing but random convolutions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.ModuleList(nn.Conv2d(3, channels, 3, stride, 1) for channels, stride in ((5, 2), (7, 4)))
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [layer(images) for layer in self.layers]


def random_images(count: int, height: int = 40, width: int = 40) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("height", "width", "size"), [(40, 40, 32), (30, 44, 30), (47, 33, 33)])
def test_distances_are_those_of_the_upsampled_levels(height: int, width: int, size: int) -> None:
    network = Pyramid()
    with torch.no_grad():
        vectors = encoders.stacked_levels(network, random_images(3, height, width), size)
        small = encoders.resize_shorter_side(random_images(3, height, width), size)
        levels = network(imagenet_normalised(small))
    large = torch.cat(
        [functional.interpolate(level, small.shape[1:3], mode="bilinear", align_corners=False) for level in levels], 1
    )
    expected = (large - large[:1]).square().mean(1).sum((1, 2))
    torch.testing.assert_close(descriptor_distances(vectors[0], vectors), expected, rtol=2e-3, atol=1e-4)


def test_nearest_unit_vectors_are_the_most_similar_by_cosine() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    with torch.no_grad():
        vectors = encoders.unit_features(network, random_images(12), 32)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(12))
    similarity = torch.stack([functional.cosine_similarity(vectors[:1], vector[None])[0] for vector in vectors])
    distances = descriptor_distances(vectors[0], vectors)
    torch.testing.assert_close(distances, 2 - 2 * similarity, atol=1e-6, rtol=1e-4)


def test_scaling_keeps_proportions_and_the_middle() -> None:
    assert encoders.resize_shorter_side(random_images(1, 60, 90), 30).shape == (1, 30, 45, 3)
    image = torch.zeros(1, 6, 8, 3)
    image[0, 2:4, 3:5] = 1
    assert bool((encoders.centre_crop(image, 2) == 1).all())
    white = encoders.as_float(torch.full((1, 50, 50, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(encoders.resize_shorter_side(white, 20), torch.ones(1, 20, 20, 3))
