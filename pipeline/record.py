"""``training.json``: which steps of training are done, for which data and settings, and what they gave."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import RUN_KEYS, Config
from pipeline.methods import methods_of
from utils.camera import Intrinsics
from utils.checkpoint import write_text
from utils.config import options_of, values_of
from utils.errors import InputError
from utils.weights import LITE0_NAME

FILE = "training.json"
VERSION = 7  # raise it when a step's result changes for the same data and settings

# What the choice of the training views depends on, by view_split.
VIEW_KEYS = {
    "all": ("view_split",),
    "uniform": ("view_split", "view_fraction"),
    "published": ("view_split", "view_fraction"),
    "few_shot": ("view_split", "few_shot_views"),
}

STEP_FILES = {step: f"{step}.safetensors" for step in ("field", "gallery", "calibration", "parts")}


@dataclass
class TrainingRecord:
    """The content of ``training.json``."""

    steps: dict[str, str] = field(default_factory=dict)  # fingerprint of each step that is done
    data: str = ""  # hash of poses and views
    views: int = 0
    intrinsics: dict[str, float] = field(default_factory=dict)
    photo_camera: dict[str, Any] | None = None  # the lens of the photos that the views were made of, where it is known
    trained_views: int = 0  # of these, those that the field was trained on
    surface_seen: tuple[float, float] | None = (
        None  # shares of the surface that one view showed, and two; see coverage.py
    )
    psnr: float | None = None  # dB, whole frame, mean over the held-out views
    psnr_by_view: list[float] = field(default_factory=list)  # dB, of these
    blank_psnr: float | None = None  # dB, the same of an image that shows the bare background
    seconds: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    held_out_poses: dict[str, list[list[float]]] = field(default_factory=dict)  # by view, as they were found
    learned: int = 0  # number of the change that was learned last, see history.py; 0 as trained
    files: dict[str, str] = field(default_factory=dict)  # of the steps that learning made again: where, in the folder
    photos: list[dict[str, Any]] = field(default_factory=list)  # added ones: name, transform_matrix

    @staticmethod
    def read(folder: Path) -> TrainingRecord:
        """Read the record of a checkpoint folder; an empty one where nothing is done yet."""
        path = folder / FILE
        if not path.is_file():
            return TrainingRecord()
        try:
            return TrainingRecord(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path} is not a whole record of training ({error}); delete it and train again."
            ) from None

    def write(self, folder: Path) -> None:
        """Write the record atomically."""
        write_text(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")

    def camera(self) -> Intrinsics:
        """Return the camera of the views."""
        numbers = self.intrinsics
        return Intrinsics(int(numbers["width"]), int(numbers["height"]), *list(numbers.values())[2:])

    def file(self, step: str, folder: Path) -> Path:
        """Return the file of a step's result."""
        return folder / self.files.get(step, STEP_FILES[step])

    def done(self, step: str, fingerprint: str, folder: Path) -> bool:
        """Return whether a step's file is there and was made with this fingerprint."""
        return self.steps.get(step) == fingerprint and self.file(step, folder).is_file()


def step_fingerprints(config: Config, data: str) -> dict[str, str]:
    """Return for each step a hash of all that its result depends on.

    Args:
        config: the settings.
        data: hash of the views.
    """
    before, prints = f"{VERSION} {data}", {}
    for step, settings in step_settings(config).items():
        before = hash_of([before, step, settings])
        prints[step] = before
    return prints


def step_settings(config: Config) -> dict[str, dict[str, Any]]:
    """Return for each step the settings that its result depends on, besides those of the steps before it."""
    keys = {step: set[str]() for step in STEP_FILES}
    keys["field"] = {
        "image_size",
        "background",
        "val_every",
        "refine_poses",
        "seed",
        *VIEW_KEYS[config.robustness.view_split],
    }
    values, found = values_of(config), {}
    for step in STEP_FILES:
        groups = set[str]()
        for kind, method in methods_of(config, step):
            keys[step].add(kind)
            groups.update(method.settings)
            if set(method.weights) - {LITE0_NAME}:
                keys[step].update(("backbone", "efficientnet_weights"))
        chosen = [option for option in options_of(Config) if option.group in groups or option.key in keys[step]]
        found[step] = {option.key: values[option.key] for option in chosen if option.key not in RUN_KEYS}
    return found


def hash_of(content: Any) -> str:
    """Hash anything that JSON can write."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def check_trained(config: Config, trained: Config, record: TrainingRecord) -> None:
    """Raise an InputError where training is not finished, or was done with other settings."""
    if record.steps != step_fingerprints(trained, record.data):
        raise InputError(
            f"The training of {config.object_name} in {config.checkpoint_dir} is not finished, or of another version "
            f"of the program; run anomaly_nerf_lego.py --obj {config.object_name}."
        )
    now, then = (
        {key: value for settings in step_settings(one).values() for key, value in settings.items()}
        for one in (config, trained)
    )
    for key in [key for key in now if key != "seed"]:
        if now[key] != then.get(key, now[key]):
            raise InputError(
                f"{config.object_name} was trained with {key} = {then[key]}, found {now[key]}; leave it out, or run "
                f"anomaly_nerf_lego.py with it first."
            )
