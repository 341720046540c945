"""Settings of the radiance fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nerf.registry import FIELDS
from utils.config import choice, require


@dataclass(frozen=True)
class FieldConfig:
    """The radiance field, and the voxel field's training."""

    method: str = choice(FIELDS.names)  # voxels that start from the visual hull, or the paper's NeRF (mlp)
    resolution: int = 192  # voxels along the longest side of the object at the finest level
    levels: int = 4  # levels, from coarse to fine; each halves the voxels' side
    steps: int = 1600  # optimiser steps in all; later levels get more of them
    rays_per_step: int = 4096  # pixels in one optimiser step
    density_lr: float = 1.0  # Adam's learning rate for raw densities at the start of a level
    colour_lr: float = 0.1  # Adam's learning rate for colours at the start of a level
    lr_decay: float = 0.1  # learning rates at the end of a level, as a fraction of those at its start
    density_smoothing: float = 0.03  # pull of a raw density to its neighbours' mean a step, at the start of a level
    spread: float = 0.001  # weight of the rays' spread in depth, in voxels (mip-NeRF 360's distortion loss)
    residual_views: int = 8  # nearest training views whose residuals correct a rendering; 0 leaves it out
    hull_min_view_share: float = (
        0.95  # share of the views in whose silhouette a point must lie to belong to the visual hull
    )

    def __post_init__(self) -> None:
        require(1 <= self.levels <= 6, "field_levels", "between 1 and 6", self.levels)
        lowest = 8 << (self.levels - 1)
        require(lowest <= self.resolution <= 1024, "field_resolution", f"between {lowest} and 1024", self.resolution)
        require(self.steps >= self.levels, "field_steps", "at least one a level", self.steps)
        require(self.residual_views >= 0, "field_residual_views", "0 or more", self.residual_views)
        require(self.rays_per_step >= 64, "field_rays_per_step", "at least 64", self.rays_per_step)
        require(
            0 < self.hull_min_view_share <= 1,
            "field_hull_min_view_share",
            "above 0 and at most 1",
            self.hull_min_view_share,
        )

    def resolutions(self) -> list[int]:
        """Return the voxels along the longest side at each level."""
        return [self.resolution >> (self.levels - 1 - level) for level in range(self.levels)]

    def level_ends(self) -> list[int]:
        """Return the step at which each level ends: later levels get more steps."""
        shares = [level + 2 for level in range(self.levels)]
        return [round(self.steps * sum(shares[: level + 1]) / sum(shares)) for level in range(self.levels)]


@dataclass(frozen=True)
class NerfConfig:
    """The paper's NeRF (`field = mlp`), by the names that nerf-pytorch gives its settings."""

    KEY_PREFIX: ClassVar[str] = ""

    netdepth: int = 8  # layers of the coarse network
    netwidth: int = 256  # channels of a layer of the coarse network
    netdepth_fine: int = 8  # layers of the fine network
    netwidth_fine: int = 256  # channels of a layer of the fine network
    multires: int = 10  # frequencies of the positions' encoding
    multires_views: int = 4  # frequencies of the viewing directions' encoding
    use_viewdirs: bool = True  # colours depend on the viewing direction
    N_samples: int = 64  # samples a ray for the coarse network
    N_importance: int = 64  # samples a ray drawn where the coarse network found something; 0 leaves out the fine one
    perturb: float = 1.0  # 1 jitters samples in training, 0 does not
    raw_noise_std: float = 0.0  # standard deviation of noise on raw densities in training
    N_rand: int = 1024  # rays in one training step
    N_iters: int = 200000  # training steps
    nerf_lrate: float = 5e-4  # Adam's learning rate at the start (nerf-pytorch's lrate)
    lrate_decay: float = 500.0  # thousands of steps in which the learning rate falls to a tenth
    no_batching: bool = True  # the rays of a step come from one view, not from all
    precrop_iters: int = 500  # first steps, whose rays come from the middle of the images
    precrop_frac: float = 0.5  # share of height and width that counts as the middle
    near: float | None = None  # distance along the viewing axis at which rays begin; none: found from the silhouettes
    far: float | None = None  # distance along the viewing axis at which rays end; none: found from the silhouettes
    chunk: int = 32768  # rays rendered at once
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"  # of the networks' matrix products
    compile: bool = False  # compile the networks with torch.compile
    ft_path: str = ""  # nerf-pytorch checkpoint (.tar) that replaces training

    def __post_init__(self) -> None:
        for key in ("netdepth", "netwidth", "netdepth_fine", "netwidth_fine", "N_rand", "N_iters", "chunk"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        require(self.N_samples >= 2, "N_samples", "at least 2", self.N_samples)
        require(self.N_importance >= 0, "N_importance", "0 or more", self.N_importance)
        require(0 < self.precrop_frac <= 1, "precrop_frac", "above 0 and at most 1", self.precrop_frac)
        both = (self.near is None) == (self.far is None)
        require(both, "near and far", "given both or neither", (self.near, self.far))
        if self.near is not None and self.far is not None:
            require(0 <= self.near < self.far, "near and far", "0 <= near < far", (self.near, self.far))
