"""The table of the field's sharpness, on tiny views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import sharpness
from bench.measure.sharpness import HEAD, Scene, variant_config
from nerf.settings import FieldConfig
from tests.nerf.scene import ball_views
from utils.errors import InputError


def test_each_scene_has_a_row_a_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views, tiny = ball_views(), FieldConfig(resolution=32, levels=1, steps=60, rays_per_step=1024)
    scene = Scene("balls", views.subset(list(range(1, 24))), views.subset([0]))
    monkeypatch.setattr(sharpness.Scene, "read", lambda *_: scene)
    monkeypatch.setattr(sharpness, "FieldConfig", lambda: tiny)
    page = tmp_path / "RESULTS.md"
    assert sharpness.main(["balls", "--variant", "steps=1", "--quiet", "--dirty", "--page", str(page)]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "balls" in line
    ]
    assert [row[1] for row in rows] == ["default", "steps=1"] and len(rows[0]) == len(HEAD)
    trained, untrained = (float(row[2]) for row in rows)
    assert trained > untrained + 3 and 0 < float(rows[1][3]) < float(rows[0][3]) <= 1


def test_variants_change_numbers_of_the_field() -> None:
    assert variant_config("spread=0.5,steps=7") == replace(FieldConfig(), spread=0.5, steps=7)
    for wrong in ("speed=1", "steps=many", "method=mlp", "steps"):
        with pytest.raises(InputError, match="--variant"):
            variant_config(wrong)
