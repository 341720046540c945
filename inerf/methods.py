"""What every method of pose refinement offers."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor

from inerf.judge import Refinement
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
