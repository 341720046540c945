"""A tiny trained object under two names, and services of it in this process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from fastapi.testclient import TestClient

import omniposead as pad
from service.app import make_app
from service.core import Service
from service.settings import ServiceConfig
from tests.world import tiny_config, write_world
from utils.camera import Intrinsics


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of an object in ``balls``, and the object trained, in ``ckpts`` under two names."""
    folder = tmp_path_factory.mktemp("served")
    write_world(folder / "balls", Intrinsics.from_angle(64, 64, 0.69), queries=2)
    pad.train(folder / "balls", tiny_config(ckpt_dir=str(folder / "ckpts")))
    shutil.copytree(folder / "ckpts/balls", folder / "ckpts/marbles")
    return folder


@dataclass(frozen=True)
class Served:
    """A service in this process."""

    client: TestClient
    service: Service
    folder: Path

    def end(self) -> None:
        """End the service, once."""
        if self.client.portal is not None:
            self.client.__exit__(None, None, None)

    def photo(self, name: str = "Stains/0") -> bytes:
        return (self.folder / f"balls/test/{name}.png").read_bytes()

    def post(self, content: bytes, name: str = "photo.png", query: str = "", **fields: str):
        headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
        data = {"object": "balls", **fields}
        return self.client.post(f"/photos{query}", files={"photo": (name, content)}, data=data, headers=headers)

    def until_done(self, job_id: str, seconds: float = 20.0) -> dict:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            response = self.client.get(f"/results/{job_id}")
            if response.status_code == 200:
                return response.json()
            assert response.status_code == 202
            time.sleep(0.02)
        raise AssertionError(f"{job_id} is not done after {seconds} seconds")


Serve = Callable[..., Served]


def serve(world: Path, store: Path, token: str = "", names: tuple[str, ...] = (), **settings: object) -> Served:
    """A service, once its objects are loaded; the client must be closed."""
    fixed = {"ckpt_dir": str(world / "ckpts"), "device": "cpu", "store": str(store), "min_free_mb": 0}
    config = ServiceConfig(**{**fixed, **settings})
    service = Service(config, names, store)
    client = TestClient(make_app(service, token), base_url="http://127.0.0.1")
    client.__enter__()
    end = time.monotonic() + 20
    while not service.objects.ready and time.monotonic() < end:
        time.sleep(0.01)
    return Served(client, service, world)


@pytest.fixture
def start(world: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start services with settings; they end with the test."""
    with ExitStack() as ends:

        def begin(store: Path | None = None, **settings: object) -> Served:
            served = serve(world, store or tmp_path / "store", **settings)
            ends.callback(served.end)
            return served

        yield begin


@pytest.fixture(scope="module")
def served(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests of a file that do not change its settings."""
    running = serve(world, tmp_path_factory.mktemp("store"))
    yield running
    running.end()
