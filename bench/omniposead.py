"""OmniposeAD as two of the benchmark's methods: as this program has it, and as the paper has it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from baselines.protocol import Method
from nerf.fields import load_any_field
from pipeline.config import Config, known_keys
from pipeline.methods import field_method, networks_of, retrieval_method, score_method
from pipeline.model import ReferenceModel
from retrieval.galleries import load_gallery
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint
from utils.config import build, read_value
from utils.errors import InputError, nearest
from utils.run_context import RunContext
from utils.views import Views

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
        return tuple(networks_of(self.program))

    def fit(self, views: Views) -> None:
        """Train the field and build the gallery."""
        unfinished = self.context.folder / UNFINISHED if self.context.folder else None
        self.comparison = score_method(self.program).make(self.context)  # missing weights are reported before any work
        field = field_method(self.program).train(views, self.context, unfinished)
        gallery = retrieval_method(self.program).build(views, field.render, self.context)
        self.model = ReferenceModel(self.program, views.intrinsics, self.context.device, field, gallery)

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
            field = load_any_field(folder / FIELD_FILE, device)
        with as_checkpoint(folder / GALLERY_FILE):
            gallery = load_gallery(folder / GALLERY_FILE, self.program.retrieval, self.context)
        self.comparison = score_method(self.program).make(self.context)
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
        build(Config, values),
        seed=context.seed,
        quiet=context.progress.quiet,
        weights_dir=weights.folder,
        random_weights=weights.random,
        efficientnet_weights=weights.efficientnet,
    )
