"""A watched folder: each photo and part is judged once, when it is whole, and bad files stop nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.lines import JsonLines
from service.settings import ServiceConfig
from service.watch import Watch
from tests.service.processes import started, until
from utils.errors import InputError


def config(world: Path, place: Path, **settings: object) -> ServiceConfig:
    fixed = {"ckpt_dir": str(world / "ckpts"), "device": "cpu", "min_free_mb": 0, "settle": 0.1}
    return ServiceConfig(**{**fixed, "watch": str(place / "in"), "to": str(place / "out"), **settings})


@contextmanager
def watching(settings: ServiceConfig, *names: str) -> Iterator[Watch]:
    """A running watch."""
    watch = Watch(settings, names)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join(30)
        assert not thread.is_alive()


def verdicts(place: Path) -> dict[str, dict]:
    """What the file of verdicts says, by photo; each once."""
    path = place / "out/verdicts.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []  # those that are whole
    found = [json.loads(line) for line in lines]
    assert len({entry["photo"] for entry in found}) == len(found), found
    return {entry["photo"]: entry for entry in found}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def test_photos_and_parts_get_verdicts_and_bad_files_are_reported(world: Path, place: Path) -> None:
    queries = world / "balls/test"
    shutil.copy(queries / "Stains/0.png", place / "in/there before.png")
    with watching(config(world, place), "balls"):
        (place / "in/empty.png").touch()
        (place / "in/notes.txt").write_text("hello")
        (place / "in/cut.png").write_bytes((queries / "good/0.png").read_bytes()[:-200])
        (place / "in/.hidden.png").write_bytes(b"x")
        (place / "in/half.png.part").write_bytes(b"x")
        shutil.copytree(queries / "Stains", place / "in/part 7")
        shutil.copy(queries / "Stains/1.png", place / "in/new.png")
        until(lambda: len(verdicts(place)) == 6)
    found = verdicts(place)
    assert {name: entry.get("verdict") for name, entry in found.items()} == {
        "there before.png": "defective",
        "new.png": "defective",
        "part 7": "defective",
        "empty.png": None,
        "notes.txt": None,
        "cut.png": None,
    }
    assert "empty" in found["empty.png"]["error"] and "PNG, JPEG" in found["notes.txt"]["error"]
    assert "'cut.png' cannot be read" in found["cut.png"]["error"]
    for role in ("photo", "heat_map", "reference"):
        assert (place / "out" / found["new.png"]["files"][role]).is_file()
    assert len(found["part 7"]["views"]) == 2 and (place / "in/new.png").exists()


def test_a_restart_does_nothing_twice_and_a_changed_file_is_new(world: Path, place: Path) -> None:
    photo = place / "in/a.png"
    shutil.copy(world / "balls/test/Stains/0.png", photo)
    with watching(config(world, place), "balls"):
        until(lambda: verdicts(place))
    (place / "out/verdicts.jsonl").rename(place / "yesterday.jsonl")  # as people do with logs
    with watching(config(world, place), "balls") as watch:
        shutil.copy(world / "balls/test/good/0.png", place / "in/b.png")
        until(lambda: verdicts(place))
        assert set(verdicts(place)) == {"b.png"}
        shutil.copy(world / "balls/test/Stains/1.png", photo)
        until(lambda: len(verdicts(place)) == 2)
        assert len(list(watch.service.store.newest())) == 3


def test_a_file_that_is_being_written_is_waited_for(world: Path, place: Path) -> None:
    content = (world / "balls/test/Stains/0.png").read_bytes()
    with watching(config(world, place, settle=0.6), "balls"):
        with (place / "in/slow.png").open("wb") as file:
            for start in range(0, len(content), 1 + len(content) // 6):
                file.write(content[start : start + 1 + len(content) // 6])
                file.flush()
                os.fsync(file.fileno())
                threading.Event().wait(0.15)
        until(lambda: verdicts(place))
    assert verdicts(place)["slow.png"]["verdict"] == "defective"


def test_several_objects_have_a_folder_each(world: Path, place: Path) -> None:
    for name in ("balls", "marbles"):
        (place / "in" / name).mkdir()
        shutil.copy(world / "balls/test/Stains/0.png", place / "in" / name / "a.png")
    (place / "in/loose.png").write_bytes(b"")
    with watching(config(world, place)):
        until(lambda: len(verdicts(place)) == 2)
    assert {name: entry["object_name"] for name, entry in verdicts(place).items()} == {
        "balls/a.png": "balls",
        "marbles/a.png": "marbles",
    }


def test_a_full_queue_makes_it_wait(world: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.watch.PAUSE", 0.02)
    for number in range(5):
        shutil.copy(world / "balls/test/Stains/0.png", place / f"in/{number}.png")
    with watching(config(world, place, max_queue=1), "balls"):
        until(lambda: len(verdicts(place)) == 5)
    assert all(entry["verdict"] == "defective" for entry in verdicts(place).values())


@pytest.mark.parametrize("target", ["in", "in/out", "."])
def test_folders_must_not_lie_in_each_other(world: Path, place: Path, target: str) -> None:
    with pytest.raises(InputError, match="in each other"):
        Watch(config(world, place, to=str(place / target)), ["balls"])


def test_kill_9_of_a_watch_loses_nothing_and_doubles_nothing(world: Path, place: Path) -> None:
    for number in range(8):
        shutil.copy(world / f"balls/test/{('Stains', 'good')[number % 2]}/0.png", place / f"in/{number}.png")
    words = ["--watch", str(place / "in"), "--to", str(place / "out"), "--obj", "balls", "--settle", "0.1"]
    words += ["--ckpt_dir", str(world / "ckpts")]
    with started(*words, log=place / "log") as process:
        until(lambda: len(verdicts(place)) >= 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = verdicts(place)
    assert 2 <= len(before) < 8
    with (place / "out/verdicts.jsonl").open("a") as file:
        file.write('{"photo": "cut o')  # as a crash leaves it
    with started(*words, log=place / "log") as process:
        until(lambda: len(verdicts(place)) == 8)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    after = verdicts(place)
    assert {name: after[name] for name in before} == before
    assert len(list((place / "out/results").iterdir())) == 8 and "Traceback" not in (place / "log").read_text()


def test_lines_survive_being_cut_off(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "a.jsonl")
    assert lines.read() == []
    lines.append({"a": "ü\n"})
    with lines.path.open("a") as file:
        file.write('{"a"')
    again = JsonLines(lines.path)
    again.append({"b": 1})
    assert again.read() == [{"a": "ü\n"}, {"b": 1}]
