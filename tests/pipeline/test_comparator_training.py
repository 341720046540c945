"""The command that trains the comparator, run on a tiny object."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline import comparator_training
from scoring.comparator import load_comparator
from tests.scoring.disc import pair
from tests.world import write_world
from utils.camera import Intrinsics
from utils.checkpoint import load_tensors
from utils.errors import InputError

SETTINGS = """\
device = cpu
field_resolution = 32
field_levels = 1
field_steps = 60
field_rays_per_step = 2048
retrieval_virtual_views = 20
retrieval_hypotheses = 1
"""


def test_the_command_writes_weights_that_the_comparator_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = write_world(tmp_path / "toys" / "spheres", Intrinsics.from_angle(48, 48, 0.69), queries=1)
    (tmp_path / "tiny.txt").write_text(SETTINGS)
    out = tmp_path / "comparator.safetensors"
    command = [str(toy), "--out", str(out), "--config", str(tmp_path / "tiny.txt"), "--steps", "20", "--seed", "3"]
    assert comparator_training.main([*command, "--quiet"]) == 0
    assert capsys.readouterr().out == f"{out}: 9 images of spheres\n"  # 6 held-out views and 3 queries
    weights, header = load_tensors(out)
    assert header == {"kind": "comparator", "toys": ["spheres"], "steps": 20, "seed": 3}
    comparator, shipped = load_comparator(out), load_comparator()
    assert all(torch.equal(comparator.state_dict()[name], weights[name]) for name in weights)
    assert weights.keys() == shipped.state_dict().keys()
    anomaly_map, score = comparator.compare(*pair(0, True)[:2])
    assert anomaly_map.shape == (64, 64) and 0 < score == float(anomaly_map.max())


def test_too_few_steps_for_the_schedule_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="steps must be at least 20, found 10"):
        comparator_training.main([str(tmp_path), "--steps", "10"])
