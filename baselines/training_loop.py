"""The training loop that the methods share: steps, a progress bar, and checkpoints to resume from."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from utils.checkpoint import write_atomically
from utils.errors import InputError
from utils.run_context import RunContext
from utils.seeds import generator, seed_of

CHECKPOINT_SECONDS = 60.0  # between two checkpoints
LOSS_SECONDS = 0.5  # between two readings of the loss: each waits for the device
CHECKPOINT_FILE = "unfinished.pt"


class Stateful(Protocol):
    """A network, an optimiser, a scheduler, or whatever else a step changes."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class BatchSchedule:
    """The number of training steps, and the batch of each."""

    images: int
    batch_size: int
    steps: int

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of steps that see every image once; the last batch of an epoch may be smaller."""
        return -(-self.images // self.batch_size)

    @staticmethod
    def of_epochs(images: int, batch_size: int, epochs: int) -> BatchSchedule:
        """Return the schedule of a number of epochs."""
        return BatchSchedule(images, batch_size, epochs * -(-images // batch_size))

    def batch(self, step: int, seed: int) -> Tensor:
        """Return a step's image indices (batch_size or fewer,) int64, which depend on seed and step alone."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = torch.randperm(self.images, generator=generator(seed, f"epoch {epoch}"))
        return order[place * self.batch_size : (place + 1) * self.batch_size]


@contextmanager
def seeded_rng(seed: int, name: str) -> Iterator[None]:
    """Seed torch's global random numbers from (``seed``, ``name``) inside, and restore them on leaving.

    For code that draws without a generator: initial weights, dropout.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed_of(seed, name))
        yield


def optimiser_step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one gradient step on a loss (,)."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def run_training(
    title: str,
    schedule: BatchSchedule,
    take_step: Callable[[Tensor], Mapping[str, Tensor]],
    stateful: Mapping[str, Stateful],
    context: RunContext,
    stop_early: Callable[[], bool] = lambda: False,
    file_name: str = CHECKPOINT_FILE,
) -> None:
    """Take the steps of a schedule, resuming an interrupted training from ``context.folder``.

    Args:
        title: the progress bar's.
        take_step: takes one optimiser step on the images of these indices (int64); returns losses (,) by name.
            Torch's global random numbers are seeded from seed and step before it.
        stateful: all that steps change, by name.
        stop_early: called after each step; True ends the training.
        file_name: the checkpoint's, for a method that trains several networks one after the other.
    Raises:
        InputError: if the checkpoint is not of this training, or a loss is not finite.
    """
    path = context.folder / file_name if context.folder else None
    step = load_training_state(path, stateful, context.device)
    saved = read = time.monotonic()
    with context.progress.bar(title, schedule.steps) as bar:
        bar.update(step)
        while step < schedule.steps and not stop_early():
            with seeded_rng(context.seed, f"step {step}"):
                losses = take_step(schedule.batch(step, context.seed))
            step += 1
            bar.update()
            if time.monotonic() - read >= LOSS_SECONDS or step == schedule.steps:
                values = {name: float(loss) for name, loss in losses.items()}
                check_finite_losses(values, title, step)
                bar.set_postfix_str(" ".join(f"{name} {value:.3g}" for name, value in values.items()))
                read = time.monotonic()
            if path and time.monotonic() - saved >= CHECKPOINT_SECONDS:
                save_training_state(path, step, stateful)
                saved = time.monotonic()
    if path and schedule.steps:
        save_training_state(path, step, stateful)  # what follows training may be interrupted too


def check_finite_losses(losses: Mapping[str, float], title: str, step: int) -> None:
    """Raise an InputError if a loss is NaN or infinite."""
    for name, value in losses.items():
        if not abs(value) < float("inf"):
            raise InputError(
                f"Training of {title} diverged at step {step}: {name} is {value}; lower its learning rate (rate)."
            )


def save_training_state(path: Path, step: int, stateful: Mapping[str, Stateful]) -> None:
    """Write the checkpoint of an unfinished training."""
    content = {"step": step, "parts": {name: part.state_dict() for name, part in stateful.items()}}
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def load_training_state(path: Path | None, stateful: Mapping[str, Stateful], device: torch.device) -> int:
    """Load a checkpoint into the parts, if there is one; return the number of steps that are done."""
    if path is None or not path.is_file():
        return 0
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        for name, part in stateful.items():
            part.load_state_dict(content["parts"][name])
        return int(content["step"])
    except (RuntimeError, KeyError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} is not a checkpoint of this training ({reason}); delete it.") from None
