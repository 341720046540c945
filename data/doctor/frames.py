"""The frames of an object's ``transforms.json`` as they are, read without judging them, so that faults can be named."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.folders import GOOD, natural_key
from data.transforms_file import TransformsFile, good_images
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import read_image_size

MOST_FAULTS = 0.25  # share of the frames that may have no matrix of finite numbers


@dataclass(frozen=True)
class FrameTable:
    """The frames that have an image, in the natural order of the images' names, and what is wrong with the others."""

    folder: Path
    content: dict[str, Any]  # transforms.json
    rows: tuple[int, ...]  # index of each frame in content["frames"]
    paths: tuple[Path, ...]  # of each frame's image, an existing file
    matrices: np.ndarray  # (frames, 4, 4) float64 as written
    sizes: tuple[tuple[int, int], ...]  # width and height of each image
    missing: tuple[str, ...]  # names of listed images that do not exist
    repeated: tuple[str, ...]  # names of images that are listed again
    poseless: tuple[Path, ...]  # images whose frames have no matrix of finite numbers, a quarter at most
    unlisted: tuple[Path, ...]  # images that no frame lists

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and height of most images."""
        return Counter(self.sizes).most_common(1)[0][0]

    @property
    def in_degrees(self) -> bool:
        """Return whether the field of view must be in degrees."""
        return float(self.content["camera_angle_x"]) > math.pi

    @property
    def intrinsics(self) -> Intrinsics:
        """Return the camera of images of ``size``."""
        angle = float(self.content["camera_angle_x"])
        return Intrinsics.from_angle(*self.size, math.radians(angle) if self.in_degrees else angle)


def read_frame_table(transforms: TransformsFile) -> FrameTable:
    """Read the frames of a transforms file and the headers of the images.

    Raises:
        InputError: for what cannot be understood at all: no field of view, no frame with an image, most matrices
            not 4 x 4 numbers, a path that leaves the folder, a damaged image.
    """
    folder, content = transforms.object_dir, transforms.content
    _check_angle(folder, content)
    listed = [(row, transforms.image_path(row)) for row in range(len(transforms.frames))]
    listed.sort(key=lambda pair: natural_key(pair[1].as_posix()))
    kept: dict[Path, int] = {}
    missing, repeated = [], []
    for row, path in listed:
        if not path.is_file():
            missing.append(path.name)
        elif path in kept:
            repeated.append(path.name)
        else:
            kept[path] = row
    if not kept:
        raise InputError(
            f"None of the {len(missing)} images that {folder / 'transforms.json'} lists exists, the first is "
            f"{missing[0]}; put them in {folder / 'train' / GOOD}."
        )
    matrices, faults = {}, {}
    for path, row in kept.items():
        try:
            matrices[path] = transforms.matrix(row, path).numpy()
        except InputError as error:
            faults[path] = error
    if len(faults) > MOST_FAULTS * len(kept):
        raise next(iter(faults.values()))
    framed = {path.resolve() for path in kept}
    return FrameTable(
        folder=folder,
        content=content,
        rows=tuple(kept[path] for path in matrices),
        paths=tuple(matrices),
        matrices=np.stack(list(matrices.values())),
        sizes=tuple(read_image_size(path) for path in matrices),
        missing=tuple(missing),
        repeated=tuple(repeated),
        poseless=tuple(faults),
        unlisted=tuple(path for path in good_images(folder) if path.resolve() not in framed),
    )


def _check_angle(folder: Path, content: dict[str, Any]) -> None:
    angle = content.get("camera_angle_x")
    if isinstance(angle, bool) or not isinstance(angle, (int, float)) or not 1e-3 < angle < 180.0:
        other = "; python -m data import-transforms reads other formats" if "fl_x" in content else "; write it"
        raise InputError(
            f"camera_angle_x in {folder / 'transforms.json'} must be the horizontal field of view in radians, found "
            f"{angle!r}{other}."
        )
