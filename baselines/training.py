"""The loop that all trained methods share: steps, a bar, and checkpoints from which an interrupted run goes on."""

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

SAVE_SECONDS = 60.0  # between two checkpoints
LOOK_SECONDS = 0.5  # between two looks at the loss: each waits for the device
UNFINISHED = "unfinished.pt"


class Stateful(Protocol):
    """A network, an optimiser, a schedule, or whatever else a step changes."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class Schedule:
    """How many steps there are, and how pictures are dealt out to them."""

    pictures: int
    batch_size: int
    steps: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every picture is seen once; the last batch of an epoch may be smaller."""
        return -(-self.pictures // self.batch_size)

    @staticmethod
    def of_epochs(pictures: int, batch_size: int, epochs: int) -> Schedule:
        """The schedule of so many epochs."""
        return Schedule(pictures, batch_size, epochs * -(-pictures // batch_size))

    def batch(self, step: int, seed: int) -> Tensor:
        """Indices of the pictures of a step, (batch_size or fewer,) int64; they depend on seed and step alone."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = torch.randperm(self.pictures, generator=generator(seed, f"epoch {epoch}"))
        return order[place * self.batch_size : (place + 1) * self.batch_size]


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Torch's global random numbers start from (``seed``, ``name``) inside, and go on as before outside.

    For what libraries draw without a generator: first weights, dropout.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed_of(seed, name))
        yield


def train(
    what: str,
    schedule: Schedule,
    take_step: Callable[[Tensor], Mapping[str, Tensor]],
    stateful: Mapping[str, Stateful],
    context: RunContext,
    finished: Callable[[], bool] = lambda: False,
    file_name: str = UNFINISHED,
) -> None:
    """Take the steps of a schedule, from where an interrupted training with the same ``context.folder`` stopped.

    Args:
        what: name of the bar.
        take_step: one optimiser step on the pictures of these indices (int64); returns losses by name, (,) tensors.
            Torch's global random numbers are seeded from seed and step before it.
        stateful: all that steps change, by name.
        finished: asked after each step whether to end early.
        file_name: of the checkpoint, where a method trains several networks one after the other.
    """
    path = context.folder / file_name if context.folder else None
    step = restore(path, stateful, context.device)
    saved = looked = time.monotonic()
    with context.progress.bar(what, schedule.steps) as bar:
        bar.update(step)
        while step < schedule.steps and not finished():
            with seeded(context.seed, f"step {step}"):
                losses = take_step(schedule.batch(step, context.seed))
            step += 1
            bar.update()
            if time.monotonic() - looked >= LOOK_SECONDS or step == schedule.steps:
                values = {name: float(loss) for name, loss in losses.items()}
                check_finite(values, what, step)
                bar.set_postfix_str(" ".join(f"{name} {value:.3g}" for name, value in values.items()))
                looked = time.monotonic()
            if path and time.monotonic() - saved >= SAVE_SECONDS:
                store(path, step, stateful)
                saved = time.monotonic()
    if path and schedule.steps:
        store(path, step, stateful)  # what follows training may be interrupted too


def check_finite(losses: Mapping[str, float], what: str, step: int) -> None:
    """An InputError where a loss is NaN or infinite."""
    for name, value in losses.items():
        if not abs(value) < float("inf"):
            raise InputError(f"Training of {what} went astray at step {step}: {name} is {value}; lower the step size.")


def store(path: Path, step: int, stateful: Mapping[str, Stateful]) -> None:
    """Write an unfinished training."""
    content = {"step": step, "parts": {name: part.state_dict() for name, part in stateful.items()}}
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def restore(path: Path | None, stateful: Mapping[str, Stateful], device: torch.device) -> int:
    """Put the parts where an unfinished training left them; returns the number of steps that are done."""
    if path is None or not path.is_file():
        return 0
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        for name, part in stateful.items():
            part.load_state_dict(content["parts"][name])
        return int(content["step"])
    except (RuntimeError, KeyError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} is not an unfinished training of this method ({reason}); delete it.") from None
