"""A sheet of contact prints: each view with the outline of its mask."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from data.automatic_masks import DISAGREES, AutomaticMasks
from utils.images import working_size, write_png

FILE = "masks.png"
SIDE = 200  # longer side of a print in pixels
STRIP = 16  # height of its caption in pixels
COLUMNS = 8
AGREED, CORRECTED = (0, 160, 0), (220, 0, 0)  # colours of outline and caption


def write_sheet(path: Path, masks: AutomaticMasks, names: list[str]) -> None:
    """Write the prints of all views; the caption gives the IoU of the network's mask, red where it was corrected."""
    prints = [mask_print(masks, view, name) for view, name in enumerate(names)]
    prints += [np.full_like(prints[0], 255)] * (-len(prints) % COLUMNS)
    rows = [np.hstack(prints[first : first + COLUMNS]) for first in range(0, len(prints), COLUMNS)]
    write_png(path, np.vstack(rows))


def mask_print(masks: AutomaticMasks, view: int, name: str) -> np.ndarray:
    """Return the print of a view: (height + STRIP, width, 3) uint8."""
    size = working_size(masks.camera.width, masks.camera.height, SIDE)
    agreement = float(masks.agreement[view])
    colour = AGREED if agreement >= DISAGREES else CORRECTED
    image = cv2.resize(masks.images[view], size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(masks.masks[view].astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, colour, 1)
    caption = np.full((STRIP, size[0], 3), 255, dtype=np.uint8)
    text = f"{name[: math.floor(size[0] / 7) - 5]} {agreement:.2f}"
    cv2.putText(caption, text, (2, STRIP - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    return np.vstack([image, caption])
