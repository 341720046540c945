"""OmniposeAD as two of the benchmark's methods: as this program has it, and as the paper has it."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines.protocol import Method
from inerf.settings import InerfConfig, RefineConfig
from nerf.fields import load_any_field
from nerf.settings import FieldConfig, NerfConfig
from pipeline.config import ROOT, Config, read_config
from pipeline.held_out import held_out_pairs
from pipeline.methods import field_method, networks_of, retrieval_method, score_method
from pipeline.model import ReferenceModel
from retrieval.galleries import load_gallery
from retrieval.settings import RetrievalConfig
from scoring.scorers import compare_seen
from scoring.settings import ScoreConfig
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint
from utils.config import build, groups_of, values_of
from utils.exposure import rendered_pairs
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views

FIELD_FILE, GALLERY_FILE, UNFINISHED = "field.safetensors", "gallery.safetensors", "unfinished.safetensors"
PAPER = ROOT / "configs" / "paper.txt"
FAST_PAPER = {  # what the paper's path takes on two cores in minutes
    "netdepth": 4,
    "netwidth": 64,
    "netdepth_fine": 4,
    "netwidth_fine": 64,
    "N_samples": 32,
    "N_importance": 32,
    "N_rand": 512,
    "N_iters": 600,
    "nerf_lrate": 0.002,
    "retrieval_loftr_size": 96,
    "batch_size": 256,
    "inerf_steps": 20,
}


@dataclass(frozen=True)
class OmniposeADConfig:
    """The settings of the program that the method depends on, by the keys of the config files."""

    field_from: str = ""  # model folder of another run whose field is used in place of training one
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    nerf: NerfConfig = dataclasses.field(default_factory=NerfConfig)
    retrieval: RetrievalConfig = dataclasses.field(default_factory=RetrievalConfig)
    refine: RefineConfig = dataclasses.field(default_factory=RefineConfig)
    inerf: InerfConfig = dataclasses.field(default_factory=InerfConfig)
    score: ScoreConfig = dataclasses.field(default_factory=ScoreConfig)

    def program(self, context: RunContext) -> Config:
        """Return the program's settings with these groups, and with the benchmark's seed and weights."""
        weights = context.weights
        return Config(
            seed=context.seed,
            quiet=context.progress.quiet,
            weights_dir=weights.folder,
            backbone=weights.backbone,
            efficientnet_weights=weights.efficientnet,
            **{group: getattr(self, group) for group in groups_of(OmniposeADConfig)},
        )


class OmniposeAD(Method[OmniposeADConfig]):
    """Field → gallery; then for each image: retrieve → refine → render → compare, as in ``Model.detect_image``."""

    name = "OmniposeAD"
    config_type = OmniposeADConfig

    def __init__(self, config: OmniposeADConfig, context: RunContext) -> None:
        super().__init__(config, context)
        self.program = config.program(context)

    @property
    def weights(self) -> tuple[str, ...]:
        """Return the names of the weights that the chosen retrieval and score need."""
        return tuple(networks_of(self.program))

    def fit(self, views: Views) -> None:
        """Train the field, or load that of ``field_from``, and build the gallery."""
        unfinished = self.context.folder / UNFINISHED if self.context.folder else None
        self.comparison = score_method(self.program).make(self.context)  # missing weights are reported before any work
        if self.config.field_from:
            field = self.load_field(Path(self.config.field_from))
        else:
            field = field_method(self.program).train(views, self.context, unfinished)
        gallery = retrieval_method(self.program).build(views, field.render, self.context)
        self.model = ReferenceModel(self.program, views.intrinsics, self.context, field, gallery)

    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Compare an image with the reference at its pose; random choices are seeded by the image."""
        query = self.model.condition(image)
        name = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=8).hexdigest()
        found = self.model.locate(query, name)
        best = self.model.explain(query, found, self.comparison)
        self.pose, self.pose_found = best.camera_to_world.cpu(), found.found
        return best.anomaly_map.cpu(), best.anomaly_score

    def score_held_out(self, held_out: Views) -> list[float]:
        """Learn from held-out views what residuals to expect, and score them as ``train_object`` does."""
        self.model = replace(self.model, field=self.model.field.calibrate(rendered_pairs(self.model.field, held_out)))
        return [
            compare_seen(self.comparison, pair.query, pair.reference)[1]
            for pair in held_out_pairs(held_out, self.model)
        ]

    def tensors(self) -> dict[str, Tensor]:
        """Return the camera; field and gallery have files of their own."""
        return {"intrinsics": torch.tensor(list(asdict(self.model.intrinsics).values()), dtype=torch.float64)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the camera."""
        width, height, *lens = tensors["intrinsics"].tolist()
        self.intrinsics = Intrinsics(int(width), int(height), *lens)

    def save(self, folder: Path) -> None:
        """Save field, gallery and camera; a field of another run stays there."""
        if not self.config.field_from:
            self.model.field.save(folder / FIELD_FILE)
        self.model.gallery.save(folder / GALLERY_FILE)
        super().save(folder)

    def load(self, folder: Path) -> None:
        """Load what ``save`` wrote."""
        super().load(folder)
        field = self.load_field(Path(self.config.field_from or folder))
        with as_checkpoint(folder / GALLERY_FILE):
            gallery = load_gallery(folder / GALLERY_FILE, self.program.retrieval, self.context)
        self.comparison = score_method(self.program).make(self.context)
        self.model = ReferenceModel(self.program, self.intrinsics, self.context, field, gallery)

    def load_field(self, folder: Path) -> Field:
        """Load the field in a model folder."""
        with as_checkpoint(folder / FIELD_FILE):
            return load_any_field(folder / FIELD_FILE, self.context.device)


class OmniposeADPaper(OmniposeAD):
    """NeRF, LoFTR, iNeRF and EfficientNet-B4 features: ``configs/paper.txt``, but for the benchmark's own settings."""

    name = "OmniposeAD-paper"

    @classmethod
    def preset(cls, fast: bool) -> OmniposeADConfig:
        """Return the paper's settings, or those that take minutes on two cores."""
        paper = read_config(PAPER)
        settings = OmniposeADConfig(**{group: getattr(paper, group) for group in groups_of(OmniposeADConfig)})
        more: dict[str, Any] = FAST_PAPER if fast else {}
        return build(OmniposeADConfig, {**values_of(settings), **more})


class OmniposeADPaperScore(OmniposeAD):
    """This program's field, retrieval and pose refinement with the paper's comparison."""

    name = "OmniposeAD-paper-score"

    @classmethod
    def preset(cls, fast: bool) -> OmniposeADConfig:
        """Return the default settings with the paper's score."""
        return build(OmniposeADConfig, {**values_of(super().preset(fast)), "score": "paper"})
