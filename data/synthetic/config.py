"""Settings of the generator and its toys. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from data.mad_facts import DEFECTS
from utils.config import require
from utils.errors import InputError, nearest

TRAIN, GOOD = "train", "good"
ALL_TOYS = "all"
RECORD_NAME = "synthetic.json"  # in an object's folder: what it was made with
TOYS_FOLDER = Path(__file__).parent / "toys"
MODEL_SUFFIXES = (".ldr", ".mpd", ".dat")
# MAD-Sim's numbers for each of its twenty classes: 210 views, 27 good test images and some 230 defective ones.
MAD_20: dict[str, Any] = {"views": 210, "good": 27, "queries": 77}


@dataclass(frozen=True)
class ToyConfig:
    """What decides every byte of a set of images."""

    toy: str = ""  # name of a toy, or "all"
    views: int = 210  # training views, 1 to 210
    queries: int = 24  # test images of each defect type
    good: int | None = None  # good test images; none: as many as of each defect type
    image_size: int = 400  # pixels a side; MAD-Sim has 800
    seed: int = 0  # of viewpoints, defects, lights and image noise
    gloss: Literal["mild", "glaring", "none"] = "mild"  # how the plastic reflects
    light: Literal["same", "changed"] = "same"  # on the test images
    background: Path | None = None  # image, or folder of images, behind the toy; none: white
    ldraw: Path | None = None  # folder of an LDraw library, whose parts and colours are used; none: the built-in ones

    def __post_init__(self) -> None:
        for name, least, most in (("views", 1, 210), ("queries", 0, 10_000), ("good", 0, 10_000)):
            value = getattr(self, name)
            require(value is None or least <= value <= most, name, f"{least} to {most}", value)
        require(16 <= self.image_size <= 4096, "image_size", "16 to 4096", self.image_size)
        require(0 <= self.seed <= 2**31, "seed", "0 to 2^31", self.seed)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of images of each kind, in order."""
        good = self.queries if self.good is None else self.good
        return {TRAIN: self.views, GOOD: good, **dict.fromkeys(DEFECTS, self.queries)}


@dataclass(frozen=True)
class SpecimenConfig:
    """How many specimens a set has, each photographed from several sides."""

    specimens: int = 0  # good specimens, and as many of each defect type
    specimen_photos: int = 8  # of each specimen

    def __post_init__(self) -> None:
        require(0 <= self.specimens <= 10_000, "specimens", "0 to 10000", self.specimens)
        require(1 <= self.specimen_photos <= 1000, "specimen_photos", "1 to 1000", self.specimen_photos)


@dataclass(frozen=True)
class ImageSpec:
    """One image of a set."""

    kind: str  # train, good, or a defect type
    number: int

    @property
    def name(self) -> str:
        """Return a name such as ``Burrs/0``."""
        return f"{self.kind}/{self.number}"

    @property
    def place(self) -> str:
        """Return the path of the image within the object's folder."""
        return f"{'train/good' if self.kind == TRAIN else f'test/{self.kind}'}/{self.number}.png"

    def files(self, folder: Path, has_background: bool) -> list[Path]:
        """Return the paths of the image, of its defect mask, and of its foreground mask where it has a background."""
        found = [folder / self.place]
        if self.kind in DEFECTS:
            found.append(folder / "ground_truth" / self.kind / f"{self.number}_mask.png")
        return [*found, folder / "masks" / self.place] if has_background else found


@dataclass(frozen=True)
class DatasetJob:
    """A set of images and the folder of its object."""

    config: ToyConfig
    folder: Path

    @property
    def images(self) -> list[ImageSpec]:
        """Return all images of the set."""
        return [ImageSpec(kind, number) for kind, count in self.config.counts.items() for number in range(count)]


def toy_names() -> list[str]:
    """List the names of the toys that come with the program."""
    return sorted(path.stem for path in TOYS_FOLDER.glob("*.ldr"))


def toy_path(name: str) -> Path:
    """Return the model of a toy: one that comes with the program, or a path that ends in .ldr, .mpd or .dat."""
    path = Path(name) if name.lower().endswith(MODEL_SUFFIXES) else TOYS_FOLDER / f"{name}.ldr"
    if not path.is_file():
        hint = nearest(name, toy_names()) or f"; there are {', '.join(toy_names())}."
        raise InputError(f"There is no toy {name!r}{hint}")
    return path


def toy_jobs(config: ToyConfig, model: Path | None, preset: str | None, out: Path | None) -> list[DatasetJob]:
    """Return the sets that a command line asks for.

    Args:
        config: of the set; its toy may be "all".
        model: LDraw model, instead of a toy.
        preset: "mad-20", instead of a toy.
        out: the object's folder, or the folder of the objects' folders for several toys.
    Raises:
        InputError: where not exactly one of toy, model and preset is given, or no folder.
    """
    given = [name for name, value in (("--toy", config.toy), ("--model", model), ("--preset", preset)) if value]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise InputError(f"One of --list, --toy, --model and --preset is needed, found {found}.")
    if out is None:
        raise InputError("--out must name the folder to write to; python -m data generate --help lists the options.")
    if preset is not None:
        config = replace(config, **MAD_20)
    if preset is not None or config.toy == ALL_TOYS:
        return [DatasetJob(replace(config, toy=name), out / name) for name in toy_names()]
    return [DatasetJob(replace(config, toy=str(model)) if model is not None else config, out)]
