"""Silhouettes of an object's pictures at the small size at which the doctor looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.doctor.frames import FrameTable
from data.doctor.quick import Check
from data.folders import in_threads
from data.masks import apply_mask, find_mask, read_cut_out, read_foreground
from utils.camera import Intrinsics
from utils.hull import silhouette
from utils.images import prepare, working_size
from utils.progress import Progress

BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
LOOK_SIZE = 100  # longer side in pixels at which silhouettes are compared
BUSY = 0.5  # share of the frame's border that is foreground above which a background is not plain
EMPTY, FULL = 0.002, 0.9  # shares of the frame between which a silhouette is one
PLAIN_VIEWS = 0.8  # share of the views whose silhouettes must be usable


@dataclass(frozen=True)
class Pictures:
    """Small pictures and silhouettes of the frames that have the usual size."""

    rows: np.ndarray  # (views,) which of the sheet's frames they are
    images: np.ndarray  # (views, height, width, 3) uint8, laid on the background
    masks: np.ndarray  # (views, height, width) bool
    camera: Intrinsics  # for pictures of this size
    source: str  # where the silhouettes come from: masks, alpha or background


def read_pictures(sheet: FrameTable, masks: Path | None, background: str, progress: Progress) -> Pictures:
    """Read the frames' pictures, and their silhouettes from ``masks`` or masks beside them, alpha or background.

    Errors:
        InputError for a picture or mask that cannot be read.
    """
    rows = np.array([row for row, size in enumerate(sheet.sizes) if size == sheet.size])

    def read(row: int) -> tuple[np.ndarray, np.ndarray | None]:
        path = sheet.paths[row]
        picture = read_cut_out(path, sheet.folder)
        if masks is not None:
            foreground = read_foreground(find_mask(masks, path), (picture.shape[1], picture.shape[0]))
            picture = apply_mask(picture[..., :3], foreground)
        colour, alpha = prepare(picture, LOOK_SIZE, BACKGROUNDS[background])
        return (colour * 255.0).round().astype(np.uint8), alpha

    found = list(progress.track(in_threads(read, rows), "pictures", len(rows)))
    images = np.stack([image for image, _ in found])
    alphas = [alpha for _, alpha in found]
    cut = all(alpha is not None for alpha in alphas) and any(
        (alpha < 1.0).any() for alpha in alphas if alpha is not None
    )
    silhouettes = np.stack(
        [
            alpha > 0.5 if cut and alpha is not None else silhouette(torch.from_numpy(image), BACKGROUNDS[background])
            for image, alpha in zip(images, alphas)
        ]
    )
    source = "masks" if masks is not None else "alpha" if cut else f"{background} background"
    size = working_size(*sheet.size, LOOK_SIZE)
    return Pictures(rows, images, silhouettes, sheet.intrinsics.resized(*size), source)


def check_silhouettes(pictures: Pictures) -> Check:
    """Whether the object stands apart from the background in enough of the pictures."""
    masks = pictures.masks
    border = np.concatenate([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]], axis=1).mean(axis=1)
    area = masks.mean(axis=(1, 2))
    usable = (border <= BUSY) & (area >= EMPTY) & (area <= FULL)
    figure = f"from {pictures.source}: {usable.mean():.0%} of the views, {np.median(area):.1%} of the frame"
    if usable.mean() >= PLAIN_VIEWS:
        return Check("silhouettes", figure)
    other = other_background(pictures)
    if other:
        advice = f"The background looks {other}: try --background {other}."
    elif float(np.median(area)) < EMPTY:
        advice = "The pictures show hardly anything but background: check them, or give --background or --masks."
    else:
        advice = "The background is not plain, so matches must do; silhouettes prove more: --masks DIR, 255 = object."
    return Check("silhouettes", figure, "note", advice)


def other_background(pictures: Pictures) -> str:
    """The plain colour, other than the one taken, that most of the frames' borders have; empty if none."""
    edges = np.concatenate([pictures.images[:, 0], pictures.images[:, -1]], axis=1).astype(float) / 255.0
    middle = np.median(edges.reshape(-1, 3), axis=0)
    for name, colour in BACKGROUNDS.items():
        if name not in pictures.source and np.abs(middle - colour).max() < 0.03:
            return name
    return ""
