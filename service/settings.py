"""Settings of the service and of the watched folder; nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from utils.config import require
from utils.errors import InputError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MIN_TOKEN = 16  # characters of a token


@dataclass(frozen=True)
class ServiceConfig:
    """What is served, where, and within which limits."""

    ckpt_dir: str = "ckpts"  # folder of the trained objects, one folder an object
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute; auto takes a CUDA device if there is one
    weights_dir: str = ""  # folder in which pretrained weights are searched first
    store: str = "output/service"  # folder of accepted photos and results; a watched folder's are in --to
    host: str = "127.0.0.1"  # address to listen on; one that other machines reach needs --token_file
    port: int = 8000  # 0: a free one, which is printed
    token_file: str = ""  # file whose first line is the token that every request must carry
    allowed_hosts: tuple[str, ...] = ()  # names by which the service is called, besides its address
    max_queue: int = 32  # photos and parts that wait; more are refused with 503 and Retry-After
    max_photo_mb: int = 40  # size of one photo or mask, 10⁶ bytes
    max_request_mb: int = 400  # size of a whole request, 10⁶ bytes
    max_megapixels: int = 64  # pixels of one photo or mask, millions
    max_photos: int = 40  # photos of one part
    max_wait: float = 60.0  # seconds until a request is answered with 504; its result is stored all the same
    keep: float = 0.0  # days after which results are removed; 0: never
    keep_results: int = 10_000  # results that are kept, the newest; 0: all
    min_free_mb: int = 500  # free space of the disk below which new photos are refused, 10⁶ bytes
    learn: bool = False  # allow results to be confirmed as good, from which their object learns
    webhook: str = ""  # address to which each verdict's JSON is posted
    watch: str = ""  # folder whose photos are judged instead of a server's; needs --to
    to: str = ""  # folder of a watched folder's verdicts
    masks: Literal["none", "auto"] = "none"  # of a watched folder's photos; auto: found by a network and the pose
    settle: float = 2.0  # seconds for which a watched file must not have changed

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, "port", "between 0 and 65535", self.port)
        for key in ("max_queue", "max_photo_mb", "max_request_mb", "max_megapixels", "max_photos"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        for key in ("keep", "keep_results", "min_free_mb"):
            require(0 <= getattr(self, key) < float("inf"), key, "0 or more", getattr(self, key))
        for key in ("max_wait", "settle"):
            require(0 < getattr(self, key) < 1e6, key, "more than 0 seconds", getattr(self, key))
        if self.webhook:
            address = urlsplit(self.webhook)
            whole = address.scheme in ("http", "https") and bool(address.hostname)
            require(whole, "webhook", "an address that begins with http:// or https://", self.webhook)
        if bool(self.watch) != bool(self.to):
            raise InputError("A watched folder needs both --watch IN and --to OUT; give the other one, too.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the service."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def read_token(self) -> str:
        """Return the token that requests must carry, empty where none is needed.

        Raises:
            InputError: where it is missing, too short, or needed and not given.
        """
        if not self.token_file:
            if not self.is_local:
                raise InputError(
                    f"--host {self.host} lets other machines in, which needs --token_file F, a file with a secret of "
                    f"{MIN_TOKEN} characters or more; give one, or listen on 127.0.0.1."
                )
            return ""
        try:
            token = (Path(self.token_file).read_text(encoding="ascii").splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The token file {self.token_file} cannot be read ({error}); check it.") from None
        if len(token) < MIN_TOKEN or not token.isprintable() or " " in token:
            raise InputError(
                f"The first line of {self.token_file} must be a secret of {MIN_TOKEN} characters or more without "
                f"spaces, found {len(token)} characters; write a longer one."
            )
        return token

    def host_names(self) -> frozenset[str]:
        """Return the names by which browsers may call the service, in lower case; empty where any will do.

        On loopback the name is checked always: otherwise a page of another site, whose name is made to lead to
        127.0.0.1, could ask the service. Elsewhere the token keeps such pages out.
        """
        if not self.is_local and not self.allowed_hosts:
            return frozenset()
        own = LOOPBACK_NAMES if self.is_local else ()
        return frozenset(name.lower() for name in (*own, self.host, *self.allowed_hosts))
