"""Start and end of the server and of the watched folder."""

from __future__ import annotations

import ctypes
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from service.app import make_app
from service.core import Service
from service.settings import ServiceConfig
from service.watch import Watch
from utils.errors import EXIT_ERROR, InputError

KEEP_ALIVE = 5  # seconds for which an idle connection stays
MAX_CONNECTIONS = 256  # requests at once; more are answered with 503
GRACE = 30  # seconds for which open requests may go on at the end
M_ARENA_MAX, HEAPS = -8, 2  # mallopt's parameter, and how many heaps all threads share


class Server(uvicorn.Server):
    """Ends by a signal after the current job; who waits for another one is told at once that it is stored."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        """Serve ``service``."""
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; called by the signal."""
        self.service.worker.stop()
        super().handle_exit(sig, frame)


def serve(config: ServiceConfig, names: Sequence[str]) -> int:
    """Serve until a signal ends it; return the exit code."""
    share_heaps()
    token = config.read_token()
    set_up_log()
    service = Service(config, names, Path(config.store))
    listening = listen(config.host, config.port)
    settings = uvicorn.Config(
        make_app(service, token),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
    )
    host, port = listening.getsockname()[:2]
    print(f"Serving on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn handles them, and raises them again when it has ended
    server = Server(settings, service)
    server.run(sockets=[listening])
    return 0 if server.started else EXIT_ERROR


def share_heaps() -> bool:
    """Let all threads share few heaps; return whether the C library can.

    By default glibc gives each thread one of its own, and what is freed in one is of no use to the others: the memory
    of a service with many threads grows for hours. Other C libraries do not.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and mallopt(M_ARENA_MAX, HEAPS) == 1


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        InputError: where it cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        raise InputError(
            f"Cannot listen on {host}, port {port} ({error}); choose others with --host, --port."
        ) from None
    return listening


def watch(config: ServiceConfig, names: Sequence[str]) -> int:
    """Judge what appears in the watched folder until a signal ends it; return the exit code."""
    share_heaps()
    set_up_log()
    watching = Watch(config, names)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watching.stop())
    print(f"Watching {config.watch}; verdicts go to {config.to}", flush=True)
    watching.run()
    return 0


def set_up_log() -> None:
    """Write one line an event to standard error."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
