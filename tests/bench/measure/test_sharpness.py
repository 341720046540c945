"""The table of the field's sharpness, on tiny views."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure import sharpness
from bench.measure.sharpness import HEAD, Scene, variant_config
from pipeline.config import Config
from tests.nerf.scene import ball_views
from utils.config import values_of
from utils.errors import InputError

TINY = "field_resolution=32 field_levels=1 field_rays_per_step=1024"


def test_each_scene_has_a_row_a_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = ball_views()
    scene, tiny = Scene(views.subset(list(range(1, 24))), views.subset([0])), f"{TINY} field_steps=60"
    monkeypatch.setattr(sharpness.Scene, "read", lambda *_: scene)
    monkeypatch.setattr(sharpness, "variant_config", lambda text: variant_config(text or tiny))
    page, untrained = tmp_path / "RESULTS.md", f"{TINY} field_steps=1"
    assert sharpness.main(["a/balls", "--variant", untrained, "--quiet", "--dirty", "--page", str(page)]) == 0
    lines = [line for line in page.read_text().splitlines() if line.startswith("| balls")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[1] for row in rows] == ["default", untrained] and len(rows[0]) == len(HEAD)
    trained, plain = (float(row[2]) for row in rows)
    assert trained > plain + 3 and 0 < float(rows[1][3]) < float(rows[0][3]) <= 1


def test_variants_are_settings() -> None:
    changed = values_of(variant_config("field_spread=0.5 image_size=200"))
    assert changed == {**values_of(Config()), "field_spread": 0.5, "image_size": 200}
    for wrong in ("field_speed=1", "field_steps=many", "field_steps"):
        with pytest.raises(InputError):
            variant_config(wrong)
