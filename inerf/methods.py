"""The ways to refine a pose: Gauss-Newton steps between renderings, or the paper's iNeRF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from inerf.adam import descend_poses
from inerf.judge import Refinement
from inerf.refine import refine_pose
from inerf.settings import InerfConfig, RefineConfig
from utils.camera import Intrinsics
from utils.rendering import Renderer
from utils.run_context import RunContext


class RefinementMethod(Protocol):
    """A way to refine coarse poses, constructed from its groups of settings."""

    name: ClassVar[str]
    weights: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]]

    def refine(
        self,
        query: Tensor,
        name: str,
        coarse_poses: Tensor,
        intrinsics: Intrinsics,
        renderer: Renderer,
        context: RunContext,
    ) -> Refinement:
        """Find the pose from which the object explains the query best.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1], on the plain background that ``renderer`` draws.
            name: of the query; with ``context.seed`` it fixes every random choice.
            coarse_poses: (hypotheses, 4, 4) camera_to_world.
            intrinsics: camera of the query.
            renderer: renders the object, on the query's device.
        Raises:
            ValueError: where query, intrinsics and coarse poses do not fit together.
        """


@dataclass(frozen=True)
class GaussNewton:
    """Damped Gauss-Newton steps between renderings, coarse to fine, from several coarse poses."""

    config: RefineConfig

    name: ClassVar[str] = "gauss_newton"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("refine",)

    def refine(
        self,
        query: Tensor,
        name: str,
        coarse_poses: Tensor,
        intrinsics: Intrinsics,
        renderer: Renderer,
        context: RunContext,
    ) -> Refinement:
        """Refine the coarse poses; nothing in it is random."""
        return refine_pose(query, coarse_poses, intrinsics, renderer.render, self.config)


@dataclass(frozen=True)
class Adam:
    """iNeRF: Adam on the twist of the pose, through the field."""

    config: RefineConfig
    inerf: InerfConfig

    name: ClassVar[str] = "adam"
    weights: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("refine", "inerf")

    def refine(
        self,
        query: Tensor,
        name: str,
        coarse_poses: Tensor,
        intrinsics: Intrinsics,
        renderer: Renderer,
        context: RunContext,
    ) -> Refinement:
        """Descend from each coarse pose; the pose of the lowest loss wins."""
        return descend_poses(query, name, coarse_poses, intrinsics, renderer, self.inerf, self.config, context)
