"""The comparator, with a network trained on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scoring.channels import CHANNEL_COUNT, comparison_channels, opencv_channels
from scoring.comparator import Comparator, load_comparator, make_layers
from scoring.training import TrainingExample, augment_patch, train_comparator
from tests.scoring.disc import pair
from utils.errors import InputError
from utils.progress import Progress
from utils.rendering import Rendering


def trained() -> Comparator:
    examples = [TrainingExample.of(*pair(seed, seed % 2 == 1)) for seed in range(6)]
    return train_comparator(examples, 60, 0, Progress(quiet=True))


def test_learning_is_reproducible_and_finds_new_defects() -> None:
    comparator = trained()
    again = trained()
    assert all(torch.equal(a, b) for a, b in zip(comparator.state_dict().values(), again.state_dict().values()))

    def scores(defect: bool) -> list[float]:
        return [comparator.compare(*pair(seed, defect)[:2])[1] for seed in range(20, 24)]

    assert min(scores(True)) > max(scores(False))
    query, reference, mask = pair(30, True)
    peak = int(comparator.compare(query, reference)[0].argmax())
    near = torch.nn.functional.max_pool2d(mask[None].float(), 5, 1, 2)[0]
    assert float(near.flatten()[peak]) == 1.0


def test_features_and_augmentation_keep_their_channels() -> None:
    query, reference, mask = pair(1, True)
    channels = comparison_channels(query.permute(2, 0, 1), reference.colour.permute(2, 0, 1), reference.opacity)
    assert channels.shape == (CHANNEL_COUNT, 64, 64)
    assert bool(channels.isfinite().all())
    turned, turned_mask = augment_patch(channels, mask.float(), torch.Generator().manual_seed(3))
    assert turned.shape == channels.shape
    assert float(turned_mask.sum()) == float(mask.sum())
    torch.testing.assert_close(turned.sum(), channels.sum())


@pytest.mark.parametrize("rows, columns", [(64, 64), (61, 58), (47, 63)])
def test_opencv_sees_what_torch_sees(rows: int, columns: int) -> None:
    query, reference, _ = pair(1, True)
    images = [image[:rows, :columns].contiguous() for image in (query, reference.colour, reference.opacity)]
    fast = opencv_channels(*(image.numpy() for image in images))
    slow = comparison_channels(images[0].permute(2, 0, 1), images[1].permute(2, 0, 1), images[2])
    torch.testing.assert_close(torch.from_numpy(fast).permute(2, 0, 1), slow, atol=2e-5, rtol=1e-4)


def test_the_map_is_zero_far_from_the_object() -> None:
    query, reference, _ = pair(0, False)
    large = torch.ones(160, 160, 3)
    large[:64, :64] = query
    rendering = Rendering(torch.ones(160, 160, 3), torch.zeros(160, 160), torch.zeros(160, 160))
    rendering.colour[:64, :64], rendering.opacity[:64, :64] = reference.colour, reference.opacity
    map_, score = load_comparator().compare(large, rendering)
    assert float(map_[80:, 80:].abs().max()) == 0.0
    assert bool((map_ >= 0).all())
    assert score == float(map_.max()) > 0


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights .* are missing"):
        load_comparator(tmp_path / "none.safetensors")


def test_the_receptive_field_is_17_pixels() -> None:
    channels = torch.zeros(CHANNEL_COUNT, 41, 41, requires_grad=True)
    layers = make_layers().requires_grad_(False)
    for parameter in layers.parameters():
        parameter.fill_(1.0)
    layers(channels[None])[0, 0, 20, 20].backward()
    assert channels.grad is not None
    rows, columns = channels.grad.abs().sum(0).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 28, 12, 28)
