"""The state of a voxel field's training, and the file that an interrupted training resumes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nerf.voxel.field import VoxelField, grid_of, grid_tensors
from nerf.voxel.grid import Grid
from utils.checkpoint import load_metadata, load_tensors, save_tensors


@dataclass
class State:
    """Where training stands: all that a resumed run needs to end with the same result."""

    grid: Grid
    table: np.ndarray  # (vertices, 4) raw density, RGB
    mean: np.ndarray  # Adam's first and second moments, like `table`
    square: np.ndarray
    peak: np.ndarray  # (vertices,) the largest compositing weight a vertex has had lately
    step: int = 0
    coarser: tuple[VoxelField, ...] = ()  # what earlier levels ended with
    gains: np.ndarray | None = None  # (views, 3) of views that were exposed differently; None where they were not


def save_state(path: Path, state: State) -> None:
    """Write a checkpoint of an unfinished training."""
    arrays = {"table": state.table, "mean": state.mean, "square": state.square, "peak": state.peak}
    tensors, header = grid_tensors(state.grid)
    tensors |= {name: torch.from_numpy(array) for name, array in arrays.items()}
    levels = []
    for number, level in enumerate(state.coarser):
        own, level_header = grid_tensors(level.grid)
        tensors |= {f"{number}.{name}": tensor for name, tensor in {"table": level.table, **own}.items()}
        levels.append(level_header)
    background = [list(level.background) for level in state.coarser]
    if state.gains is not None:
        tensors["gains"] = torch.from_numpy(state.gains)
    save_tensors(path, tensors, {**header, "step": state.step, "levels": levels, "background": background})


def load_state(path: Path | None) -> State | None:
    """The state that ``save_state`` wrote; None where there is none."""
    if path is None or load_metadata(path) is None:
        return None
    tensors, metadata = load_tensors(path)
    levels = []
    for number, (header, background) in enumerate(zip(metadata["levels"], metadata["background"])):
        own = {name: tensors[f"{number}.{name}"] for name in ("table", "cells", "origin")}
        levels.append(VoxelField(grid_of(own, header), own["table"], tuple(background)))
    table, mean, square, peak = (tensors[name].numpy() for name in ("table", "mean", "square", "peak"))
    gains = tensors["gains"].numpy() if "gains" in tensors else None
    return State(grid_of(tensors, metadata), table, mean, square, peak, metadata["step"], tuple(levels), gains)
