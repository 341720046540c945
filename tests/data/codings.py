"""One mask in all the codings that programs write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

TRUTH = np.zeros((16, 16), dtype=bool)
TRUTH[3:9, 4:12] = True


def _palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def _colours(background: tuple[int, ...], marked: tuple[int, ...]) -> Callable[[np.ndarray], Image.Image]:
    return lambda mask: Image.fromarray(np.where(mask[..., None], marked, background).astype(np.uint8))


CODINGS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "bytes": lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
    "0 and 1": lambda mask: Image.fromarray(mask.astype(np.uint8)),
    "0 and 128": lambda mask: Image.fromarray(mask.astype(np.uint8) * 128),
    "bits": lambda mask: Image.fromarray(mask),
    "16 bits": lambda mask: Image.fromarray(mask.astype(np.uint16) * 65535),
    "instances": lambda mask: Image.fromarray(mask.astype(np.uint16) * 3),
    "palette": _palette,
    "label": _colours((0, 0, 0), (128, 0, 0)),
    "dark label": _colours((0, 0, 0), (0, 0, 64)),
    "white": _colours((0, 0, 0), (255, 255, 255)),
    "red on transparent": _colours((0, 0, 0, 0), (255, 0, 0, 255)),
    "transparent": _colours((255, 255, 255, 0), (0, 0, 0, 255)),
    "opaque": _colours((0, 0, 0, 255), (255, 255, 255, 255)),
}


def coded(path: Path, coding: str, mask: np.ndarray = TRUTH) -> Path:
    """Write a mask (height, width) bool; BMP and JPEG have no transparency and no 16 bits, so they get bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = CODINGS["bytes" if path.suffix.lower() in (".bmp", ".jpg") else coding](mask)
    image.save(path)
    return path
