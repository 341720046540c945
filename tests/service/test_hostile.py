"""Whatever is sent, the service answers with a status of 4xx and one sentence, or judges it, and goes on."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import damaged, names, pictures, png
from tests.service.conftest import Served

FIELDS = st.dictionaries(
    st.sampled_from(["object", "masks", "photo", "mask", "photos", "x" * 200, "", 'a"b', "é"]),
    st.one_of(st.sampled_from(["balls", "bals", "auto", "none", "\0", "ü" * 70]), st.text(max_size=20)),
    max_size=3,
)
NAMES = st.one_of(names, st.sampled_from(["a.svg", "图" * 70 + ".png", "a.png\r\nX: y", "con", "..", "a" * 5000]))
KINDS = st.sampled_from(["image/png", "text/html", "image/svg+xml", "", "application/zip", "x" * 300])
PATHS = st.sampled_from(["/photos", "/parts", "/photos?wait=false", "/photos?wait=maybe", "/session"])


def encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def is_fair(served: Served, response) -> None:
    """Whether an answer is a result or a refusal in one sentence that tells nothing of this machine."""
    assert response.status_code in (200, 202, 204) or 400 <= response.status_code < 500, response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    if response.status_code >= 400:
        detail = response.json()["detail"]
        assert isinstance(detail, str) and 0 < len(detail) < 700 and "Traceback" not in detail
        assert str(served.folder) not in detail and str(served.service.store.folder) not in detail
    assert list(served.service.store.incoming.iterdir()) == []


@given(pictures, NAMES, KINDS, FIELDS, PATHS)
def test_hostile_files(served: Served, content: bytes, name: str, kind: str, fields: dict[str, str], path: str) -> None:
    field = "photos" if path == "/parts" else "photo"
    files = [(field, (encodable(name), content, kind)), ("mask", ("m.png", content))][: 1 + len(content) % 2]
    data = {encodable(key): encodable(value) for key, value in {"object": "balls", **fields}.items()}
    is_fair(served, served.client.post(path, files=files, data=data))


@given(damaged(png(64, 64)))
def test_damaged_photos_of_the_right_size(served: Served, content: bytes) -> None:
    response = served.post(content)
    is_fair(served, response)
    assert response.status_code in (200, 415, 422)


WHOLE = (
    b'--x\r\nContent-Disposition: form-data; name="object"\r\n\r\nballs\xff\xfe\r\n'
    b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a\xff.png"\r\nContent-Type: image/png\r\n\r\n'
    + png()
    + b"\r\n--x--\r\n"
)


@given(
    st.one_of(damaged(WHOLE), st.just(WHOLE), st.binary(max_size=200)),
    st.sampled_from(
        [
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=" + "y" * 300,
            "application/x-www-form-urlencoded",
            "application/json",
            "",
            "multipart/form-data; charset=utf-16; boundary=x",
        ]
    ),
    PATHS,
)
def test_hostile_bodies(served: Served, body: bytes, kind: str, path: str) -> None:
    is_fair(served, served.client.post(path, content=body, headers={"Content-Type": kind}))


@given(
    st.sampled_from(["GET", "POST", "HEAD", "DELETE", "PUT", "OPTIONS", "PATCH", "BREW"]),
    st.lists(names, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["limit", "before", "threshold", "object", "x"]), st.text(max_size=9), max_size=3),
    st.sampled_from(["", "results", "results/20261130T120000000000-0123abcd/files", "health"]),
)
def test_hostile_addresses(served: Served, method: str, parts: list[str], query: dict[str, str], start: str) -> None:
    path = "/" + "/".join([start, *(quote(encodable(part), safe="./\\") for part in parts)]).lstrip("/")
    params = {key: encodable(value) for key, value in query.items()}
    response = served.client.request(method, f"http://127.0.0.1{path}", params=params)
    assert response.status_code < 500 and b"root:" not in response.content
    if method != "HEAD" and response.status_code >= 400:
        assert isinstance(response.json()["detail"], str)


@given(
    st.dictionaries(
        st.sampled_from(
            ["Host", "Origin", "Cookie", "Content-Length", "Idempotency-Key", "Authorization", "Sec-Fetch-Site"]
        ),
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from([b"9" * 30, b"-1", b"127.0.0.1:x", b"[::1", b"http://[", b'pad_session="\\']),
        ),
        max_size=3,
    )
)
def test_hostile_headers(served: Served, headers: dict[str, bytes]) -> None:
    clean = {key: value.replace(b"\n", b"").replace(b"\r", b"").replace(b"\0", b"") for key, value in headers.items()}
    for method, path in (("POST", "/photos"), ("GET", "/results")):
        is_fair(served, served.client.request(method, path, headers=clean))


def test_the_service_has_survived(served: Served) -> None:
    assert served.post(served.photo()).json()["verdict"] == "defective"
    assert served.service.worker.alive and served.client.get("/health").status_code == 200
