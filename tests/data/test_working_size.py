"""How many pixels to work with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.mad import load_views
from data.settings import AUTOMATIC_SIZE
from data.working_size import automatic_size
from tests.mad_folder import write_transforms

WHITE = (1.0, 1.0, 1.0)


def write_views(folder: Path, size: int, side: int, transparent: bool = False, views: int = 3) -> list[Path]:
    """Write views with a grey square of ``side`` pixels in images of ``size``."""
    frames = []
    for number in range(views):
        image = np.full((size, size, 4), (0, 0, 0, 0) if transparent else (255, 255, 255, 255), np.uint8)
        image[10 : 10 + side, 5 : 5 + side // 2] = (90, 90, 90, 255)
        path = folder / f"train/good/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        frames.append({"file_path": f"train/good/{number}.png", "transform_matrix": np.eye(4).tolist()})
    write_transforms(folder, frames, angle=0.69)
    return sorted(folder.glob("train/good/*.png"))


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(("side", "expected"), [(800, 400), (400, 800), (60, 1600), (0, 400)])
def test_small_objects_get_more_pixels(tmp_path: Path, side: int, expected: int, transparent: bool) -> None:
    paths = write_views(tmp_path, 800, side, transparent)
    assert automatic_size(paths, tmp_path, WHITE) == pytest.approx(expected, rel=0.02)


def test_views_are_read_at_that_size_but_never_enlarged(tmp_path: Path) -> None:
    write_views(tmp_path / "large", 800, 533)
    write_views(tmp_path / "small", 200, 20)
    assert load_views(tmp_path / "large", AUTOMATIC_SIZE, WHITE).intrinsics.width == pytest.approx(600, abs=12)
    assert load_views(tmp_path / "small", AUTOMATIC_SIZE, WHITE).intrinsics.width == 200
    assert load_views(tmp_path / "large", 100, WHITE).intrinsics.width == 100
