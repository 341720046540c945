"""Files of JSON lines that grow, and survive being cut off."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class JsonLines:
    """A file with one JSON object a line."""

    def __init__(self, path: Path) -> None:
        """Open the file, made where there is none; a last line that a crash cut off is removed."""
        self.path, self._lock = path, threading.Lock()
        if path.is_file():
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                with path.open("r+b") as file:
                    file.truncate(whole)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line; when this returns, it is on the disk."""
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Return all entries."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line.strip()]
