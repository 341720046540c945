"""The state of a voxel field's training, and the file from which an interrupted training resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nerf.voxel.field import VoxelField, levels_from_tensors, levels_to_tensors
from nerf.voxel.grid import VoxelGrid, grid_from_tensors
from utils.checkpoint import load_metadata, load_tensors, save_tensors

ARRAYS = ("table", "mean", "square", "peak")


@dataclass
class VoxelTrainingState:
    """All that a resumed training needs to end with the same result."""

    grid: VoxelGrid
    table: np.ndarray  # (vertices, 4) raw density, RGB
    mean: np.ndarray  # Adam's first and second moments, like `table`
    square: np.ndarray
    peak: np.ndarray  # (vertices,) the largest recent compositing weight of a sample beside each vertex
    step: int = 0
    coarser: tuple[VoxelField, ...] = ()  # the results of earlier levels
    gains: np.ndarray | None = None  # (views, 3) exposure gains; None where the views were exposed alike


def save_state(path: Path, state: VoxelTrainingState) -> None:
    """Write a checkpoint of an unfinished training."""
    tensors, header = state.grid.to_tensors()
    tensors |= {name: torch.from_numpy(getattr(state, name)) for name in ARRAYS}
    if state.gains is not None:
        tensors["gains"] = torch.from_numpy(state.gains)
    coarser, levels = levels_to_tensors(state.coarser)
    background = [list(level.background) for level in state.coarser]
    save_tensors(path, tensors | coarser, {**header, "step": state.step, "levels": levels, "background": background})


def load_state(path: Path | None) -> VoxelTrainingState | None:
    """Return the state that ``save_state`` wrote; None where there is none."""
    if path is None or load_metadata(path) is None:
        return None
    tensors, header = load_tensors(path)
    coarser = levels_from_tensors(tensors, header["levels"], header["background"])
    table, mean, square, peak = (tensors[name].numpy() for name in ARRAYS)
    gains = tensors["gains"].numpy() if "gains" in tensors else None
    grid = grid_from_tensors(tensors, header)
    return VoxelTrainingState(grid, table, mean, square, peak, header["step"], coarser, gains)
