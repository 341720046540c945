"""A good photo that was called defective is confirmed, and that is taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.service.conftest import Serve


def test_a_confirmed_photo_moves_the_threshold_until_it_is_undone(start: Serve, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "ckpts", tmp_path / "ckpts")
    served = start(ckpt_dir=str(tmp_path / "ckpts"), learn=True)
    before = served.post(served.photo()).json()
    assert before["verdict"] == "defective"
    response = served.client.post(f"{before['links']['self']}/confirm_good", data={"note": "scratch is allowed"})
    change = response.json()
    assert response.status_code == 200 and change["kind"] == "confirm_good", change
    assert change["before"]["threshold"] == before["threshold"] < change["after"]["threshold"]
    stored = served.client.get(before["links"]["self"]).json()
    assert stored == {**before, "confirmed_good": change["number"]}  # the verdict stays
    assert served.post(served.photo()).json()["threshold"] == change["after"]["threshold"]
    assert served.client.post(f"{before['links']['self']}/confirm_good").status_code == 409
    undone = served.client.post("/objects/balls/undo")
    assert undone.status_code == 200 and undone.json()["number"] == change["number"]
    assert served.client.get(before["links"]["self"]).json() == before
    assert served.post(served.photo()).json()["threshold"] == before["threshold"]
    nothing = served.client.post("/objects/balls/undo")
    assert nothing.status_code == 409 and "nothing to undo" in nothing.json()["detail"]


def test_what_cannot_be_confirmed_is_refused(start: Serve, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "ckpts", tmp_path / "ckpts")
    served = start(ckpt_dir=str(tmp_path / "ckpts"), learn=True)
    broken = served.post(served.photo()[:-200]).json()
    assert served.client.post(f"/results/{broken['id']}/confirm_good").status_code == 409
    assert served.client.post("/results/20260101T120000000000-0123abcd/confirm_good").status_code == 404
    assert served.client.post("/objects/bals/undo").status_code == 404
    assert served.post(served.photo()).status_code == 200


def test_nothing_is_learned_unless_that_is_allowed(start: Serve) -> None:
    served = start()
    job_id = served.post(served.photo()).json()["id"]
    response = served.client.post(f"/results/{job_id}/confirm_good")
    assert response.status_code == 403 and "--learn" in response.json()["detail"]
    assert served.client.post("/objects/balls/undo").status_code == 403
