"""The scripts' side of studies: what the test sees of a query."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from auroc_test import read_query, read_test_query
from data.mad import list_queries
from tests.mad_folder import write_object, write_picture
from utils.camera import Intrinsics
from utils.config import Config, StudyConfig


def model_of(folder: Path, study: StudyConfig) -> SimpleNamespace:
    config = Config(object_name=folder.name, data_dir=str(folder.parent), study=study)
    return SimpleNamespace(config=config, intrinsics=Intrinsics.from_angle(16, 16, 0.7), device=torch.device("cpu"))


def test_queries_are_disturbed_in_the_test_alone(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    query = list_queries(folder)[0]
    model = model_of(folder, StudyConfig(noise="salt", amount=0.5))
    plain, seen = read_query(query.path, model), read_test_query(query, model)  # type: ignore[arg-type]
    assert not torch.equal(plain, seen) and (seen == 1).float().mean() > 0.4
    assert torch.equal(seen, read_test_query(query, model))  # type: ignore[arg-type]
    calm = model_of(folder, StudyConfig())
    assert torch.equal(plain, read_test_query(query, calm))  # type: ignore[arg-type]


def test_queries_are_cut_out_by_their_masks(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    query, mask = list_queries(folder)[0], np.full((16, 16), 255, dtype=np.uint8)
    mask[:4] = 0
    for name in ("0", "1"):
        write_picture(folder / f"masks/{query.path.parent.relative_to(folder)}/{name}.png", mask)
    seen = read_test_query(query, model_of(folder, StudyConfig()))  # type: ignore[arg-type]
    assert (seen[:4] == 1).all() and not (seen[4:] == 1).all()
