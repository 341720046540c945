"""What every radiance field offers, and how a saved one is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from nerf.registry import FIELDS
from utils.checkpoint import load_metadata
from utils.errors import InputError
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views


class FieldMethod(Protocol):
    """A way to make a radiance field, constructed from its groups of settings."""

    name: ClassVar[str]  # as the registry has it, and as the header of a saved field says under "kind"
    weights: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]]

    def train(self, views: Views, context: RunContext, unfinished: Path | None) -> Field:
        """Train a field on posed views.

        Args:
            unfinished: where an interrupted training leaves its state, and resumes from; None keeps none.
        """

    @staticmethod
    def load(path: Path, device: torch.device | str) -> Field:
        """Load what the field's ``save`` wrote."""


@runtime_checkable
class ExtensibleMethod(Protocol):
    """A way to make a field that can also learn from more views later."""

    def extend(self, field: Field, views: Views, context: RunContext, new_surface: bool = True) -> Field:
        """Return a trained field that also knows added views, in a fraction of its training's time.

        Args:
            views: added ones, with their poses; not empty.
            new_surface: whether they show surface that no view showed; else the field itself stays, and they correct
                renderings from near them.
        Raises:
            InputError: where the field was trained with settings that do not allow it.
        """

    def same_reference(self, before: Field, after: Field, camera_to_world: Tensor, without: int) -> bool:
        """Return whether ``render_reference`` gives the same as before a field was extended, without rendering it.

        Only how many views show a surface that some showed before may have changed.

        Args:
            before, after: the field that was extended, and what came of it.
            camera_to_world: (4, 4) from where it is rendered.
            without: as for ``render_reference``.
        """


def load_any_field(path: Path, device: torch.device | str = "cpu") -> Field:
    """Load a field, whichever method trained it.

    Raises:
        FileNotFoundError: where there is no file.
        InputError: where it holds no field.
    """
    kind = (load_metadata(path) or {}).get("kind", FIELDS.names[0])  # without a header its reader says what is wrong
    if kind not in FIELDS.names:
        raise InputError(f"{path} holds {kind!r}, expected a field ({' or '.join(FIELDS.names)}); train again.")
    method: type[FieldMethod] = FIELDS.find(kind)
    return method.load(path, device)
