"""What a training reads before it computes."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass
class Pictures:
    """Views, as far as their colours matter."""

    images: torch.Tensor
    alphas: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)


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


@pytest.mark.parametrize(("colour", "warned"), [(255, True), (90, False)])
def test_a_cut_out_object_of_the_backgrounds_colour_is_named(
    colour: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    images, alphas = torch.full((4, 20, 20, 3), 255, dtype=torch.uint8), torch.zeros(4, 20, 20, dtype=torch.uint8)
    images[:, 5:15, 5:15], alphas[:, 5:15, 5:15] = colour, 255
    views = cast(Views, Pictures(images, alphas))
    training.warn_of_colours(views, Config("balls"))
    said = capsys.readouterr().err
    assert ("100.0% of balls is as white as the background" in said and "--background" in said) == warned


@pytest.mark.parametrize(("plain", "advice"), [(True, "check the poses"), (False, "run python -m data masks")])
def test_a_bad_field_of_photos_without_masks_names_the_command_that_makes_them(plain: bool, advice: str) -> None:
    record = TrainingRecord(psnr=12.0, blank_psnr=9.0)
    images = torch.full((8, 20, 20, 3), 255, dtype=torch.uint8)
    if not plain:
        images[:] = 90
    views = cast(Views, SimpleNamespace(images=images, background=(1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match=advice):
        training.check_field(Config("balls"), record, views)
