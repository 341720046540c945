"""Checkpoints: tensors with a JSON header, replaced atomically and read without pickle."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from utils.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path beside ``path``, then rename it to ``path``.

    An interruption at any time leaves the old file unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write named tensors and a header atomically.

    Args:
        path: a ``.safetensors`` file.
        tensors: any shapes and dtypes, which are kept bit for bit.
        metadata: anything that JSON can hold.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"json": json.dumps(metadata, sort_keys=True)}
    write_atomically(path, lambda temporary: temporary.write_bytes(save(plain, metadata=header)))


def load_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote.

    Returns:
        The tensors on ``device``, and the metadata.

    Raises:
        FileNotFoundError: where there is no file.
        InputError: where it is truncated or not of this program.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; run anomaly_nerf_lego.py for this object first.")
    with as_checkpoint(path):
        try:
            with safe_open(str(path), framework="pt", device=str(device)) as file:
                header = json.loads((file.metadata() or {})["json"])
                return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(str(error)) from None


@contextmanager
def as_checkpoint(path: Path) -> Iterator[None]:
    """Convert the errors of interpreting the content of ``path`` as a checkpoint into one `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is not an intact checkpoint of this program ({type(error).__name__}: {error}); delete it, "
            f"or train with --overwrite."
        ) from None


def load_metadata(path: Path) -> dict[str, Any] | None:
    """Read the header that ``save_tensors`` wrote; None where there is no readable file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return json.loads((file.metadata() or {})["json"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def ensure_writable(folder: Path) -> None:
    """Create ``folder`` and check that it can be written, before any work whose result would be lost.

    Raises:
        InputError: where it cannot.
    """
    probe = folder / f".{uuid.uuid4().hex[:8]}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be written ({error.strerror}); name another with --ckpt_dir or --output_dir."
        ) from None
