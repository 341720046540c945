"""A server that is killed or ended loses nothing of what it has accepted, and judges nothing twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx

from tests.service.processes import address_of, started, until

POSTS = 14


def words(world: Path, store: Path) -> list[str]:
    return ["--objs", "balls", "--ckpt_dir", str(world / "ckpts"), "--store", str(store), "--port", "0"]


def send(client: httpx.Client, world: Path, number: int) -> str:
    """Send a photo under a key of its own; return its identifier."""
    photo = (world / f"balls/test/{('Stains', 'good')[number % 2]}/0.png").read_bytes()
    headers = {"Idempotency-Key": f"photo {number}"}
    response = client.post("/photos?wait=false", files={"photo": (f"{number}.png", photo)}, headers=headers)
    assert response.status_code in (200, 202), response.text
    return response.json()["id"]


def unfinished(store: Path) -> list[str]:
    return [path.name for path in (store / "results").iterdir() if not (path / "result.json").exists()]


def finished(store: Path) -> list[str]:
    return [path.name for path in (store / "results").iterdir() if (path / "result.json").exists()]


def test_kill_9_in_the_middle_loses_nothing_and_doubles_nothing(world: Path, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    with started(*words(world, store), log=log) as process:
        client = httpx.Client(base_url=address_of(process, log), timeout=30)
        accepted = [send(client, world, number) for number in range(POSTS)]
        until(lambda: len(finished(store)) >= 2)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    left, before = (
        unfinished(store),
        {job_id: (store / "results" / job_id / "result.json").read_bytes() for job_id in finished(store)},
    )
    assert len(left) >= 3 and len(before) >= 2  # it was in the middle
    with started(*words(world, store), log=log) as process:
        client = httpx.Client(base_url=address_of(process, log), timeout=30)
        again = [send(client, world, number) for number in range(POSTS)]  # as who has not seen the answer
        assert again == accepted
        until(lambda: not unfinished(store))
        found = client.get("/results?limit=200").json()["results"]
    assert sorted(each["id"] for each in found) == sorted(accepted) and len(set(accepted)) == POSTS
    for each in found:
        number = int(each["photos"][0].removesuffix(".png"))
        assert accepted[number] == each["id"] and each["state"] == "done"
        assert number % 2 or each["verdict"] == "defective"
    for job_id, content in before.items():
        assert (store / "results" / job_id / "result.json").read_bytes() == content  # not judged again
        assert (store / "results" / job_id / "starts").read_bytes() == b"."


def test_sigterm_ends_it_after_the_current_photo(world: Path, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    with started(*words(world, store), log=log) as process:
        client = httpx.Client(base_url=address_of(process, log), timeout=30)
        accepted = [send(client, world, number) for number in range(5)]
        until(lambda: finished(store))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()
    assert sorted(finished(store) + unfinished(store)) == sorted(accepted) and unfinished(store)
    begun = [job_id for job_id in accepted if (store / "results" / job_id / "starts").exists()]
    assert sorted(begun) == sorted(finished(store))  # none was left half done
    for job_id in finished(store):
        assert json.loads((store / "results" / job_id / "result.json").read_text())["state"] == "done"
