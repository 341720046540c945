"""The examples of CONTRIBUTING, registered by the line that it shows, do what their rooms ask of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.registry import METHODS
from nerf.fields import load_any_field
from nerf.registry import FIELDS
from nerf.settings import FieldConfig
from pipeline.config import Config
from retrieval.galleries import load_gallery
from retrieval.registry import RETRIEVALS
from retrieval.settings import RetrievalConfig
from scoring.registry import SCORES
from scoring.scorers import calibrate, load_scorer
from scoring.settings import ScoreConfig
from tests.docs.pages import read_page
from tests.inerf.scene import camera, render
from utils.camera import Intrinsics
from utils.run_context import RunContext
from utils.views import Views

PAGE = read_page(Path("CONTRIBUTING.md"))
CONTEXT = RunContext(torch.device("cpu"))
CAMERA = Intrinsics.from_angle(32, 32, 0.69)


@pytest.fixture
def views() -> Views:
    poses = torch.stack([camera(azimuth, 20) for azimuth in (0, 90, 180, 270)])
    images = torch.stack([(render(pose, CAMERA).colour * 255.0).round().byte() for pose in poses])
    return Views(images, None, poses, CAMERA, ("0", "1", "2", "3"), (1.0, 1.0, 1.0))


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write each example to a file of the name that its first line says, and register it as the page says."""
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        (path,) = re.findall(r", (\w+/\w+\.py)\.\"\"\"", code)
        (tmp_path / f"example_{Path(path).stem}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for room, registry in (("nerf", FIELDS), ("retrieval", RETRIEVALS), ("scoring", SCORES)):
        name, module, class_name = shown_line(room)
        assert isinstance(registry.places, dict)
        monkeypatch.setitem(registry.places, name, f"example_{module}:{class_name}")


def shown_line(room: str) -> tuple[str, str, str]:
    """Return the name, the module in the room and the class that the page registers."""
    ((name, module, class_name),) = re.findall(rf'`{room}/registry.py`: `"(\w+)": "{room}\.(\w+):(\w+)",`', PAGE)
    return name, module, class_name


def chosen(**groups: Any) -> Config:
    return Config(**groups)


def test_the_field_renders_and_loads(views: Views, tmp_path: Path) -> None:
    method = FIELDS.make(chosen(field=FieldConfig(method="nearest_view")))
    field = method.train(views, CONTEXT, None)
    rendering = field.render(views.camera_to_world[2], CAMERA)
    assert torch.equal(rendering.colour, views.image(2)) and rendering.opacity.max() == 1.0
    assert field.render(views.camera_to_world[2], CAMERA.resized(16, 16)).depth.shape == (16, 16)
    field.save(tmp_path / "field.safetensors")
    again = load_any_field(tmp_path / "field.safetensors")
    assert torch.equal(again.render(views.camera_to_world[2], CAMERA).colour, rendering.colour)


def test_the_retrieval_finds_a_view_and_loads(views: Views, tmp_path: Path) -> None:
    config = RetrievalConfig(method="mean_colour")
    gallery = RETRIEVALS.make(chosen(retrieval=config)).build(views, None, CONTEXT)
    gallery.save(tmp_path / "gallery.safetensors")
    for each in (gallery, load_gallery(tmp_path / "gallery.safetensors", config, CONTEXT)):
        poses = each.retrieve(views.image(1), CAMERA, 2)
        assert poses.shape == (2, 4, 4) and torch.equal(poses[0], views.camera_to_world[1])


def test_the_score_ranks_and_loads(views: Views, tmp_path: Path) -> None:
    config = ScoreConfig(method="difference")
    reference = render(views.camera_to_world[0], CAMERA)
    good = reference.colour + 0.01 * torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0))
    defective = good.clone()
    defective[14:18, 14:18] = 1.0 - defective[14:18, 14:18]
    comparison = SCORES.make(chosen(score=config)).make(CONTEXT)
    scorer = calibrate([(good, reference)] * 3, comparison, 0.05)
    scorer.save(tmp_path / "calibration.safetensors")
    for each in (scorer, load_scorer(tmp_path / "calibration.safetensors", config, CONTEXT)):
        assert each.compare(defective, reference)[1] > each.threshold > 0.0


def test_the_baseline_is_a_file_that_the_registry_could_name() -> None:
    places: Mapping[str, str] = METHODS
    name, module, class_name = shown_line("baselines")
    assert name not in places and f"class {class_name}(" in read_page(Path("examples") / f"{module}.py")
