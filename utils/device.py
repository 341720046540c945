"""The device on which a script computes, picked once."""

from __future__ import annotations

import torch

from utils.errors import InputError


def pick_device(name: str) -> torch.device:
    """``cpu``, ``cuda``, or with ``auto`` a CUDA device where there is one.

    Errors:
        InputError where CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device = cuda needs a CUDA GPU that torch can use, found none; use --device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and available else "cpu")
