"""Discoloured patches on a toy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Stain:
    """A roundish blob of colour around a point of the surface, with a wavy and slightly soft edge."""

    centre: np.ndarray  # (3,) world
    radius: float  # scene units
    albedo: np.ndarray  # (3,) linear RGB
    waves: np.ndarray  # (waves, 4) a direction in space (3, in 1/radius) and a phase

    def weight(self, points: np.ndarray) -> np.ndarray:
        """Return the opacity of the stain at ``points`` (n, 3): (n,) float32 in [0, 1]; 0.5 on its edge."""
        weight = np.zeros(len(points), dtype=np.float32)
        offset = (points - self.centre) / self.radius
        near = np.flatnonzero(np.einsum("ij,ij->i", offset, offset) < 3.0)
        offset = offset[near]
        wave = np.sin(offset @ self.waves[:, :3].T + self.waves[:, 3]).mean(axis=1)
        reach = np.sqrt(np.einsum("ij,ij->i", offset, offset)) + 0.45 * wave
        ramp = np.clip((1.0 - reach) / 0.16 + 0.5, 0.0, 1.0)
        weight[near] = ramp * ramp * (3.0 - 2.0 * ramp)
        return weight

    def scaled(self, factor: float) -> Stain:
        """Return this stain, ``factor`` times as wide."""
        return replace(self, radius=self.radius * factor)
