"""The guard before all routes: names of the host, the token, other sites' requests, sizes, headers, counting."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from service.metrics import Metrics
from service.refusals import RefusalError

LOG = logging.getLogger("service")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "pad_session"
OPEN = frozenset({"/", "/page.css", "/page.js", "/session"})  # what needs no token: it tells nothing
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """Lets a request through to ``app``, or answers it itself."""

    app: App
    metrics: Metrics
    token: str  # empty: none is needed
    host_names: frozenset[str]  # empty: any
    max_bytes: int  # of a request's body
    check_place: Callable[[], object]  # raises a RefusalError where nothing can be accepted
    session: str = field(init=False, default="")  # what the page's cookie holds

    def __post_init__(self) -> None:
        object.__setattr__(self, "session", session_of(self.token))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI defines it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Sent(send)
        headers = headers_of(scope)
        try:
            self.check(scope, headers)
            await self.app(scope, self.counted(receive), sent)
        except RefusalError as refusal:
            await refusal_response(refusal)(scope, receive, sent)
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            if sent.status:
                raise
            answer = JSONResponse({"detail": "The program failed at this request; its log says where."}, 500)
            await answer(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", "")
            self.metrics.count_request(scope["method"], route, sent.status)

    def check(self, scope: Message, headers: dict[str, str]) -> None:
        """Raise a RefusalError for a request that must not go on, before anything of its body is read."""
        host = headers.get("host", "")
        if self.host_names and host_name(host) not in self.host_names:
            raise RefusalError(
                400,
                f"The service is not called {host[:100]!r}; ask it by its address, or start it with --allowed_hosts.",
            )
        if scope["method"] not in SAFE:
            self.check_origin(headers, host)
        if self.token and scope["path"] not in OPEN and not self.knows(headers):
            raise RefusalError(401, "A token is needed: send the header Authorization: Bearer TOKEN.")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or len(length) > 18:
            raise RefusalError(400, "Content-Length must be a number of bytes.")
        if int(length) > self.max_bytes:
            raise too_large(self.max_bytes)
        if scope["method"] == "POST" and scope["path"] in ("/photos", "/parts"):
            self.check_place()

    def check_origin(self, headers: dict[str, str], host: str) -> None:
        """Raise a RefusalError for what the page of another site makes a browser send."""
        origin = headers.get("origin")
        own = origin is None or host_of(origin) == host.lower() or host_name(host_of(origin)) in self.host_names
        if not own or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise RefusalError(403, "Pages of other sites may not send anything to this service.")

    def knows(self, headers: dict[str, str]) -> bool:
        """Return whether a request carries the token, or the cookie that the page got for it."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same(token.strip(), self.token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and same(cookie.value, self.session)

    def counted(self, receive: Receive) -> Receive:
        """Return ``receive`` that stops where the body is larger than allowed, whatever its header said."""
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise HTTPException(413, too_large(self.max_bytes).sentence)
            return message

        return counting


class Sent:
    """Passes an answer on, with the security headers, and remembers its status."""

    def __init__(self, send: Send) -> None:
        """Wrap ``send`` of ASGI."""
        self.send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            there = {name.lower() for name, _ in message.get("headers", [])}
            more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            message = {
                **message,
                "headers": [*message.get("headers", []), *(one for one in more if one[0] not in there)],
            }
        await self.send(message)


def headers_of(scope: Message) -> dict[str, str]:
    """Return a request's headers by their names in lower case; of several of one name the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def host_of(origin: str) -> str:
    """Return the host and port in an Origin header, in lower case; empty where it names none.

    >>> host_of("http://PC.example:8000"), host_of("null"), host_of("http://[::1")
    ('pc.example:8000', '', '')
    """
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def host_name(host: str) -> str:
    """Return the name in a Host header, without port and brackets, in lower case.

    >>> host_name("LocalHost:8000"), host_name("[::1]:8000"), host_name("127.0.0.1"), host_name("a@b")
    ('localhost', '::1', '127.0.0.1', '')
    """
    if "@" in host or "/" in host:
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def same(given: str, wanted: str) -> bool:
    """Compare secrets in a time that does not tell how much of them is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def session_of(token: str) -> str:
    """Return what the page's cookie holds instead of the token: worthless once the token is changed."""
    return hmac.new(token.encode(), b"page", hashlib.sha256).hexdigest()


def too_large(max_bytes: int) -> RefusalError:
    """Return the refusal of a request's size."""
    return RefusalError(413, f"A request must have {max_bytes / 1e6:g} MB at most; send fewer or smaller photos.")


def refusal_response(refusal: RefusalError) -> JSONResponse:
    """Return the answer of a refusal."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"detail": refusal.sentence}, refusal.status, headers)
