"""The commands of the service's page do what it says: servers are started as shown, and asked as shown."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.docs.pages import read_page
from tests.docs.test_running_commands import NETWORKS, SERVED, make_small
from tests.workplace import Workplace
from tests.world import write_world
from utils.images import read_uint8, write_png

httpx = pytest.importorskip("httpx")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")]

PAGE, HERE = Path("docs/serve.md"), "http://127.0.0.1:8000"
PATIENCE = 600.0  # seconds, on however busy a machine
SERVERS = {  # the servers that pages start, and what is asked of them; ID is that of the last result
    "python serve.py --objs pump valve": (),
    "python serve.py --objs pump valve --ckpt_dir ckpts": ("curl -F photo=@left.jpg -F object=pump {}/photos",),
    "python serve.py --objs pump --learn": (
        "curl -F photo=@left.jpg -F mask=@left_mask.png {}/photos",
        "curl -X POST {}/results/ID/confirm_good",
        "curl -X POST {}/objects/pump/undo",
        "curl -F photos=@left.jpg -F photos=@right.jpg -F name=A17 {}/parts",
        'curl -F photo=@left.jpg "{}/photos?wait=false"',
        'curl "{}/results?object=pump&threshold=0.8"',
    ),
}
WATCH = "python serve.py --watch in --to out --obj pump"
WEBHOOK = "python serve.py --webhook http://127.0.0.1:9000/verdicts"
ELSEWHERE = {f"curl -F photo=@left.jpg -F masks=auto {HERE}/photos": NETWORKS}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A copy of the program with two trained objects, and photos of them."""
    with Workplace.of(tmp_path_factory.mktemp("service") / "copy") as place:
        make_small(place.folder)
        world = write_world(place.folder / "data/mine/pump", queries=2)
        place.run("python anomaly_nerf_lego.py --data_dir data/mine --obj pump --quiet")
        shutil.copytree(place.folder / "ckpts/pump", place.folder / "ckpts/valve")
        for source, name in (("Stains/0.png", "left.jpg"), ("Stains/1.png", "right.jpg")):
            shutil.copy(world / "test" / source, place.folder / name)
        shown = read_uint8(world / "test/Stains/0.png")[..., :3]
        write_png(place.folder / "left_mask.png", np.where(shown.min(-1) < 250, 255, 0).astype(np.uint8))
        yield place


@contextmanager
def running(place: Workplace, command: str, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a program until the block ends, then end it as a service manager does."""
    words = [sys.executable, *shlex.split(command)[1:]]
    log = place.folder / "server.log"
    with log.open("w") as out, subprocess.Popen(words, cwd=place.folder, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: process.poll() is not None or ready(), log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)
    assert code == 0 and "Traceback" not in log.read_text(), log.read_text()[-3000:]


def wait_until(met: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.2)


def healthy() -> bool:
    try:
        return httpx.get(f"{HERE}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_every_command_is_run() -> None:
    asked = [question.format(HERE) for questions in SERVERS.values() for question in questions]
    assert {*SERVERS, *asked, *ELSEWHERE, WATCH, WEBHOOK} == set(SERVED)


@pytest.mark.parametrize("command", SERVERS)
def test_a_server_answers_as_shown(command: str, place: Workplace) -> None:
    with running(place, command, healthy):
        last = ""
        for question in SERVERS[command]:
            shown = question.format(HERE).replace("/ID/", f"/{last}/")
            answer = json.loads(place.run_words(["curl", "-sS", *shlex.split(shown)[1:]], shown))
            assert "detail" not in answer, answer
            last = answer.get("id", last)
            if "/parts" in shown or shown.endswith("/photos"):
                assert answer["verdict"] in ("good", "defective") and answer["state"] == "done"
        if "--ckpt_dir" in command:
            examples = read_page(PAGE).split("```python\n")[1:]
            assert examples, "the page has no example"
            for example in examples:
                assert "found/left_heat.png" in place.run_python(example.partition("```")[0])


def test_a_folder_is_watched_as_shown(place: Workplace) -> None:
    (place.folder / "in").mkdir()
    shutil.copy(place.folder / "left.jpg", place.folder / "in/left.jpg")
    verdicts = place.folder / "out/verdicts.jsonl"
    with running(place, WATCH, lambda: verdicts.is_file() and verdicts.read_text().endswith("\n")):
        line = json.loads(verdicts.read_text().splitlines()[0])
        assert line["object_name"] == "pump" and line["verdict"] in ("good", "defective")


def test_a_webhook_is_told_as_shown(place: Workplace) -> None:
    told: list[dict] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 9000), Receiver) as receiver, running(place, WEBHOOK, healthy):
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        with (place.folder / "left.jpg").open("rb") as photo:
            answer = httpx.post(f"{HERE}/photos", files={"photo": photo}, data={"object": "valve"}, timeout=PATIENCE)
        wait_until(lambda: bool(told), place.folder / "server.log")
        receiver.shutdown()
    assert told[0]["id"] == answer.json()["id"] and told[0]["object_name"] == "valve"
