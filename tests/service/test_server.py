"""The web service in this process: verdicts, errors, limits, and who is let in."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.model import Model
from service.core import Service
from service.objects import Objects
from tests.data.sources import write_photo
from tests.hostile import png, png_with_header
from tests.service.conftest import Serve, Served
from utils.images import read_uint8

TOKEN = "0123456789abcdef-secret"


def test_a_photo_gets_the_verdict_of_the_model(served: Served, world: Path) -> None:
    model = Model.load(world / "ckpts/balls", device="cpu")
    for name, verdict in (("Stains/0", "defective"), ("good/0", None)):
        path = world / f"balls/test/{name}.png"
        found = model.detect(path)
        response = served.post(path.read_bytes(), path.name)
        answer = response.json()
        assert response.status_code == 200 and answer["state"] == "done"
        assert answer["anomaly_score"] == found.anomaly_score and answer["threshold"] == found.threshold
        assert answer["verdict"] == found.verdict and verdict in (None, found.verdict)
        assert (
            answer["p_value"] == found.p_value
            and answer["pose_found"]
            and answer["camera_to_world"] == found.pose.tolist()
        )
        assert len(answer["regions"]) == len(found.regions) and "/" not in answer["photos"][0]


def test_pictures_of_a_result_are_there(served: Served, tmp_path: Path) -> None:
    links = served.post(served.photo()).json()["links"]
    assert set(links) == {"self", "photo", "heat_map", "reference"}
    for role in ("photo", "heat_map", "reference"):
        response = served.client.get(links[role])
        assert response.status_code == 200 and response.headers["content-type"] == "image/png"
        (tmp_path / "picture.png").write_bytes(response.content)
        assert read_uint8(tmp_path / "picture.png").shape[:2] == (64, 64)
    assert served.client.get(links["photo"]).content == served.photo()


def test_an_answer_may_be_had_later(served: Served) -> None:
    response = served.post(served.photo(), query="?wait=false")
    answer = response.json()
    assert response.status_code == 202 and response.headers["location"] == answer["links"]["self"]
    assert answer["state"] in ("queued", "running") and "verdict" not in answer
    assert served.until_done(answer["id"])["verdict"] == "defective"


def test_masks_cut_the_object_out(served: Served, world: Path) -> None:
    image = np.asarray(Image.open(world / "balls/test/good/0.png").convert("RGB"))
    shown = (image < 250).any(axis=2)
    cluttered, half = as_png(np.where(shown[..., None], image, np.uint8(40))), shown & (np.arange(64) < 32)[:, None]
    scores = []
    for mask in (shown, half):
        files = {"photo": ("a.png", cluttered), "mask": ("b.png", as_png(np.where(mask, 255, 0)))}
        response = served.client.post("/photos", files=files, data={"object": "balls"})
        assert response.status_code == 200
        scores.append(response.json()["anomaly_score"])
    plain = served.post(served.photo("good/0")).json()["anomaly_score"]
    assert scores[0] == pytest.approx(plain, rel=0.01) and scores[1] > 2 * plain
    refused = served.client.post("/photos", files=files, data={"object": "balls", "masks": "auto"})
    assert refused.status_code == 422 and "not both" in refused.json()["detail"]


def test_masks_are_found(served: Served, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.asarray(Image.open(world / "balls/test/Stains/0.png").convert("RGB"))
    shown = (image < 250).any(axis=2)
    model = served.service.objects.get("balls").model
    monkeypatch.setitem(vars(model), "saliency", lambda _: shown.astype(np.float32))
    answer = served.post(as_png(np.where(shown[..., None], image, np.uint8(40))), masks="auto").json()
    assert answer["verdict"] == "defective" and answer["pose_found"] and "mask" in answer["stage_seconds"]


def as_png(values: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_part_gets_one_verdict(served: Served, world: Path) -> None:
    paths = [world / f"balls/test/Stains/{number}.png" for number in range(2)]
    files = [("photos", (f"side {number}.png", path.read_bytes())) for number, path in enumerate(paths)]
    response = served.client.post("/parts", files=files, data={"object": "balls", "name": "A/17"})
    answer = response.json()
    assert response.status_code == 200 and answer["kind"] == "part" and answer["name"] == "17"
    assert answer["verdict"] == "defective" and answer["photos"] == ["side 0.png", "side 1.png"]
    assert [view["name"] for view in answer["views"]] == answer["photos"] and answer["stage_seconds"]["refine"] > 0
    for view in answer["views"]:
        assert set(view["links"]) >= {"photo", "heat_map"} and view["verdict"] == "defective"
        assert all(served.client.get(link).status_code == 200 for link in view["links"].values())
    assert str(served.service.store.folder) not in response.text
    listed = served.client.get("/results", params={"threshold": 1e9}).json()["results"][0]
    assert listed["id"] == answer["id"] and "verdict_at_threshold" not in listed


def test_parts_have_at_most_so_many_photos_and_masks_by_name(start: Serve) -> None:
    served = start(max_photos=2)
    photo = served.photo()
    three = [("photos", (f"{number}.png", photo)) for number in range(3)]
    assert "1 to 2 photos" in served.client.post("/parts", files=three, data={"object": "balls"}).json()["detail"]
    wrong = [*three[:2], ("mask", ("0.png", photo)), ("mask", ("7.png", photo))]
    response = served.client.post("/parts", files=wrong, data={"object": "balls"})
    assert response.status_code == 422 and "paired with photos by name" in response.json()["detail"]
    assert served.client.post("/parts", data={"object": "balls"}).status_code == 422


def test_history_shows_what_another_threshold_would_have_said(start: Serve) -> None:
    served = start()
    first, second = served.post(served.photo("good/0")).json(), served.post(served.photo()).json()
    found = served.client.get("/results", params={"threshold": 1e6, "object": "balls"}).json()
    assert [each["id"] for each in found["results"]] == [second["id"], first["id"]] and found["next_before"] is None
    assert [each["verdict_at_threshold"] for each in found["results"]] == ["good", "good"]
    assert [each["verdict"] for each in found["results"]] == [second["verdict"], first["verdict"]]
    assert served.client.get(f"/results/{first['id']}?threshold=0").json()["verdict_at_threshold"] == "defective"
    again = served.client.get(f"/results/{first['id']}").json()
    assert again["verdict"] == first["verdict"] and "verdict_at_threshold" not in again
    page = served.client.get("/results", params={"limit": 1}).json()
    assert page["next_before"] == second["id"]
    older = served.client.get("/results", params={"limit": 1, "before": page["next_before"]}).json()
    assert [each["id"] for each in older["results"]] == [first["id"]]
    assert served.client.get("/results", params={"object": "marbles"}).json()["results"] == []


def test_history_outlives_the_service(start: Serve, tmp_path: Path) -> None:
    one = start(tmp_path / "kept")
    job_id = one.post(one.photo()).json()["id"]
    one.end()
    two = start(tmp_path / "kept")
    assert two.client.get(f"/results/{job_id}").json()["verdict"] == "defective"


def test_objects_are_told_apart_and_the_nearest_is_named(served: Served) -> None:
    listed = served.client.get("/objects").json()["objects"]
    assert [each["object_name"] for each in listed] == ["balls", "marbles"] and listed[0]["width"] == 64
    wrong = served.post(served.photo(), object="marbels")
    assert wrong.status_code == 404 and "did you mean marbles" in wrong.json()["detail"]
    missing = served.client.post("/photos", files={"photo": ("a.png", served.photo())})
    assert missing.status_code == 422 and "balls, marbles" in missing.json()["detail"]
    assert served.post(served.photo(), object="marbles").json()["object_name"] == "marbles"


@pytest.mark.parametrize(
    ("content", "name", "status", "words"),
    [
        (b"", "a.png", 422, "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", 415, "PNG, JPEG"),
        (b"PK\3\4" + bytes(100), "a.png", 415, "convert"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a.png", 415, "convert"),
        (b"\x89PNG\r\n\x1a\n", "a.png", 422, "cannot be read"),
        (png_with_header(2**15, 2**14, 8, 2, 0), "bomb.png", 422, "bomb.png"),
        (png_with_header(10_000, 10_000, 8, 2, 0), "large.png", 413, "10000x10000 pixels"),
        (png(64, 64)[:-300], "cut.png", 422, "cut.png"),
        (png(64, 32), "wide.png", 422, "32x64"),
        (png(64, 64), "noise" * 30 + "ü.png", 200, None),
        (png(64, 64), "../../etc/passwd", 200, None),
    ],
)
def test_photos_as_nobody_should_send_them(served: Served, content: bytes, name: str, status: int, words: str) -> None:
    response = served.post(content, name)
    assert response.status_code == status, response.text
    if words:
        detail = response.json()["detail"]
        assert words in detail and str(served.service.store.folder) not in detail and len(detail) < 400


def test_what_cannot_be_judged_is_in_the_history(served: Served) -> None:
    answer = served.post(png(64, 64)[:-300], "cut.png").json()
    found = served.client.get(answer["result"]).json()
    assert found["state"] == "failed" and "cut.png" in found["error"] and "verdict" not in found


def test_sizes_are_limited(start: Serve) -> None:
    served = start(max_photo_mb=1, max_request_mb=3, max_megapixels=1)
    large = served.photo() + bytes(1_100_000)
    assert served.post(large).status_code == 413
    huge = served.photo() + bytes(3_100_000)
    response = served.post(huge)
    assert response.status_code == 413 and "3 MB" in response.json()["detail"]

    def pieces() -> Iterator[bytes]:  # without Content-Length
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
        for _ in range(40):
            yield bytes(100_000)
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    streamed = served.client.post("/photos", content=pieces(), headers=headers)
    assert streamed.status_code == 413 and "3 MB" in streamed.json()["detail"]
    assert list(served.service.store.incoming.iterdir()) == [] and list(served.service.store.newest()) == []
    assert served.post(served.photo()).status_code == 200


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Jobs wait until it is set."""
    event, judge = threading.Event(), Service.judge

    def gated(self: Service, job: object) -> object:
        assert event.wait(20)
        return judge(self, job)

    monkeypatch.setattr(Service, "judge", gated)
    yield event
    event.set()


def test_a_full_queue_says_when_to_come_again(start: Serve, gate: threading.Event) -> None:
    served = start(max_queue=2)
    accepted = [served.post(served.photo(), query="?wait=false") for _ in range(6)]
    codes = [response.status_code for response in accepted]
    assert codes[:2] == [202, 202] and codes[-1] == 503 and codes.count(202) in (2, 3)
    refused = accepted[-1]
    assert int(refused.headers["retry-after"]) >= 1 and "waiting already" in refused.json()["detail"]
    assert served.service.metrics.value("pad_queue_length") == codes.count(202)
    gate.set()
    for response in accepted:
        if response.status_code == 202:
            served.until_done(response.json()["id"])
    assert served.service.metrics.value("pad_queue_length") == 0
    assert len(list(served.service.store.newest())) == codes.count(202)


def test_a_job_that_takes_too_long_is_kept(start: Serve, gate: threading.Event) -> None:
    served = start(max_wait=0.05)
    response = served.post(served.photo())
    answer = response.json()
    assert response.status_code == 504 and "0.05 seconds" in answer["detail"] and response.headers["retry-after"]
    assert served.client.get(answer["result"]).status_code == 202
    gate.set()
    assert served.until_done(answer["id"])["verdict"] == "defective"


def test_the_end_tells_who_waits_and_the_next_start_goes_on(
    start: Serve, gate: threading.Event, tmp_path: Path
) -> None:
    served = start(tmp_path / "kept")
    jobs = [served.post(served.photo(), query="?wait=false").json()["id"] for _ in range(2)]
    answers: list = []
    waiting = threading.Thread(target=lambda: answers.append(served.post(served.photo())))
    waiting.start()
    while served.service.worker.length < 3:
        pass
    served.service.worker.stop()
    waiting.join(10)
    assert answers[0].status_code == 503 and "after the next start" in answers[0].json()["detail"]
    assert served.post(served.photo()).status_code == 503
    gate.set()
    served.end()
    again = start(tmp_path / "kept")
    for job_id in [*jobs, answers[0].json()["id"]]:
        assert again.until_done(job_id)["verdict"] == "defective"
    assert len(list(again.service.store.newest())) == 3


def test_a_full_disk_takes_no_more_photos(start: Serve) -> None:
    served = start()
    served.service.store.min_free_bytes = 10**18
    response = served.post(served.photo())
    assert response.status_code == 507 and "MB left" in response.json()["detail"]
    assert list(served.service.store.incoming.iterdir()) == [] and served.service.worker.length == 0


def test_the_same_key_is_judged_once(start: Serve) -> None:
    served = start()
    first, second = (served.post(served.photo(), key="photo-17") for _ in range(2))
    assert first.status_code == second.status_code == 200 and first.json() == second.json()
    assert len(list(served.service.store.newest())) == 1
    other = served.post(served.photo("good/0"), key="photo-17")
    assert other.status_code == 409 and "its own" in other.json()["detail"]
    assert served.post(served.photo(), key="x" * 201).status_code == 422


def test_a_fault_of_the_program_is_told_in_one_sentence(start: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = start()

    def broken(*_: object) -> None:
        raise RuntimeError(f"secret {served.folder}")

    monkeypatch.setattr("service.judge.judge_photo", broken)
    response = served.post(served.photo())
    assert response.status_code == 500 and "RuntimeError" in response.json()["detail"] and "secret" not in response.text
    monkeypatch.undo()
    assert served.post(served.photo()).status_code == 200


def test_a_job_that_ends_the_program_again_and_again_is_given_up(
    start: Serve, gate: threading.Event, tmp_path: Path
) -> None:
    served = start(tmp_path / "kept")
    job_id = served.post(served.photo(), query="?wait=false").json()["id"]
    (served.service.store.place(job_id) / "starts").write_bytes(b".....")
    gate.set()
    assert "5 times" in served.until_done(job_id)["error"]


def test_a_disk_that_fills_while_judging_loses_nothing(
    start: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = start(tmp_path / "kept")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.judge.judge_photo", full)
    answer = served.post(served.photo())
    assert answer.status_code == 503
    monkeypatch.undo()
    served.end()
    assert start(tmp_path / "kept").until_done(answer.json()["id"])["verdict"] == "defective"


def test_names_of_the_host_are_checked_on_loopback(served: Served) -> None:
    for host in ("127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:9"):
        assert served.client.get("/health", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "evil.example:8000"):
        assert served.client.get("/results", headers={"Host": host}).status_code == 400


def test_pages_of_other_sites_cannot_send(served: Served) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        response = served.client.post("/photos", files={"photo": ("a.png", served.photo())}, headers=headers)
        assert response.status_code == 403 and "access-control-allow-origin" not in response.headers
    own = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    files = {"photo": ("a.png", served.photo())}
    assert served.client.post("/photos", files=files, data={"object": "balls"}, headers=own).status_code == 200


def test_a_proxy_may_call_it_otherwise(start: Serve) -> None:
    served = start(allowed_hosts=("pc.example",))
    for origin, status in (
        ("https://pc.example", 422),
        ("https://pc.example.evil", 403),
        ("http://pc.example:8443", 422),
    ):
        response = served.client.post("/photos", headers={"Origin": origin, "Host": "127.0.0.1:8000"})
        assert response.status_code == status
    assert served.client.get("/health", headers={"Host": "PC.example"}).status_code == 200


def test_every_answer_has_the_security_headers(served: Served) -> None:
    links = served.post(served.photo()).json()["links"]
    for path in ("/", "/health", "/nothing", "/results/x", "/page.js", links["heat_map"]):
        headers = served.client.get(path).headers
        assert (
            headers["x-content-type-options"] == "nosniff"
            and "default-src 'none'" in headers["content-security-policy"]
        )
        assert headers["referrer-policy"] == "no-referrer" and "server" not in headers


def test_a_token_lets_in(start: Serve) -> None:
    served = start(token=TOKEN)
    client = served.client
    for path in ("/objects", "/results", "/metrics", "/health", "/openapi.json"):
        assert client.get(path).status_code == 401 and client.get(path).headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"):
            assert client.get(path, headers={"Authorization": wrong.encode()}).status_code == 401
        assert client.get(path, headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert served.post(served.photo()).status_code == 401
    assert client.get("/").status_code == 200 and TOKEN not in client.get("/").text
    assert client.post("/session", data={"token": "wrong"}).status_code == 401
    begun = client.post("/session", data={"token": TOKEN})
    assert begun.status_code == 204 and TOKEN not in begun.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(begun.headers["set-cookie"].split("; "))
    assert client.get("/results").status_code == 200
    client.cookies.set("pad_session", "0" * 64)
    assert client.get("/results", headers={"Cookie": "pad_session=00"}).status_code == 401


def test_metrics_count(start: Serve) -> None:
    served = start()
    served.post(served.photo())
    served.post(b"")
    served.client.get("/nothing/17")
    text = served.client.get("/metrics").text
    for line in (
        'pad_requests_total{code="200",method="POST",route="/photos"} 1.0',
        'pad_requests_total{code="422",method="POST",route="/photos"} 1.0',
        'pad_requests_total{code="404",method="GET",route="other"} 1.0',
        'pad_verdicts_total{kind="photo",object="balls",verdict="defective"} 1.0',
        'pad_stage_seconds_count{stage="refine"} 1.0',
        "pad_queue_length 0.0",
    ):
        assert line in text, line
    assert "process_resident_memory_bytes" in text


def test_health_tells_what_is_loaded(start: Serve, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "ckpts", tmp_path / "ckpts")
    spoilt = tmp_path / "ckpts/marbles/field.safetensors"
    spoilt.write_bytes(spoilt.read_bytes()[:-20])
    served = start(ckpt_dir=str(tmp_path / "ckpts"))
    response = served.client.get("/health")
    states = {each["object_name"]: each for each in response.json()["objects"]}
    assert response.status_code == 200 and states["balls"]["state"] == "ready"
    assert states["marbles"]["state"] == "failed" and "checkpoint" in states["marbles"]["error"]
    refused = served.post(served.photo(), object="marbles")
    assert refused.status_code == 503 and served.post(served.photo()).status_code == 200


def test_photos_are_refused_until_their_object_is_loaded(start: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Event()
    read = Objects._read
    monkeypatch.setattr(Objects, "_read", lambda self, name: (loading.wait(20), read(self, name))[1])
    monkeypatch.setattr(Objects, "ready", property(lambda self: True))  # the fixture waits for it
    served = start()
    monkeypatch.undo()
    assert served.client.get("/health").status_code == 503 and not served.client.get("/health").json()["ready"]
    response = served.post(served.photo())
    assert response.status_code == 503 and response.headers["retry-after"] and "loaded" in response.json()["detail"]
    loading.set()


def test_the_interface_describes_itself(served: Served) -> None:
    found = served.client.get("/openapi.json").json()
    assert {"/photos", "/parts", "/results", "/results/{job_id}", "/health", "/metrics"} <= set(found["paths"])
    codes = set(found["paths"]["/photos"]["post"]["responses"])
    assert {"200", "202", "404", "413", "415", "422", "503", "504", "507"} <= codes
    for name in ("Result", "Region", "Problem", "Health"):
        assert found["components"]["schemas"][name]["description"]
    assert "examples" in json.dumps(found["components"]["schemas"]["Result"])


def test_a_sideways_photo_is_turned(served: Served, world: Path, tmp_path: Path) -> None:
    upright = Image.open(world / "balls/test/Stains/0.png").convert("RGB")
    write_photo(tmp_path / "photo.png", 6, np.asarray(upright.transpose(Image.Transpose.ROTATE_90)))
    turned = served.post((tmp_path / "photo.png").read_bytes()).json()
    assert turned["anomaly_score"] == pytest.approx(served.post(served.photo()).json()["anomaly_score"], rel=0.02)
