"""The outbox: every verdict reaches the webhook, however long that is out of reach."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service import outbox as outbox_module
from service.outbox import Outbox, delay
from tests.service.conftest import Serve
from tests.service.processes import until

IDS = [f"202601{number + 10}T120000000000-0123abcd" for number in range(4)]


@dataclass
class Receiver:
    """A webhook's receiver that answers as it is told."""

    address: str = ""
    port: int = 0
    got: list[tuple[str, dict]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # statuses of the next requests; then 200
    refused: set[str] = field(default_factory=set)  # identifiers that get 400


def receive(receiver: Receiver, port: int = 0) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Idempotency-Key"]
            status = 400 if key in receiver.refused else receiver.answers.pop(0) if receiver.answers else 200
            receiver.got.append((key, content))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    receiver.port = server.server_address[1]
    receiver.address = f"http://127.0.0.1:{receiver.port}/hook"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    server = receive(receiver)
    yield receiver
    server.shutdown()
    server.server_close()


def test_messages_are_delivered_in_order_and_then_gone(receiver: Receiver, tmp_path: Path) -> None:
    box = Outbox(tmp_path, receiver.address)
    for number in (1, 0, 2):
        box.put(IDS[number], {"verdict": "good", "number": number})
    assert box.waiting() == IDS[:3]
    box.deliver(0.0)
    assert receiver.got == [(IDS[number], {"verdict": "good", "number": number}) for number in range(3)]
    assert box.waiting() == [] and list(tmp_path.iterdir()) == []


def test_a_receiver_in_trouble_is_asked_again_later_and_less_often(receiver: Receiver, tmp_path: Path) -> None:
    box = Outbox(tmp_path, receiver.address)
    receiver.answers = [500, 503, 429, 302]
    for number in range(2):
        box.put(IDS[number], {"number": number})
    now, pauses = 0.0, []
    for _ in range(4):
        pauses.append(box.deliver(now))
        assert box.waiting() == IDS[:2]
        box.deliver(now + 0.9 * pauses[-1])  # too early
        now += pauses[-1] + 1e-6
    assert [key for key, _ in receiver.got] == [IDS[0]] * 4  # one request a try, never the whole queue
    assert all(0.75 * 2**number <= pause <= 1.25 * 2**number for number, pause in enumerate(pauses))
    box.deliver(now)
    assert box.waiting() == [] and [key for key, _ in receiver.got[4:]] == IDS[:2]


def test_one_message_that_is_refused_does_not_stop_the_others(receiver: Receiver, tmp_path: Path) -> None:
    box = Outbox(tmp_path, receiver.address)
    receiver.refused = {IDS[0]}
    for number in range(3):
        box.put(IDS[number], {"number": number})
    pause = box.deliver(0.0)
    assert box.waiting() == [IDS[0]] and [key for key, _ in receiver.got] == IDS[:3]
    receiver.refused = set()
    box.deliver(pause + 1e-6)
    assert box.waiting() == []


def test_pauses_grow_to_five_minutes() -> None:
    assert all(0.75 <= delay(0) <= 1.25 and 1.5 <= delay(1) <= 2.5 and 225 <= delay(20) <= 375 for _ in range(50))


def test_verdicts_wait_for_a_receiver_that_comes_after_a_restart(
    start: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_DELAY", 0.02)
    receiver = Receiver()
    gone = receive(receiver)  # takes a free port
    gone.shutdown()
    gone.server_close()
    one = start(tmp_path / "kept", webhook=receiver.address)
    answers = [one.post(one.photo(name)).json() for name in ("Stains/0", "good/0")]
    failed = one.post(b"\x89PNG\r\n\x1a\n" + bytes(30))
    assert failed.status_code == 422 and one.service.metrics.value("pad_webhooks_waiting") == 2
    one.end()
    two = start(tmp_path / "kept", webhook=receiver.address)
    server = receive(receiver, receiver.port)
    try:
        until(lambda: len(receiver.got) >= 2 and not two.service.outbox.waiting())
        assert receiver.got == [(answer["id"], answer) for answer in answers]
        third = two.post(two.photo()).json()
        until(lambda: len(receiver.got) == 3)
        assert receiver.got[2] == (third["id"], third)
        assert two.client.get(third["links"]["heat_map"]).status_code == 200
    finally:
        server.shutdown()
        server.server_close()


def test_other_files_in_the_outbox_are_left_alone(receiver: Receiver, tmp_path: Path) -> None:
    box = Outbox(tmp_path, receiver.address)
    (tmp_path / "note.json").write_text("{}")
    (tmp_path / f"{IDS[0]}.part").write_text("{")
    box.deliver(0.0)
    assert receiver.got == [] and box.waiting() == []
