"""Peak memory of a stretch of work."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The peak memory of this process since the object was made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.known = sys.platform == "linux"  # only there can a process forget an earlier peak
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        if self.known:
            try:
                _RESET.write_text("5")
            except OSError:
                self.known = False

    def figures(self) -> dict[str, int | None]:
        """Return in bytes the peak resident memory of this process, and the peak that torch held on a GPU.

        Either is None where it is not known: without a GPU, or on a system that does not count it.
        """
        on_device = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
        return {"peak_bytes": self._host_bytes(), "peak_device_bytes": on_device}

    def _host_bytes(self) -> int | None:
        if not self.known:
            return None
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
