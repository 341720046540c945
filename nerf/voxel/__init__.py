"""The voxel field: raw densities and colours at the vertices of a sparse grid, rendered by ray marching.

At a point, the eight corners of its cell are interpolated trilinearly. Colour is the interpolated RGB; density is
activated after the interpolation (DVGO, arXiv:2111.11215), so that a surface can lie sharply within a cell:

    sigma = softplus(raw) / voxel        raw: interpolated raw density, any real number; voxel: side of a cell

Samples lie half a voxel apart, so their optical depth is softplus(raw) / 2; the rest is ``nerf/compositing.py``.

- ``field``: the trained field, its rendering and its file; ``grid``: the sparse grid;
- ``train``: training from the visual hull, coarse to fine; ``state``: what an interrupted training resumes from;
  ``pixels``: the pixels it draws from; ``optimiser``: one step;
- ``kernels``, ``adam_kernels``: the compiled loops on the CPU; ``torch_march``: their twin, which runs on CUDA.
"""

from nerf.voxel.field import VoxelField, load_voxel_field
from nerf.voxel.train import train_voxel_field

__all__ = ["VoxelField", "load_voxel_field", "train_voxel_field"]
