from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from retrieval import descriptor_training as training
from retrieval.augmentation import augment_views
from retrieval.descriptor_training import RetrievalNet, ViewSet
from retrieval.settings import TrainConfig
from retrieval.viewpoints import fibonacci_sphere
from tests.retrieval.rendered_views import grid, views_at
from utils.backbones import resnet50
from utils.errors import InputError
from utils.progress import Progress
from utils.weights import Weights

CONFIG = TrainConfig(epochs=6, batch_size=12, learning_rate=5e-3, size=32)


@pytest.fixture(scope="module")
def view_sets() -> list[ViewSet]:
    """Three toys: the same spheres in other colours."""
    views = views_at(grid()[::3])
    view_set = ViewSet.of(views, CONFIG.size)
    return [ViewSet(view_set.images.roll(shift, -1), view_set.directions) for shift in range(3)]


def tiny() -> RetrievalNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 12, 5, 2), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 24, 3, 2), nn.ReLU()]
        return RetrievalNet(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten()), 24 * 9, seed=0)


def test_training_lowers_the_loss(view_sets: list[ViewSet]) -> None:
    network = tiny()
    images = torch.cat([view_set.images for view_set in view_sets])
    targets = training.sector_weights(torch.cat([view_set.directions for view_set in view_sets]))
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for epoch in range(8):
        steps = [loss for loss, _ in training.train_epoch(network, optimiser, images, targets, CONFIG, epoch)]
        losses.append(sum(steps) / len(steps))
    assert losses[-1] < losses[0] - 0.4


def test_an_interrupted_training_ends_like_a_whole_one(
    view_sets: list[ViewSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, degrees = training.train_descriptor(view_sets, tiny(), CONFIG, tmp_path / "whole", Progress(True))
    assert 0 <= degrees < 90
    measure, calls = training.retrieval_error, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(training, "retrieval_error", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.train_descriptor(view_sets, tiny(), CONFIG, tmp_path / "parts", Progress(True))
    calls.clear()
    monkeypatch.setattr(training, "retrieval_error", lambda *arguments: calls.append(0) or measure(*arguments))
    parts, again = training.train_descriptor(view_sets, tiny(), CONFIG, tmp_path / "parts", Progress(True))
    assert len(calls) == 4 * len(view_sets)  # two epochs were done
    assert again == degrees and whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_damaged_state_is_refused_and_anothers_is_ignored(view_sets: list[ViewSet], tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="delete it and run again"):
        training.train_descriptor(view_sets, tiny(), CONFIG, path, Progress(True))
    path.unlink()
    short = TrainConfig(epochs=1, batch_size=12, size=32)
    first, _ = training.train_descriptor(view_sets, tiny(), short, path, Progress(True))
    other, _ = training.train_descriptor(view_sets, tiny(), TrainConfig(1, 12, size=32, seed=1), path, Progress(True))
    assert not torch.equal(first["fc.0.weight"], other["fc.0.weight"])


def test_the_weights_have_the_papers_names() -> None:
    names = {name for name in models.resnet50().state_dict() if not name.startswith("fc.")}
    tensors = RetrievalNet(resnet50(Weights(backbone="random")), 2048, 0).paper_state_dict()
    assert set(tensors) == names | {"fc.0.weight", "fc.0.bias"}
    assert tensors["fc.0.weight"].shape == (30, 2048)


def test_a_view_belongs_to_its_own_sector_most() -> None:
    weights = training.sector_weights(fibonacci_sphere(training.SECTORS))
    torch.testing.assert_close(weights.sum(1), torch.ones(training.SECTORS))
    assert weights.argmax(1).tolist() == list(range(training.SECTORS))
    assert float(weights.diagonal().min()) > 0.4 and float(weights.diagonal().max()) < 0.7


def test_augmentations_keep_size_and_range_and_depend_on_the_generator_alone() -> None:
    images = torch.rand(6, 37, 37, 3, generator=torch.Generator().manual_seed(0))
    first, again, other = (augment_views(images, 32, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (6, 32, 32, 3) and float(first.min()) >= 0 and float(first.max()) <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
