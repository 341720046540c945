"""The device to compute on, and a description of the machine and the versions for the record."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy
import torch

from utils.errors import InputError
from utils.text import utc_text


def pick_device(name: str) -> torch.device:
    """Return the device ``cpu`` or ``cuda``; ``auto`` means CUDA where it is available.

    Raises:
        InputError: where CUDA is asked for and not available.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device = cuda needs a CUDA GPU that torch can use, found none; use --device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the machine, the versions, the commit and the date (UTC), to be recorded with the results."""
    device = torch.device(device)
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "commit": _commit(),
        "date": utc_text(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    folder = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
