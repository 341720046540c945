"""What a training reads before it computes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from data import transforms_file
from data.folders import read_json
from pipeline import training
from pipeline.config import Config
from pipeline.record import TrainingRecord
from tests.world import write_world
from utils.errors import InputError
from utils.views import Views


def test_transforms_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(path: Path) -> Any:
        opened.append(path.name)
        return read_json(path)

    def stop(*arguments: object) -> None:
        raise InputError("the views are read")

    write_world(tmp_path / "balls")
    monkeypatch.setattr(transforms_file, "read_json", counted)
    monkeypatch.setattr(training, "train_field", stop)
    config = Config("balls", data_dir=str(tmp_path), ckpt_dir=str(tmp_path / "ckpts"), device="cpu", quiet=True)
    with pytest.raises(InputError, match="the views are read"):
        training.train_object(config)
    assert opened.count("transforms.json") == 1


@pytest.mark.parametrize(("plain", "advice"), [(True, "check the poses"), (False, "run python -m data masks")])
def test_a_bad_field_of_photos_without_masks_names_the_command_that_makes_them(plain: bool, advice: str) -> None:
    record = TrainingRecord(psnr=12.0, blank_psnr=9.0)
    images = torch.full((8, 20, 20, 3), 255, dtype=torch.uint8)
    if not plain:
        images[:] = 90
    views = cast(Views, SimpleNamespace(images=images, background=(1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match=advice):
        training.check_field(Config("balls"), record, views)
