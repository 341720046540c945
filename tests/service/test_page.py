"""The page, in a real browser: photos are dropped, verdicts and history appear, nothing comes from elsewhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from service.app import make_app
from service.core import Service
from service.settings import ServiceConfig
from service.start import listen
from tests.service.browser import CHROMIUM, Page, opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
READY = "document.querySelector('#state').innerText.startsWith('ready')"
SHOWN = "[...document.querySelectorAll('#pictures img')].every((one) => one.complete && one.naturalWidth === 64)"
TOKEN = "0123456789abcdef-secret"


@dataclass(frozen=True)
class Running:
    address: str
    service: Service
    world: Path


@contextmanager
def running(world: Path, store: Path, token: str = "") -> Iterator[Running]:
    """A server in this process that a browser can reach."""
    config = ServiceConfig(ckpt_dir=str(world / "ckpts"), device="cpu", store=str(store), min_free_mb=0)
    service, listening = Service(config, (), store), listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(service, token), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not (server.started and service.objects.ready):
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", service, world)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


@pytest.fixture(scope="module")
def server(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(world, tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def drop(page: Page, paths: list[Path]) -> None:
    """Drop photos on the page, as a person drags them there."""
    files = json.dumps([(path.name, list(path.read_bytes())) for path in paths])
    page.run(
        f"""(() => {{
        const dataTransfer = new DataTransfer();
        for (const [name, content] of {files})
            dataTransfer.items.add(new File([new Uint8Array(content)], name, {{ type: "image/png" }}));
        const dropped = new DragEvent("drop", {{ dataTransfer, bubbles: true, cancelable: true }});
        document.querySelector("#zone").dispatchEvent(dropped);
        }})()"""
    )


def test_photos_dropped_get_verdicts_with_pictures_and_history(server: Running, page: Page, tmp_path: Path) -> None:
    page.open(server.address)
    page.until(READY)
    assert page.run("[...document.querySelector('#object').options].map((one) => one.text)") == ["balls", "marbles"]
    drop(page, [server.world / "balls/test/good/0.png", server.world / "balls/test/Stains/0.png"])
    page.until("document.querySelectorAll('#history tbody tr').length === 2")
    page.until("document.querySelector('#verdict').innerText === 'defective'")
    page.until(SHOWN)
    assert page.run("document.querySelectorAll('#pictures img').length") == 3
    stored = [server.service.store.result(job_id) for job_id in server.service.store.newest()]
    assert [each["verdict"] for each in stored] == page.run(
        "[...document.querySelectorAll('#history tbody tr')].map((row) => row.cells[1].innerText)"
    )
    assert "0.png" in page.text("#history") and "threshold" in page.text("#scale-text")
    page.picture(tmp_path / "page.png")
    page.click("#history tbody tr:last-child")
    assert page.text("#verdict") == stored[-1]["verdict"]


LATE = """window.plain = window.fetch; window.fetch = async (address, options) => {
    const answer = await window.plain(address, options);
    if (String(address).startsWith("/results?") && !String(address).includes("threshold"))
        await new Promise((done) => setTimeout(() => { window.late = true; done(); }, 500));
    return answer;
}"""  # answers without another threshold come after those with one


def test_another_threshold_is_only_a_view(server: Running, page: Page) -> None:
    page.open(server.address)
    page.until("document.querySelectorAll('#history tbody tr').length >= 2")
    page.run(LATE)
    assert page.run("document.querySelector('#threshold').disabled")  # of several objects: which one's?
    page.click("#this-object")
    page.until("!document.querySelector('#threshold').disabled")
    before = page.run("[...document.querySelectorAll('#history tbody tr')].map((row) => row.cells[1].innerText)")
    assert "defective" in before
    page.enter("#threshold", "1000000")
    page.until(
        "!document.querySelector('#at-head').hidden && document.querySelector('#counts').innerText.includes('differ')"
    )
    page.until("window.late")
    rows = "[...document.querySelectorAll('#history tbody tr')].map((row) => row.cells[{}].innerText)"
    assert set(page.run(rows.format(2))) == {"good"} and page.run(rows.format(1)) == before
    assert f"({before.count('defective')} differ)" in page.text("#counts")
    page.click("#reset")
    page.until("document.querySelector('#at-head').hidden")


def test_several_photos_are_one_part(server: Running, page: Page) -> None:
    page.open(server.address)
    page.until(READY)
    page.click("input[name=kind][value=part]")
    page.enter("#name", "A17")
    page.choose_files("#files", [server.world / f"balls/test/Stains/{number}.png" for number in range(2)])
    page.until("document.querySelector('#verdict').innerText === 'defective'")
    assert "A17 (2 photos)" in page.text("#what")
    page.until("document.querySelector('#history').innerText.includes('A17')")
    newest = server.service.store.result(next(iter(server.service.store.newest())))
    assert newest["kind"] == "part" and len(newest["views"]) == 2
    assert newest["files"]["page"].endswith("A17/part.html") and not page.run(
        "document.querySelector('#part-page').hidden"
    )
    page.until("document.querySelectorAll('#pictures img').length === 4")
    page.until(SHOWN)
    page.open(page.run("document.querySelector('#part-page').href"))
    page.until("document.body.innerText.includes('A17') && document.images.length >= 2")
    page.until("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


def test_what_is_refused_is_said(server: Running, page: Page, tmp_path: Path) -> None:
    (tmp_path / "<b>notes.png").write_text("hello")
    page.open(server.address)
    page.until(READY)
    page.choose_files("#files", [tmp_path / "<b>notes.png"])
    page.until("document.querySelector('#sending li.bad') !== null")
    assert "<b>notes.png" in page.text("#sending") and "PNG, JPEG" in page.text("#sending")
    assert page.run("document.querySelector('#sending b')") is None


def test_a_result_has_an_address(server: Running, page: Page) -> None:
    newest = next(iter(server.service.store.newest("balls")))
    page.open(f"{server.address}/#{newest}")
    page.until("!document.querySelector('#shown').hidden")
    assert newest in page.run("document.querySelector('#json').href")


def test_nothing_comes_from_elsewhere_and_nothing_is_amiss(server: Running, page: Page) -> None:
    asked = [address for address in page.requested() if not address.startswith(("about:", "blob:", "data:"))]
    assert len(asked) > 10 and all(address.startswith(server.address) for address in asked)
    complaints = [text for text in page.complaints() if "415" not in text]  # which a test above has asked for
    assert complaints == []


def test_a_token_signs_in(world: Path, page: Page, tmp_path: Path) -> None:
    with running(world, tmp_path / "store", TOKEN) as server:
        page.open(server.address)
        page.until("!document.querySelector('#sign-in').hidden")
        page.run("document.querySelector('#token').value = 'wrong wrong wrong wrong'")
        page.click("#sign-in button")
        page.until("document.querySelector('#sign-in-error').innerText.includes('not the token')")
        page.run(f"document.querySelector('#token').value = {TOKEN!r}")
        page.click("#sign-in button")
        page.until(f"document.querySelector('#sign-in').hidden && {READY}")
        drop(page, [world / "balls/test/Stains/0.png"])
        page.until("document.querySelector('#verdict').innerText === 'defective'")
        page.until(SHOWN)
