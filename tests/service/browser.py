"""Chromium without a window, driven over its DevTools protocol through two pipes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PATIENCE = 60.0  # seconds
START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Page:
    """One page of a browser."""

    def __init__(self, orders: int, answers: int) -> None:
        """Talk through two pipes."""
        self.orders, self.answers, self.last, self.rest, self.session = orders, answers, 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.order("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Network", "Log"):
            self.order(f"{domain}.enable")

    def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one order and return its answer; what else comes in is kept in ``events``."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.orders, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def receive(self) -> dict[str, Any]:
        """Wait for one message."""
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            assert select([self.answers], [], [], max(0.0, end - time.monotonic()))[0], "the browser does not answer"
            piece = os.read(self.answers, 1 << 20)
            assert piece, "the browser has ended"
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self.order("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")
        self.order("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        answer = self.order("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str, patience: float = PATIENCE) -> None:
        """Wait until an expression holds; while a page is being loaded it may fail."""
        end, tried = (
            time.monotonic() + patience,
            f"(() => {{ try {{ return {condition} }} catch {{ return false }} }})()",
        )
        while not self.run(tried):
            assert time.monotonic() < end, f"{condition}: {self.run('document.body.innerText')}"
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        """Click an element."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def enter(self, selector: str, value: str) -> None:
        """Enter a value, as a person does who then leaves the field."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{element}.value = {json.dumps(value)}; {element}.dispatchEvent(new Event('change'))")

    def choose_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in an input."""
        root = self.order("DOM.getDocument")["root"]["nodeId"]
        node = self.order("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.order("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def picture(self, path: Path, width: int = 1280, height: int = 0) -> None:
        """Take a picture of the whole page, ``width`` pixels wide."""
        size = {"width": width, "height": height or 900, "deviceScaleFactor": 1, "mobile": False}
        self.order("Emulation.setDeviceMetricsOverride", **size)
        answer = self.order("Page.captureScreenshot", format="png", captureBeyondViewport=not height)
        path.write_bytes(base64.b64decode(answer["data"]))

    def requested(self) -> list[str]:
        """Return the addresses of all requests so far."""
        self.run("1")
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def complaints(self) -> list[str]:
        """Return what the browser has complained of: exceptions, errors, what the page's policy forbade."""
        self.run("1")
        thrown = [event["params"] for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        logged = [event["params"]["entry"] for event in self.events if event.get("method") == "Log.entryAdded"]
        return [json.dumps(each) for each in [*thrown, *(each for each in logged if is_complaint(each))]]


def is_complaint(entry: dict[str, Any]) -> bool:
    """Return whether a line of the browser's log is about the page: not advice, and not the missing graphics card."""
    return entry["level"] != "verbose" and entry["source"] != "rendering"


@contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """Start a browser whose profile is in ``folder``; it ends with the block."""
    to_read, orders = os.pipe()
    answers, to_write = os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
    options += [
        f"--user-data-dir={folder}",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        "about:blank",
    ]
    command = [sys.executable, "-c", START, str(to_read), str(to_write), str(CHROMIUM), *options]
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(command, pass_fds=(to_read, to_write), stdout=log, stderr=log)
    os.close(to_read)
    os.close(to_write)
    try:
        yield Page(orders, answers)
    finally:
        os.close(orders)  # at which it ends
        os.close(answers)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
