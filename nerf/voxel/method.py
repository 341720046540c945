"""The voxel field as a method that the settings can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from nerf.settings import FieldConfig
from nerf.voxel.extension import extend_voxel_field
from nerf.voxel.field import VoxelField, load_voxel_field
from nerf.voxel.train import train_voxel_field
from utils.errors import InputError
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views


@dataclass(frozen=True)
class VoxelMethod:
    """Sparse voxels that start from the visual hull of the silhouettes."""

    config: FieldConfig

    name: ClassVar[str] = "voxel"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("field",)

    def train(self, views: Views, context: RunContext, unfinished: Path | None) -> Field:
        """Train a field on ``views``, resuming from ``unfinished`` where an interrupted training left it."""
        return train_voxel_field(views, self.config, context, unfinished)

    def extend(self, field: Field, views: Views, context: RunContext, new_surface: bool = True) -> Field:
        """Return a field that also knows ``views``; see ``ExtensibleMethod.extend``."""
        if not isinstance(field, VoxelField) or field.residual_views is None:
            raise InputError(
                "Photos can be added to a voxel field with residual views only; train without field_residual_views = 0."
            )
        return extend_voxel_field(field, views, self.config, context, new_surface)

    def same_reference(self, before: Field, after: Field, camera_to_world: Tensor, without: int) -> bool:
        """Return whether an extension left a reference as it was; see ``ExtensibleMethod.same_reference``."""
        assert isinstance(before, VoxelField) and isinstance(after, VoxelField)
        old, new = before.residual_views, after.residual_views
        if old is None or new is None or before.table is not after.table or old.expectation != new.expectation:
            return False
        pose = camera_to_world.to(old.camera_to_world)
        return torch.equal(old.choose(pose, without=without)[0], new.choose(pose, without=without)[0])

    @staticmethod
    def load(path: Path, device: torch.device | str) -> Field:
        """Load what the field's ``save`` wrote."""
        return load_voxel_field(path, device)
