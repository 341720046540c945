"""An object's ``transforms.json`` as it stands, read without judging it, so that what is wrong with it can be told."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.folders import GOOD
from data.transforms_file import TransformsFile, good_images
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import read_image_size
from utils.text import natural_key


@dataclass(frozen=True)
class FrameTable:
    """What the files say; frames in the natural order of their pictures' names."""

    folder: Path
    content: dict[str, Any]  # transforms.json
    rows: tuple[int, ...]  # each frame's place in content["frames"]
    paths: tuple[Path, ...]  # each frame's picture, which is there
    matrices: np.ndarray  # (frames, 4, 4) float64 as they stand
    sizes: tuple[tuple[int, int], ...]  # each picture's width and height
    missing: tuple[str, ...]  # names of pictures that frames list and that are not there
    repeated: tuple[str, ...]  # names of pictures that are listed again
    unlisted: tuple[Path, ...]  # pictures that no frame lists

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that most pictures have."""
        return Counter(self.sizes).most_common(1)[0][0]

    @property
    def in_degrees(self) -> bool:
        """Whether the field of view must be meant in degrees."""
        return float(self.content["camera_angle_x"]) > math.pi

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of pictures of ``size``."""
        angle = float(self.content["camera_angle_x"])
        return Intrinsics.from_angle(*self.size, math.radians(angle) if self.in_degrees else angle)


def read_frame_table(transforms: TransformsFile) -> FrameTable:
    """Read what the frames of a transforms file and the headers of the images say.

    Raises:
        InputError: for what cannot be understood at all: no field of view, no frame with an image, a matrix that is
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
            f"None of the {len(missing)} pictures that {folder / 'transforms.json'} lists is there, the first is "
            f"{missing[0]}; put them in {folder / 'train' / GOOD}."
        )
    matrices = [transforms.matrix(row, path).numpy() for path, row in kept.items()]
    framed = {path.resolve() for path in kept}
    return FrameTable(
        folder=folder,
        content=content,
        rows=tuple(kept.values()),
        paths=tuple(kept),
        matrices=np.stack(matrices),
        sizes=tuple(read_image_size(path) for path in kept),
        missing=tuple(missing),
        repeated=tuple(repeated),
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
