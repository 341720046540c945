from __future__ import annotations

import pytest

from pipeline import warm_up


def test_it_runs_all_compiled_loops_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from inerf import kernels as alignment
    from nerf.voxel import kernels as marching

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert warm_up.main() == 0
    assert not list(tmp_path.iterdir())
    for loop in (alignment.accumulate, marching.render_window, marching.accumulate_gradient):
        assert loop.signatures
