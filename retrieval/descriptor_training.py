"""Training of the ResNet-50 whose features tell viewpoints apart, in the form of the paper's ``net_best.pth``.

The paper gives that file, a ResNet-50 with a head of 30 classes, and does not say how it was trained. Here the classes
are 30 sectors of the sphere of viewing directions. A view belongs to all near sectors (weights exp(k cos angle)), so
that features change steadily within a sector too, and not at its border alone. The head is for learning only; retrieval
compares the features before it by their cosine. Of all epochs the one is kept whose held-out views find the nearest
training views.
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

from retrieval.augmentation import augmented
from retrieval.encoders import BATCH, MARGIN, as_float, central, scaled, unit_features
from retrieval.viewpoints import directions, sphere
from utils.backbones import imagenet_normalised
from utils.checkpoint import write_atomically
from utils.errors import InputError
from utils.geometry import WEAK_PRIOR, common_point
from utils.progress import Progress
from utils.views import Views, split_held_out

SECTORS = 30
_SHARPNESS = 8.0  # k in the weights of sectors; the sector whose middle a view is in gets about half of its weight


@dataclass(frozen=True)
class Album:
    """One object's pictures, small and square, and from where they were taken."""

    pictures: Tensor  # (views, side, side, 3) uint8
    directions: Tensor  # (views, 3) unit, from the object to the cameras

    @staticmethod
    def of(views: Views, size: int) -> Album:
        """The album from which pictures of ``size`` pixels are cut."""
        side = round(size * MARGIN)
        parts = [central(scaled(as_float(images), side), side) for images in views.images.split(BATCH)]
        poses = views.camera_to_world.float()
        return Album((torch.cat(parts) * 255).round().byte(), directions(poses, common_point(poses, WEAK_PRIOR)))

    def split(self) -> tuple[Album, Album]:
        """The views to learn from, and those to measure on."""
        train, held_out = split_held_out(len(self.pictures))
        return self.subset(train), self.subset(held_out)

    def subset(self, rows: list[int]) -> Album:
        """The views at ``rows``."""
        return Album(self.pictures[rows], self.directions[rows])


@dataclass(frozen=True)
class Course:
    """How the network is trained."""

    epochs: int = 40
    batch_size: int = 32  # pictures in one step
    learning_rate: float = 1e-4  # Adam's step size at the start; it falls along a cosine
    size: int = 224  # pixels of a side of the pictures that the network sees
    seed: int = 0


class Pupil(nn.Module):
    """A trunk (N, 3, height, width) → (N, features), and a head over sectors."""

    def __init__(self, trunk: nn.Module, features: int, seed: int) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(True)
        self.head = nn.Linear(features, SECTORS)
        nn.init.normal_(self.head.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.head.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, SECTORS)."""
        return self.head(self.trunk(pictures))

    def as_file(self) -> dict[str, Tensor]:
        """The tensors under the names of ``net_best.pth``: the trunk's, and the head's as ``fc.0``."""
        head = {f"fc.0.{name}": value for name, value in self.head.state_dict().items()}
        return {name: value.detach().cpu().clone() for name, value in {**self.trunk.state_dict(), **head}.items()}


@dataclass(frozen=True)
class Best:
    """The epoch whose network retrieves best so far."""

    degrees: float = math.inf  # mean angle between held-out views and the views found for them
    tensors: dict[str, Tensor] = field(default_factory=dict)


def train_descriptor(
    albums: list[Album], pupil: Pupil, course: Course, unfinished: Path, progress: Progress
) -> tuple[dict[str, Tensor], float]:
    """Train on all but every eighth view of each album; an interrupted training goes on where ``unfinished`` is.

    Args:
        albums: of at least two views each.
        pupil: the network, on the device where it is to be trained; changed.
        unfinished: file that holds the state after each epoch; the caller deletes it.
    Returns:
        Tensors for ``net_best.pth`` and the mean angle in degrees between held-out views and the views found for them.
    """
    pairs = [album.split() for album in albums]
    pictures = torch.cat([train.pictures for train, _ in pairs])
    targets = sector_weights(torch.cat([train.directions for train, _ in pairs]))
    optimiser = torch.optim.Adam(pupil.parameters(), lr=course.learning_rate)
    inputs = _print_of(albums, course)
    done, best = _resumed(unfinished, inputs, pupil, optimiser)
    steps = -(-len(pictures) // course.batch_size)
    with progress.bar("retrieval network", course.epochs * steps) as bar:
        bar.update(done * steps)
        for epoch in range(done, course.epochs):
            for group in optimiser.param_groups:
                group["lr"] = 0.5 * (1 + math.cos(math.pi * epoch / course.epochs)) * course.learning_rate
            for loss, accuracy in lessons(pupil, optimiser, pictures, targets, course, epoch):
                bar.update()
                bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.0%}, held out {best.degrees:.1f} degrees")
            errors = [retrieval_error(pupil.trunk, train, held_out, course.size) for train, held_out in pairs]
            degrees = sum(errors) / len(errors)
            if degrees < best.degrees:
                best = Best(degrees, pupil.as_file())
            _keep(unfinished, inputs, epoch + 1, best, pupil, optimiser)
    return best.tensors, best.degrees


def lessons(
    pupil: Pupil, optimiser: torch.optim.Optimizer, pictures: Tensor, targets: Tensor, course: Course, epoch: int
) -> Iterator[tuple[float, float]]:
    """One epoch of steps over shuffled, varied pictures (views, side, side, 3); the loss and accuracy of each."""
    device = pupil.head.weight.device
    generator = torch.Generator().manual_seed(course.seed * 100_003 + epoch)
    pupil.train()
    for rows in torch.randperm(len(pictures), generator=generator).split(course.batch_size):
        seen = augmented(as_float(pictures[rows].to(device)), course.size, generator)
        wanted = targets[rows].to(device)
        logits = pupil(imagenet_normalised(seen))
        loss = functional.cross_entropy(logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item(), float((logits.argmax(1) == wanted.argmax(1)).float().mean())


def sector_weights(view_directions: Tensor) -> Tensor:
    """How much views, by their unit directions (views, 3), belong to each sector: (views, SECTORS), rows sum to 1."""
    return (_SHARPNESS * view_directions @ sphere(SECTORS).T).softmax(1)


def retrieval_error(trunk: nn.Module, train: Album, held_out: Album, size: int) -> float:
    """Mean angle in degrees between the held-out views and the training views whose features are most similar."""
    trunk.eval()
    device = next(trunk.parameters()).device
    known, asked = (
        torch.cat([unit_features(trunk, as_float(part.to(device)), size) for part in album.pictures.split(BATCH)])
        for album in (train, held_out)
    )
    found = train.directions[(asked @ known.T).argmax(1).cpu()]
    return float(torch.rad2deg((found * held_out.directions).sum(1).clamp(-1, 1).acos()).mean())


def _print_of(albums: list[Album], course: Course) -> str:
    """A hash of all that a training depends on but the network's start."""
    digest = hashlib.blake2b(repr(course).encode(), digest_size=16)
    for album in albums:
        digest.update(album.pictures.numpy().tobytes())
        digest.update(album.directions.numpy().tobytes())
    return digest.hexdigest()


def _keep(path: Path, inputs: str, epochs: int, best: Best, pupil: Pupil, optimiser: torch.optim.Optimizer) -> None:
    """Write what is needed to go on after ``epochs`` epochs."""
    state = {
        "inputs": inputs,
        "epochs": epochs,
        "degrees": best.degrees,
        "best": best.tensors,
        "pupil": pupil.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def _resumed(path: Path, inputs: str, pupil: Pupil, optimiser: torch.optim.Optimizer) -> tuple[int, Best]:
    """Epochs done and the best of them, where ``path`` holds the state of this very training; else none."""
    if not path.is_file():
        return 0, Best()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["inputs"] != inputs:
            return 0, Best()
        pupil.load_state_dict(state["pupil"])
        optimiser.load_state_dict(state["optimiser"])
        return state["epochs"], Best(state["degrees"], state["best"])
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
        raise InputError(f"{path} is not the state of an unfinished training; delete it, and run again.") from None
