"""Small images of an object with their silhouettes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.doctor.frames import FrameTable
from data.doctor.quick import BAD_VERDICT, NOTE, Check
from data.folders import in_threads
from data.masks import apply_mask, find_masks, read_cut_out, read_foreground
from data.plain_background import HIDDEN, hidden_shares
from data.settings import BACKGROUNDS
from utils.camera import Intrinsics
from utils.hull import silhouette
from utils.images import prepare, read_uint8, working_size
from utils.progress import Progress

SILHOUETTE_SIZE = 100  # longer side in pixels
BUSY = 0.5  # share of the frame's border that is foreground above which a background is not plain
EMPTY, FULL = 0.002, 0.9  # bounds on the share of the frame that a usable silhouette covers
GIVEN_SOURCES = ("masks", "alpha")  # of silhouettes that the user gives
PLAIN_VIEWS = 0.8  # share of the views whose silhouettes must be usable


@dataclass(frozen=True)
class Silhouettes:
    """Small images and silhouettes of the frames that have the usual size."""

    rows: np.ndarray  # (views,) rows of the frame table
    images: np.ndarray  # (views, height, width, 3) uint8, composited on the background
    masks: np.ndarray  # (views, height, width) bool
    camera: Intrinsics  # for images of this size
    source: str  # of the silhouettes: masks, alpha or background


def read_silhouettes(frames: FrameTable, masks: Path | None, background: str, progress: Progress) -> Silhouettes:
    """Read the frames' images with silhouettes from ``masks``, masks beside the images, alpha or the background.

    Raises:
        InputError: for an image or mask that cannot be read.
    """
    rows = np.array([row for row, size in enumerate(frames.sizes) if size == frames.size])
    colour = BACKGROUNDS[background]
    found = {} if masks is None else find_masks(masks, [frames.paths[row] for row in rows])

    def read(row: int) -> tuple[np.ndarray, np.ndarray | None]:
        path = frames.paths[row]
        image = read_uint8(path) if masks is not None else read_cut_out(path, frames.folder, check=False)
        if masks is not None:
            foreground = read_foreground(found[path], (image.shape[1], image.shape[0]), check=False)
            image = apply_mask(image[..., :3], foreground, f"The mask {found[path]}")
        rgb, alpha = prepare(image, SILHOUETTE_SIZE, colour)
        return (rgb * 255.0).round().astype(np.uint8), alpha

    images, alphas = zip(*progress.track(in_threads(read, rows), "images", len(rows)))
    known = [alpha for alpha in alphas if alpha is not None]
    if len(known) == len(rows) and any((alpha < 1.0).any() for alpha in known):
        silhouettes, source = [alpha > 0.5 for alpha in known], "alpha"
    else:
        silhouettes = [silhouette(torch.from_numpy(image), colour) for image in images]
        source = f"{background} background"
    camera = frames.intrinsics.resized(*working_size(*frames.size, SILHOUETTE_SIZE))
    source = "masks" if masks is not None else source
    return Silhouettes(rows, np.stack(images), np.stack(silhouettes), camera, source)


def check_silhouettes(silhouettes: Silhouettes) -> Check:
    """Check that the object stands apart from the background in enough of the images."""
    masks = silhouettes.masks
    border = np.concatenate([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]], axis=1).mean(axis=1)
    area = masks.mean(axis=(1, 2))
    usable = (border <= BUSY) & (area >= EMPTY) & (area <= FULL)
    figure = f"from {silhouettes.source}: {usable.mean():.0%} of the views, {np.median(area):.1%} of the frame"
    if usable.mean() >= PLAIN_VIEWS:
        return Check("silhouettes", figure)
    if silhouettes.source in GIVEN_SOURCES:
        advice = "Masks or alpha must be 255 on the object and 0 beside it: write them again."
        if is_inverted(masks):
            advice = "They mark what is around the object: invert them (255 = object)."
        elif float(np.median(area)) < EMPTY:
            advice = f"{np.mean(area < EMPTY):.0%} of them mark no object: write them again (255 = object, not 1)."
        return Check("silhouettes", figure, BAD_VERDICT, advice)
    other = other_background(silhouettes)
    if other:
        advice = f"The background looks {other}: try --background {other}."
    elif float(np.median(area)) < EMPTY:
        advice = "The images show hardly anything but background: check them, or give --background or --masks."
    else:
        advice = "The background is not plain, so matches must do; silhouettes prove more: --masks DIR, 255 = object."
    return Check("silhouettes", figure, NOTE, advice)


def check_colours(silhouettes: Silhouettes, background: str) -> list[Check]:
    """Check that a cut-out object has another colour than its background, from which no field could tell it."""
    if silhouettes.source.endswith("background"):
        return []
    share = hidden_shares(silhouettes.images, silhouettes.masks)
    figure = f"{share[background]:.1%} of the object is as {background} as the background"
    if share[background] <= HIDDEN:
        return [Check("colours", figure)]
    clearest = min(share, key=lambda name: share[name])
    return [Check("colours", figure, NOTE, f"There it cannot be seen: train and test with --background {clearest}.")]


def is_inverted(masks: np.ndarray) -> bool:
    """Return whether most of the masks (views, height, width) bool mark the frame's border but not its middle."""
    border = np.concatenate([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]], axis=1).mean(axis=1)
    rows, columns = masks.shape[1] // 3, masks.shape[2] // 3
    middle = masks[:, rows : masks.shape[1] - rows, columns : masks.shape[2] - columns].mean(axis=(1, 2))
    return float(np.median(border)) > BUSY and float(np.median(middle)) < 0.5


def other_background(silhouettes: Silhouettes) -> str:
    """Return the plain colour, other than the assumed one, of most of the frames' borders; empty if there is none."""
    edges = np.concatenate([silhouettes.images[:, 0], silhouettes.images[:, -1]], axis=1).astype(float) / 255.0
    middle = np.median(edges.reshape(-1, 3), axis=0)
    for name, colour in BACKGROUNDS.items():
        if name not in silhouettes.source and np.abs(middle - colour).max() < 0.03:
            return name
    return ""
