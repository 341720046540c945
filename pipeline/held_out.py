"""Views that judge fields which were not trained on them.

Of many views some are held out of training, and judge the one field there is. Few views are all trained on; then each
is held out once of a field that is trained for nothing else (cross-validation), and those fields stand for it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor

from pipeline.cameras import CameraRounds
from pipeline.config import Config
from pipeline.methods import field_method, retrieval_method
from pipeline.reference_model import ReferenceModel
from utils.errors import InputError
from utils.exposure import rendered_pairs
from utils.rendering import Field, Rendering
from utils.run_context import RunContext
from utils.views import Views, split_folds

FARTHER = 3  # nearest training views that references of the calibration do without


class Judged(NamedTuple):
    """A field, the views that it was trained on, and views that it was not."""

    field: Field
    train: Views
    held_out: Views


class HeldOutPair(NamedTuple):
    """A held-out view with its reference."""

    query: Tensor  # (height, width, 3) float32 RGB in [0, 1]
    reference: Rendering  # the anomaly-free object at that pose
    camera_to_world: Tensor  # (4, 4), as it was found
    name: str  # of the view


@dataclass(frozen=True)
class GoodView:
    """A photo of a good specimen at its pose, which training has not seen."""

    image: Tensor  # (height, width, 3) float32 RGB in [0, 1]
    camera_to_world: Tensor  # (4, 4)
    name: str
    without: int  # nearest training views that its reference does without
    rendering: Rendering | None = None  # of the field at the pose, where it is known

    def pair(self, model: ReferenceModel) -> HeldOutPair:
        """Return it with its reference."""
        query = model.condition(self.image)
        reference = model.reference(query, self.camera_to_world, self.rendering, self.without)
        return HeldOutPair(query, reference, self.camera_to_world, self.name)


@dataclass
class HeldOut:
    """The held-out views of a training."""

    views: Views  # all there are, with the cameras as given
    config: Config
    context: RunContext
    rounds: CameraRounds
    _judged: list[Judged] = field(default_factory=list)
    _pairs: list[HeldOutPair] = field(default_factory=list)

    @property
    def folds(self) -> list[tuple[list[int], list[int]]]:
        """Return the indices of the views of each fold: trained on, held out."""
        return split_folds(len(self.views), self.config.val_every)

    @property
    def crossed(self) -> bool:
        """Whether there are so few views that each is held out once."""
        return len(self.folds) > 1

    @property
    def train(self) -> Views:
        """Return the views that the field is trained on, with the cameras as given."""
        return self.views if self.crossed else self.views.subset(self.folds[0][0])

    def judged(self, trained: Field) -> list[Judged]:
        """Return the fields that are judged: the ``trained`` one, or those of the cross-validation."""
        if not self.crossed:
            held_out = self.views.subset(self.folds[0][1])
            return [Judged(trained, self.rounds.refined(self.train), self.rounds.held_out(held_out, trained))]
        if not self._judged:
            self.context.progress.info(f"Each of the {len(self.views)} views is held out once.")
            views = self.rounds.refined(self.views)
            for chosen, others in self.folds:
                train = views.subset(chosen)
                made = field_method(self.config).train(train, self.context, None)
                self._judged.append(Judged(made, train, views.subset(others)))
        return self._judged

    def renderings(self, trained: Field) -> list[tuple[Rendering, Tensor]]:
        """Pair the held-out views (height, width, 3) with what fields show at their poses, exposed alike."""
        return [pair for each in self.judged(trained) for pair in rendered_pairs(each.field, each.held_out)]

    def references(self, model: ReferenceModel) -> list[HeldOutPair]:
        """Pair the held-out views with their references, at poses that are searched as for a query; this once only.

        Args:
            model: the trained one.
        """
        if not self._pairs:
            self._pairs += self._make_pairs(model)
        return self._pairs

    def _make_pairs(self, model: ReferenceModel) -> list[HeldOutPair]:
        if not self.crossed:
            return held_out_pairs(self.views.subset(self.folds[0][1]), model)
        expected = self.renderings(model.field)
        pairs: list[HeldOutPair] = []
        for made, train, held_out in self.judged(model.field):
            knowing = made.calibrate(expected)
            gallery = retrieval_method(self.config).build(train, knowing.render, self.context)
            pairs += crossed_pairs(held_out, replace(model, field=knowing, gallery=gallery))
        return pairs


def held_out_pairs(held_out: Views, model: ReferenceModel) -> list[HeldOutPair]:
    """Pair held-out views with their references, at poses that are searched as for a query.

    Held-out views lie where views do, queries may be farther from all of them: the references are made without the
    ``FARTHER`` nearest views.

    Raises:
        InputError: where fewer than half of the poses are found.
    """
    pairs = []
    for index in model.context.progress.track(range(len(held_out)), "calibrate"):
        query = model.condition(held_out.image(index))
        refinement = model.locate(query, f"view {index}")
        if refinement.found or model.config.allow_bad_field:
            pose, rendering = refinement.camera_to_world, refinement.rendering
            reference = model.reference(query, pose, rendering, FARTHER)
            pairs.append(HeldOutPair(query, reference, pose, held_out.names[index]))
    if 2 * len(pairs) < len(held_out):
        raise InputError(
            f"Poses were found for only {len(pairs)} of {len(held_out)} held-out good views of "
            f"{model.config.object_name}, too few to calibrate; check the poses of the views, or add views."
        )
    return pairs


def crossed_pairs(held_out: Views, model: ReferenceModel) -> list[HeldOutPair]:
    """Pair views of a cross-validation with their references; where no pose is found, at the pose that was given.

    Few views are far from one another, and farther from a field that does without some of them than queries will be.
    """
    pairs = []
    for index in range(len(held_out)):
        query = model.condition(held_out.image(index))
        refinement = model.locate(query, held_out.names[index])
        pose, rendering = refinement.camera_to_world, refinement.rendering
        if not refinement.found:
            pose, rendering = held_out.camera_to_world[index], None
            print(f"warning: the other views do not show where {held_out.names[index]} was taken.", file=sys.stderr)
        reference = model.reference(query, pose, rendering)
        pairs.append(HeldOutPair(query, reference, pose, held_out.names[index]))
    return pairs
