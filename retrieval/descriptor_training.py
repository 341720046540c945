"""Trains the ResNet-50 of ``--retrieval resnet50``, in the format of the paper's ``net_best.pth``.

The paper publishes that file, a ResNet-50 with a head of 30 classes, but not how it was trained. Here the classes are
30 sectors of the sphere of viewing directions. A view belongs to all nearby sectors (weights exp(k cos angle)), so
that features vary smoothly within a sector too, not only across its border. The head is used in training only;
retrieval compares the features before it by their cosine. Of all epochs, the one whose held-out views retrieve the
nearest training views is kept.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.augmentation import augment_views
from retrieval.encoders import (
    CROP_SCALE,
    ENCODING_BATCH,
    as_float,
    centre_crop,
    resize_shorter_side,
    unit_features,
)
from retrieval.settings import TrainConfig
from retrieval.viewpoints import fibonacci_sphere, view_directions
from utils.backbones import imagenet_normalised
from utils.checkpoint import write_atomically
from utils.errors import InputError
from utils.geometry import WEAK_PRIOR, common_point
from utils.progress import Progress
from utils.views import Views, split_held_out

SECTORS = 30
_SHARPNESS = 8.0  # k in the weights of sectors; a view at a sector's centre has about half of its weight there


@dataclass(frozen=True)
class ViewSet:
    """One object's images, small and square, and their viewing directions."""

    images: Tensor  # (views, side, side, 3) uint8
    directions: Tensor  # (views, 3) unit, from the object to the cameras

    @staticmethod
    def of(views: Views, size: int) -> ViewSet:
        """Prepare views for training on images of ``size`` pixels."""
        side = round(size * CROP_SCALE)
        batches = views.images.split(ENCODING_BATCH)
        parts = [centre_crop(resize_shorter_side(as_float(images), side), side) for images in batches]
        poses = views.camera_to_world.float()
        return ViewSet((torch.cat(parts) * 255).round().byte(), view_directions(poses, common_point(poses, WEAK_PRIOR)))

    def split(self) -> tuple[ViewSet, ViewSet]:
        """Return the views to train on and the held-out views."""
        train, held_out = split_held_out(len(self.images))
        return self.subset(train), self.subset(held_out)

    def subset(self, rows: list[int]) -> ViewSet:
        """Return the views at ``rows``."""
        return ViewSet(self.images[rows], self.directions[rows])


class RetrievalNet(nn.Module):
    """A trunk (N, 3, height, width) → (N, features), and a head that classifies sectors."""

    def __init__(self, trunk: nn.Module, features: int, seed: int) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(True)
        self.head = nn.Linear(features, SECTORS)
        nn.init.normal_(self.head.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, SECTORS)."""
        return self.head(self.trunk(images))

    def paper_state_dict(self) -> dict[str, Tensor]:
        """Return copies of the weights under the names of ``net_best.pth``: the trunk's, and the head's as ``fc.0``."""
        head = {f"fc.0.{name}": value for name, value in self.head.state_dict().items()}
        return {name: value.detach().cpu().clone() for name, value in {**self.trunk.state_dict(), **head}.items()}


@dataclass(frozen=True)
class BestEpoch:
    """The epoch whose network retrieves best so far."""

    degrees: float = math.inf  # mean angle between held-out views and the training views retrieved for them
    weights: dict[str, Tensor] = field(default_factory=dict)


def train_descriptor(
    view_sets: list[ViewSet], network: RetrievalNet, config: TrainConfig, checkpoint: Path, progress: Progress
) -> tuple[dict[str, Tensor], float]:
    """Train on all but every eighth view of each object, resuming an interrupted training.

    Args:
        view_sets: one for each object, of at least two views.
        network: on the device where it is to be trained; changed.
        checkpoint: file that holds the state after each epoch; the caller deletes it.
    Returns:
        Weights for ``net_best.pth``, and the mean angle in degrees between held-out views and the training views
        retrieved for them.
    Raises:
        InputError: where ``checkpoint`` is damaged.
    """
    pairs = [view_set.split() for view_set in view_sets]
    images = torch.cat([train.images for train, _ in pairs])
    targets = sector_weights(torch.cat([train.directions for train, _ in pairs]))
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    fingerprint = _fingerprint(view_sets, config)
    first_epoch, best = _load_state(checkpoint, fingerprint, network, optimiser)
    steps = -(-len(images) // config.batch_size)
    with progress.bar("retrieval network", config.epochs * steps) as bar:
        bar.update(first_epoch * steps)
        for epoch in range(first_epoch, config.epochs):
            for group in optimiser.param_groups:
                group["lr"] = 0.5 * (1 + math.cos(math.pi * epoch / config.epochs)) * config.learning_rate
            for loss, accuracy in train_epoch(network, optimiser, images, targets, config, epoch):
                bar.update()
                bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.0%}, held out {best.degrees:.1f} degrees")
            errors = [retrieval_error(network.trunk, train, held_out, config.size) for train, held_out in pairs]
            degrees = sum(errors) / len(errors)
            if degrees < best.degrees:
                best = BestEpoch(degrees, network.paper_state_dict())
            _save_state(checkpoint, fingerprint, epoch + 1, best, network, optimiser)
    return best.weights, best.degrees


def train_epoch(
    network: RetrievalNet,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    targets: Tensor,
    config: TrainConfig,
    epoch: int,
) -> Iterator[tuple[float, float]]:
    """Train on all ``images`` (views, side, side, 3), shuffled and augmented; yield loss and accuracy of each step."""
    device = network.head.weight.device
    generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    network.train()
    for rows in torch.randperm(len(images), generator=generator).split(config.batch_size):
        batch = augment_views(as_float(images[rows].to(device)), config.size, generator)
        target = targets[rows].to(device)
        logits = network(imagenet_normalised(batch))
        loss = functional.cross_entropy(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item(), float((logits.argmax(1) == target.argmax(1)).float().mean())


def sector_weights(directions: Tensor) -> Tensor:
    """Compute how much unit ``directions`` (views, 3) belong to each sector: (views, SECTORS), rows sum to 1."""
    return (_SHARPNESS * directions @ fibonacci_sphere(SECTORS).T).softmax(1)


def retrieval_error(trunk: nn.Module, train: ViewSet, held_out: ViewSet, size: int) -> float:
    """Compute the mean angle in degrees between held-out views and the training views retrieved for them."""
    trunk.eval()
    device = next(trunk.parameters()).device

    def features(images: Tensor) -> Tensor:
        batches = images.split(ENCODING_BATCH)
        return torch.cat([unit_features(trunk, as_float(batch.to(device)), size) for batch in batches])

    known, queries = features(train.images), features(held_out.images)
    retrieved = train.directions[(queries @ known.T).argmax(1).cpu()]
    return float(torch.rad2deg((retrieved * held_out.directions).sum(1).clamp(-1, 1).acos()).mean())


def _fingerprint(view_sets: list[ViewSet], config: TrainConfig) -> str:
    """Hash everything that a training depends on, except for the network's initial weights."""
    digest = hashlib.blake2b(repr(config).encode(), digest_size=16)
    for view_set in view_sets:
        digest.update(view_set.images.numpy().tobytes())
        digest.update(view_set.directions.numpy().tobytes())
    return digest.hexdigest()


def _save_state(
    path: Path,
    fingerprint: str,
    epochs: int,
    best: BestEpoch,
    network: RetrievalNet,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write what is needed to resume after ``epochs`` epochs."""
    state = {
        "fingerprint": fingerprint,
        "epochs": epochs,
        "degrees": best.degrees,
        "best": best.weights,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def _load_state(
    path: Path, fingerprint: str, network: RetrievalNet, optimiser: torch.optim.Optimizer
) -> tuple[int, BestEpoch]:
    """Load the number of finished epochs and the best of them, if ``path`` holds the state of the same training."""
    if not path.is_file():
        return 0, BestEpoch()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["fingerprint"] != fingerprint:
            return 0, BestEpoch()
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        return state["epochs"], BestEpoch(state["degrees"], state["best"])
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
        raise InputError(f"{path} is not the state of an interrupted training; delete it and run again.") from None
