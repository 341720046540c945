"""The paper's comparison beside a plain transcription of its formula with PIL's, scipy's and torch's own operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import Resize

from scoring.paper import PaperComparison, difference_map, resize_like_paper, smooth_map, smoothing_matrix
from scoring.settings import ScoreConfig
from tests.scoring.disc import pair
from utils.backbones import efficientnet_b4
from utils.rendering import Rendering
from utils.run_context import RunContext
from utils.weights import RANDOM, Weights

CPU = torch.device("cpu")


def comparison(size: int, sigma: float = 4.0) -> PaperComparison:
    return PaperComparison.of(
        ScoreConfig("paper", size=size, sigma=sigma), RunContext(CPU, weights=Weights(backbone="random"))
    )


def random_image(height: int, width: int, seed: int) -> Tensor:
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, size=(height, width), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)


def rendering(colour: Tensor) -> Rendering:
    return Rendering(colour, torch.ones(colour.shape[:2]), torch.ones(colour.shape[:2]))


def transcribed(query: Tensor, reference: Tensor, size: int) -> np.ndarray:
    """The formula, channel by channel and scaled by PIL."""
    network = efficientnet_b4(Weights(backbone="random"))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    images = []
    for image in (query, reference):
        channels = []
        for channel in range(3):
            plane = Resize(size)(Image.fromarray(image[..., channel].numpy(), mode="F"))
            channels.append((torch.from_numpy(np.array(plane)) - mean[channel]) / std[channel])
        images.append(torch.stack(channels)[None])
    height, width = images[0].shape[2:]
    total = sum((images[0][0, c] - images[1][0, c]) ** 2 for c in range(3))[None, None]
    for one, other in zip(network(images[0]), network(images[1])):
        error = torch.nn.MSELoss(reduction="none")(one, other).sum(1, keepdim=True)
        total = total + functional.interpolate(error, size=(height, width), mode="bilinear", align_corners=False)
    return gaussian_filter(total[0, 0].numpy(), sigma=4)


@pytest.mark.parametrize(("height", "width"), [(150, 150), (90, 140), (64, 64)])
def test_the_score_is_that_of_the_plain_transcription(height: int, width: int) -> None:
    query, reference = random_image(height, width, 0), random_image(height, width, 1)
    map_, score = comparison(64).compare(query, rendering(reference))
    expected = transcribed(query, reference, 64)
    assert score == pytest.approx(float(expected.max()), rel=1e-5)
    large = functional.interpolate(
        torch.from_numpy(expected)[None, None], size=(height, width), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(map_, large[0, 0], rtol=1e-4, atol=1e-5 * float(expected.max()))


@pytest.mark.parametrize(("length", "sigma"), [(40, 4.0), (9, 4.0), (30, 0.7)])
def test_smoothing_is_scipys(length: int, sigma: float) -> None:
    map_ = torch.rand(length, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.from_numpy(gaussian_filter(map_.numpy(), sigma))
    torch.testing.assert_close(smooth_map(map_, sigma), expected)
    torch.testing.assert_close(smoothing_matrix(length, sigma).sum(1), torch.ones(length, dtype=torch.float64))


def test_the_difference_is_that_of_colours_and_of_every_level() -> None:
    generator = torch.Generator().manual_seed(0)
    query = [torch.rand(1, 3, side, side, generator=generator) for side in (32, 16, 8)]
    for level, weight in ((0, 3.0), (1, 3 * 4.0), (2, 3 * 16.0)):  # a pixel of stride s covers s x s pixels
        reference = [one.clone() for one in query]
        reference[level][0, :, 4, 4] += 2.0
        total = difference_map(query, reference)
        assert total.shape == (32, 32)
        assert float(total.sum()) == pytest.approx(4.0 * weight, rel=1e-4)


def test_equal_images_have_no_difference() -> None:
    query = random_image(80, 80, 0)
    map_, score = comparison(64).compare(query, rendering(query.clone()))
    assert score == 0.0
    assert float(map_.abs().max()) == 0.0


@pytest.mark.parametrize("size", [64, 96])
def test_the_maximum_lies_on_the_defect(size: int) -> None:
    query, reference, mask = pair(3, True)
    map_, score = comparison(size, sigma=1.0).compare(query, reference)
    near = functional.max_pool2d(mask[None].float(), 7, 1, 3)[0]
    assert map_.shape == mask.shape
    assert float(near.flatten()[int(map_.argmax())]) == 1.0
    assert score > comparison(size, sigma=1.0).compare(*pair(3, False)[:2])[1]


def test_images_keep_their_aspect() -> None:
    assert resize_like_paper(torch.rand(2, 90, 140, 3), 64).shape == (2, 64, 99, 3)
    assert resize_like_paper(torch.rand(2, 140, 90, 3), 64).shape == (2, 99, 64, 3)
    assert resize_like_paper(torch.rand(2, 48, 48, 3), 96).shape == (2, 96, 96, 3)


def test_random_weights_are_on_record() -> None:
    assert comparison(64).stored() == ({}, {"kind": "paper", "weights": RANDOM})
