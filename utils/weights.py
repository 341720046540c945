"""Pretrained weights: which files there are, where they come from, and how they get into a network.

A file is looked for in ``weights_dir``, then in torch's own cache, then in the program's; only then is it fetched.
Nothing takes the place of a file that is missing, unless ``random_weights`` asks for it.
"""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from utils.config import Config
from utils.download import digest, download, mismatch
from utils.errors import InputError
from utils.progress import Progress

RANDOM = "random"  # the fingerprint of random weights
_GAIN = 0.9  # of random weights, beside those that would let every layer's signal through at its strength


@dataclass(frozen=True)
class WeightFile:
    """One file of pretrained weights."""

    name: str  # what the program calls it
    file_name: str  # what it is called on disk
    sources: tuple[str, ...]  # addresses of this very file, tried in turn
    sha256: str  # its digest, or the first digits of it; empty where unknown
    size: int | None  # bytes; None where unknown
    licence: str
    purpose: str
    by_hand: str  # how to come by it without a download
    also_named: str = ""  # another name under which the same file is passed around


_TORCH = "https://download.pytorch.org/models/"
_KORNIA = ("https://huggingface.co/kornia/loftr/resolve/main/", "https://cmp.felk.cvut.cz/~mishkdmy/models/")

FILES = {
    file.name: file
    for file in (
        WeightFile(
            name="efficientnet_b4",
            file_name="efficientnet-b4-6ed6700e.pth",
            sources=(
                "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b4-6ed6700e.pth",
            ),
            sha256="6ed6700e361e3878dc53f285f3df4abf9f39f6da23545cac065b7dc9467a8959",
            size=None,
            licence="Apache-2.0",
            purpose="EfficientNet-B4 of the paper's code, ImageNet: score = paper, retrieval = efficientnet_b4",
            by_hand="release 1.0 of github.com/lukemelas/EfficientNet-PyTorch has it",
        ),
        WeightFile(
            name="efficientnet_b4_torchvision",
            file_name="efficientnet_b4_rwightman-23ab8bcd.pth",
            also_named="efficientnet_b4_rwightman-7eb33cd5.pth",  # by older versions of torchvision
            sources=(_TORCH + "efficientnet_b4_rwightman-23ab8bcd.pth",),
            sha256="23ab8bcd5bdbef61a7a43b91adcad81f622fd7f36fb4935a569828d77888c44e",
            size=None,
            licence="BSD-3-Clause (torchvision), Apache-2.0 (pytorch-image-models)",
            purpose="EfficientNet-B4 of torchvision, ImageNet: with efficientnet_weights = torchvision",
            by_hand=f"{_TORCH}efficientnet_b4_rwightman-23ab8bcd.pth is its address",
        ),
        WeightFile(
            name="resnet50",
            file_name="resnet50-0676ba61.pth",
            sources=(_TORCH + "resnet50-0676ba61.pth",),
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            size=102530333,
            licence="BSD-3-Clause (torchvision)",
            purpose="ResNet-50, ImageNet, first recipe: start of the retrieval network's training",
            by_hand=f"{_TORCH}resnet50-0676ba61.pth is its address",
        ),
        WeightFile(
            name="resnet50_v2",
            file_name="resnet50-11ad3fa6.pth",
            sources=(_TORCH + "resnet50-11ad3fa6.pth",),
            sha256="11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
            size=102540417,
            licence="BSD-3-Clause (torchvision)",
            purpose="ResNet-50, ImageNet, second recipe",
            by_hand=f"{_TORCH}resnet50-11ad3fa6.pth is its address",
        ),
        WeightFile(
            name="resnet18",
            file_name="resnet18-f37072fd.pth",
            sources=(_TORCH + "resnet18-f37072fd.pth",),
            sha256="f37072fd",
            size=None,
            licence="BSD-3-Clause (torchvision)",
            purpose="ResNet-18, ImageNet, first recipe: STFPM, FastFlow, CutPaste",
            by_hand=f"{_TORCH}resnet18-f37072fd.pth is its address",
        ),
        WeightFile(
            name="wide_resnet50_2",
            file_name="wide_resnet50_2-95faca4d.pth",
            sources=(_TORCH + "wide_resnet50_2-95faca4d.pth",),
            sha256="95faca4d",
            size=None,
            licence="BSD-3-Clause (torchvision)",
            purpose="Wide ResNet-50-2, ImageNet, first recipe: PatchCore, CFA, CFlow",
            by_hand=f"{_TORCH}wide_resnet50_2-95faca4d.pth is its address",
        ),
        WeightFile(
            name="vgg16",
            file_name="vgg16-397923af.pth",
            sources=(_TORCH + "vgg16-397923af.pth",),
            sha256="397923af",
            size=None,
            licence="BSD-3-Clause (torchvision)",
            purpose="VGG-16, ImageNet: FAVAE",
            by_hand=f"{_TORCH}vgg16-397923af.pth is its address",
        ),
        WeightFile(
            name="resnet50_retrieval",
            file_name="net_best.pth",
            sources=(),
            sha256="",
            size=None,
            licence="MIT, as its authors' code; none stated for the file",
            purpose="ResNet-50 that the paper's authors trained to tell viewpoints apart: retrieval = resnet50",
            by_hand="its authors' link is gone; train one with: python -m pipeline.retrieval_training",
        ),
        WeightFile(
            name="loftr_indoor",
            file_name="loftr_indoor_ds_new.ckpt",
            also_named="indoor_ds_new.ckpt",
            sources=tuple(address + "loftr_indoor_ds_new.ckpt" for address in _KORNIA),
            sha256="be9ff88b323ec27889114719f668ae41aff7034b56a4c4acbd46b8b180b87ed3",
            size=None,
            licence="Apache-2.0",
            purpose="LoFTR trained on ScanNet, the paper's: retrieval = loftr",
            by_hand="github.com/zju3dv/LoFTR links to it as indoor_ds_new.ckpt",
        ),
        WeightFile(
            name="loftr_outdoor",
            file_name="loftr_outdoor.ckpt",
            also_named="outdoor_ds.ckpt",
            sources=tuple(address + "loftr_outdoor.ckpt" for address in _KORNIA),
            sha256="21f5bec5968178e8bc8b7633441836fe5de4f47d861dd2cd7dc38e271b0479ec",
            size=46341978,
            licence="Apache-2.0",
            purpose="LoFTR trained on MegaDepth",
            by_hand="github.com/zju3dv/LoFTR links to it as outdoor_ds.ckpt",
        ),
    )
}


@dataclass(frozen=True)
class Weights:
    """Where weights come from."""

    folder: str = ""  # looked through first; empty: none
    random: bool = False  # random ones in place of all files
    quiet: bool = False  # no bar while fetching
    efficientnet: Literal["paper", "torchvision"] = "paper"  # whose EfficientNet-B4


def weights_of(config: Config) -> Weights:
    """What the settings say about weights."""
    return Weights(config.weights_dir, config.random_weights, config.quiet, config.efficientnet_weights)


def needed(config: Config) -> list[str]:
    """Names of the files without which the chosen methods cannot run."""
    if config.random_weights:
        return []
    efficientnet = efficientnet_b4_file(weights_of(config))
    of_retrieval = {"resnet50": "resnet50_retrieval", "efficientnet_b4": efficientnet, "loftr": "loftr_indoor"}
    names = [of_retrieval.get(config.retrieval.method), efficientnet if config.score.method == "paper" else None]
    return list(dict.fromkeys(name for name in names if name))


def efficientnet_b4_file(weights: Weights) -> str:
    """The registered name of the file that ``efficientnet_b4`` is filled from."""
    return "efficientnet_b4" if weights.efficientnet == "paper" else "efficientnet_b4_torchvision"


def cache_folder() -> Path:
    """The folder that files are fetched to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pad" / "weights"


def search_folders(weights: Weights) -> list[Path]:
    """Where files are looked for, first place first."""
    first = [Path(weights.folder).expanduser()] if weights.folder else []
    return [*first, Path(torch.hub.get_dir()) / "checkpoints", cache_folder()]


def find(file: WeightFile, weights: Weights) -> Path | None:
    """The first file on this machine that bears the name, whatever is in it."""
    names = [name for name in (file.file_name, file.also_named) if name]
    paths = (folder / name for folder in search_folders(weights) for name in names)
    return next((path for path in paths if path.is_file()), None)


def obtain(name: str, weights: Weights) -> Path:
    """The registered file ``name``, found or fetched, and checked.

    Raises:
        InputError: where it can neither be found nor fetched, or is not the file that it should be.
    """
    file = FILES[name]
    path = find(file, weights)
    if path is not None:
        wrong = mismatch(path, file.sha256, file.size)
        if wrong is not None:
            raise InputError(f"{path} is not the whole {file.file_name} that is expected ({wrong}); delete it.")
        return path
    path = cache_folder() / file.file_name
    failures = download(file.sources, path, file.sha256, file.size, Progress(weights.quiet))
    if failures or not file.sources:
        raise InputError(_missing(file, weights, failures))
    return path


def _missing(file: WeightFile, weights: Weights, failures: list[str]) -> str:
    """The sentence that says how to come by a file."""
    tried = f" and could not be fetched ({'; '.join(failures)})" if failures else ""
    places = " or ".join(str(folder) for folder in search_folders(weights))
    return (
        f"The weights {file.file_name} ({file.purpose}) are not on this machine{tried}: {file.by_hand}; put it into "
        f"{places}, or name its folder with --weights_dir (--random_weights tries the program without)."
    )


def fingerprint(name: str, weights: Weights) -> str:
    """Which weights stand under ``name``: the first 12 digits of the file's sha256, or "random"."""
    return RANDOM if weights.random else digest(obtain(name, weights))[:12]


def fill(
    network: nn.Module,
    name: str,
    weights: Weights,
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> nn.Module:
    """``network`` with the weights of the registered file ``name``, for evaluation only.

    What the file has beyond the network (a head that was cut off) is left out.

    Args:
        translate: turns the file's names into the network's.
    Raises:
        InputError: where the file is missing or does not fit.
    """
    if weights.random:
        fill_randomly(network, zlib.crc32(name.encode()))
    else:
        path = obtain(name, weights)
        _load(network, translate(_tensors(path)), path)
    return network.eval().requires_grad_(False)


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch wrote, by name."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
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
    """Random weights that let signals through at about their strength, the same for the same seed.

    He's (arXiv:1502.01852), a little smaller because blocks that add to their input make signals grow.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
            parameter.data.mul_(_GAIN)
        else:
            nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
