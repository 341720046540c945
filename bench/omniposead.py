"""OmniposeAD as two of the benchmark's methods: as this program has it, and as the paper has it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from baselines.protocol import Method
from nerf import fields
from pipeline.model import ReferenceModel
from retrieval import galleries
from scoring.scorers import comparison_of
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint
from utils.config import Config
from utils.errors import InputError, nearest
from utils.options import build, known_keys, read_value
from utils.run_context import RunContext
from utils.views import Views
from utils.weights import needed

FIELD_FILE, GALLERY_FILE, UNFINISHED = "field.safetensors", "gallery.safetensors", "unfinished.safetensors"


@dataclass(frozen=True)
class OmniposeADConfig:
    """OmniposeAD's settings."""

    settings: str = ""  # settings of the program that differ from its defaults: "key = value; key = value"


class OmniposeAD(Method[OmniposeADConfig]):
    """Field → gallery; then each picture: retrieve → refine → render → compare, as in ``Model.detect_image``."""

    name = "OmniposeAD"
    config_type = OmniposeADConfig

    def __init__(self, config: OmniposeADConfig, context: RunContext) -> None:
        super().__init__(config, context)
        self.program = program_settings(config.settings, context)

    @property
    def weights(self) -> tuple[str, ...]:
        """Return the names of the weights that the chosen retrieval and score need."""
        return tuple(needed(replace(self.program, random_weights=False)))

    def fit(self, views: Views) -> None:
        """Train the field and build the gallery."""
        device, folder, progress = self.context.device, self.context.folder, self.context.progress
        unfinished = folder / UNFINISHED if folder else None
        self.comparison = comparison_of(self.program, device)  # missing weights are told before any work
        field = fields.train(views, self.program, device, unfinished, progress)
        gallery = galleries.build(views, field.render, self.program, device, progress)
        self.model = ReferenceModel(self.program, views.intrinsics, device, field, gallery)

    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The verdict on a picture at the pose that was found for it; what is random is seeded by the picture."""
        query = self.model.condition(image)
        name = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=8).hexdigest()
        reference = self.model.reference(query, self.model.locate(query, name).camera_to_world)
        anomaly_map, anomaly_score = self.comparison.compare(query, reference)
        return anomaly_map.cpu(), anomaly_score

    def tensors(self) -> dict[str, Tensor]:
        """The camera; field and gallery have files of their own."""
        return {"intrinsics": torch.tensor(list(asdict(self.model.intrinsics).values()), dtype=torch.float64)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over the camera."""
        width, height, *lens = tensors["intrinsics"].tolist()
        self.intrinsics = Intrinsics(int(width), int(height), *lens)

    def save(self, folder: Path) -> None:
        """Write field, gallery and camera."""
        self.model.field.save(folder / FIELD_FILE)
        self.model.gallery.save(folder / GALLERY_FILE)
        super().save(folder)

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote."""
        super().load(folder)
        device = self.context.device
        with as_checkpoint(folder / FIELD_FILE):
            field = fields.load(folder / FIELD_FILE, device)
        with as_checkpoint(folder / GALLERY_FILE):
            gallery = galleries.load(folder / GALLERY_FILE, self.program, device)
        self.comparison = comparison_of(self.program, device)
        self.model = ReferenceModel(self.program, self.intrinsics, device, field, gallery)


@dataclass(frozen=True)
class OmniposeADPaperConfig(OmniposeADConfig):
    """The settings of ``configs/paper.txt``, but for what only the two scripts need."""

    settings: str = (
        "field = mlp; retrieval = loftr; retrieval_hypotheses = 1; refine = adam; score = paper; near = 2; far = 6"
    )


class OmniposeADPaper(OmniposeAD):
    """NeRF, LoFTR, iNeRF and EfficientNet-B4 features."""

    name = "OmniposeAD-paper"
    config_type = OmniposeADPaperConfig
    fast_config = OmniposeADPaperConfig(
        "field = mlp; retrieval = loftr; retrieval_hypotheses = 1; refine = adam; score = paper; netdepth = 4; "
        "netwidth = 64; netdepth_fine = 4; netwidth_fine = 64; N_samples = 32; N_importance = 32; N_rand = 512; "
        "N_iters = 600; nerf_lrate = 0.002; retrieval_loftr_size = 96; batch_size = 256; inerf_steps = 20"
    )


def program_settings(text: str, context: RunContext) -> Config:
    """The program's settings with those of ``text``, and with the benchmark's seed, device and weights.

    Raises:
        InputError: where a key is unknown or a value is not of its type.
    """
    keys, values = known_keys(), {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in keys:
            raise InputError(f"OmniposeAD has no setting {name!r}{nearest(name, keys) or '.'} See configs/README.md.")
        values[keys[name].key] = read_value(value, keys[name])
    weights = context.weights
    return replace(
        build(values),
        seed=context.seed,
        quiet=context.progress.quiet,
        weights_dir=weights.folder,
        random_weights=weights.random,
        efficientnet_weights=weights.efficientnet,
    )
