"""The scripts' side of studies: what the test sees of a query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from data.mad import list_queries
from data.settings import RobustnessConfig
from pipeline.config import Config
from pipeline.photos import PhotoReader
from pipeline.testing import read_test_query
from tests.mad_folder import write_object, write_picture
from utils.camera import Intrinsics


def reader_of(folder: Path, study: RobustnessConfig) -> PhotoReader:
    config = Config(object_name=folder.name, data_dir=str(folder.parent), robustness=study)
    return PhotoReader(config, Intrinsics.from_angle(16, 16, 0.7))


def test_queries_are_disturbed_in_the_test_alone(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    query = list_queries(folder)[0]
    photos = reader_of(folder, RobustnessConfig(noise="salt", amount=0.5))
    plain, seen = photos.read_query(query.path), read_test_query(query, photos)
    assert not torch.equal(plain, seen) and (seen == 1).float().mean() > 0.4
    assert torch.equal(seen, read_test_query(query, photos))
    assert torch.equal(plain, read_test_query(query, reader_of(folder, RobustnessConfig())))


def test_queries_are_cut_out_by_their_masks(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    query, mask = list_queries(folder)[0], np.full((16, 16), 255, dtype=np.uint8)
    mask[:4] = 0
    for name in ("0", "1"):
        write_picture(folder / f"masks/{query.path.parent.relative_to(folder)}/{name}.png", mask)
    seen = read_test_query(query, reader_of(folder, RobustnessConfig()))
    assert (seen[:4] == 1).all() and not (seen[4:] == 1).all()
