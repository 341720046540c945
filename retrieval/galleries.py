"""What every gallery of posed views offers, and how a saved one is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from retrieval.registry import RETRIEVALS
from retrieval.settings import RetrievalConfig
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint, load_tensors
from utils.errors import InputError
from utils.rendering import RenderFn
from utils.run_context import RunContext
from utils.views import Views


class Gallery(Protocol):
    """Posed views of one object, by which the coarse poses of a query are found."""

    @property
    def camera_to_world(self) -> Tensor:
        """Poses of the views: (views, 4, 4) float32."""

    def retrieve(self, query: Tensor, intrinsics: Intrinsics, top_k: int) -> Tensor:
        """Find coarse poses of a query, best first, each from another side.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1].
            intrinsics: the query's camera.
            top_k: coarse poses at most.
        Returns:
            (at most top_k, 4, 4) camera_to_world, float32, on the query's device; at least one.
        """

    def save(self, path: Path) -> None:
        """Write the gallery to a ``.safetensors`` file whose header has the method's name under "kind"."""


@runtime_checkable
class ExtensibleGallery(Protocol):
    """A gallery to which views can be added."""

    def extended(self, views: Views) -> Gallery:
        """Return the gallery with more posed views."""


class RetrievalMethod(Protocol):
    """A way to find coarse poses, constructed from its groups of settings."""

    name: ClassVar[str]
    weights: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]]

    def build(self, views: Views, render_fn: RenderFn, context: RunContext) -> Gallery:
        """Build the gallery of an object.

        Args:
            views: posed good images, at least one.
            render_fn: renders the object.
        Raises:
            InputError: where the method's weights cannot be had.
        """

    def load(self, tensors: dict[str, Tensor], header: dict[str, Any], context: RunContext) -> Gallery:
        """Load the gallery that ``save`` wrote as ``tensors`` and ``header``."""


def load_gallery(path: Path, config: RetrievalConfig, context: RunContext) -> Gallery:
    """Load a gallery, whichever method built it.

    Raises:
        InputError: where the file holds something else, or was made with other weights than those found now.
    """
    tensors, header = load_tensors(path)
    with as_checkpoint(path):
        kind = header["kind"]
        if kind not in RETRIEVALS.names:
            raise InputError(f"{path} holds {kind!r}, expected a gallery; delete it, or train with --overwrite.")
        method: RetrievalMethod = RETRIEVALS.find(kind)(config)
        return method.load(tensors, header, context)


def check_views(views: Views) -> None:
    """Raise a ValueError where there are no views."""
    if len(views) == 0:
        raise ValueError("a gallery needs at least one view, found none.")
