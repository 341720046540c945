"""The store: what is accepted is there whole or not at all, and stays until it is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs import Job, is_file_path, is_id, new_id, safe_stems, shown_name
from service.store import DiskFullError, Store
from tests.hostile import contents, names
from utils.errors import InputError


def job(number: int = 0, key: str = "", object_name: str = "balls") -> Job:
    return Job(
        f"20200101T12000000{number:04d}-0123abcd", "photo", object_name, ("a.png",), ("a.png",), "none", "now", key
    )


def write(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos/a.png").write_bytes(b"photo")


def done(store: Store, one: Job) -> None:
    store.accept(one, write)
    store.begin(one)
    store.finish(one, {"id": one.id, "state": "done"})


def test_what_is_not_done_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in (2, 0, 1):
        store.accept(job(number), write)
    store.begin(job(0))
    store.finish(job(0), {"id": job(0).id, "state": "done"})
    store.begin(job(1))
    (store.place(job(1).id) / "found/half.png").touch()
    store.close()
    again = Store(tmp_path)
    assert [each.id for each in again.pending()] == [job(1).id, job(2).id] and again.pending()[0] == job(1)
    assert again.begin(job(1)) == 2 and list((again.place(job(1).id) / "found").iterdir()) == []
    assert list(again.newest()) == [job(0).id] and again.result(job(0).id) == {"id": job(0).id, "state": "done"}


def test_half_a_job_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> None:
        write(folder)
        raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        store.accept(job(), fail)
    assert store.pending() == [] and not any(path.name == "a.png" for path in tmp_path.rglob("*"))
    (store.incoming / job(1).id / "photos").mkdir(parents=True)  # as a crash leaves it
    store.close()
    again = Store(tmp_path)
    assert again.pending() == [] and list(again.incoming.iterdir()) == []


def test_two_processes_do_not_share_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(InputError, match="Another process"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_keys_are_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.accept(job(key="abc"), write)
    store.close()
    again = Store(tmp_path)
    assert again.known("abc") == (job().id, "") and again.known("x") is None and again.known("") is None


@pytest.mark.parametrize(("count", "days", "left"), [(0, 0, 4), (2, 0, 2), (9, 0, 4), (0, 1, 1), (1, 1, 1)])
def test_old_results_go_and_unfinished_jobs_stay(tmp_path: Path, count: int, days: float, left: int) -> None:
    store = Store(tmp_path)
    for number in range(3):
        done(store, job(number, key=str(number)))
    fresh = Job(new_id(), "photo", "balls", ("a.png",), ("a.png",), "none", "now", "fresh")
    done(store, fresh)
    store.accept(job(7), write)
    store.prune(count, days)
    assert len(list(store.newest())) == left and next(iter(store.newest())) == fresh.id
    assert [each.id for each in store.pending()] == [job(7).id]
    assert store.known("fresh") is not None and (store.known("0") is None) == (left < 4)
    assert len(list(store.results.iterdir())) == left + 1 and not list(store.gone.iterdir())


def test_history_is_the_newest_first_and_of_one_object(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(4):
        done(store, job(number, object_name="balls" if number % 2 else "pump"))
    assert list(store.newest()) == [job(number).id for number in (3, 2, 1, 0)]
    assert list(store.newest("balls")) == [job(3).id, job(1).id]
    assert list(store.newest(before=job(2).id)) == [job(1).id, job(0).id]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path, min_free_bytes=10**18)
    with pytest.raises(DiskFullError, match="MB left"):
        store.check_space()
    store.min_free_bytes = 0
    store.check_space()


def test_damaged_records_are_no_jobs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, text in enumerate(["", "{", "[]", "null", '{"id": 1}', json.dumps({"files": 1, "names": 2})]):
        folder = store.results / job(number).id
        folder.mkdir()
        (folder / "job.json").write_text(text)
    store.close()
    assert Store(tmp_path).pending() == []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one job, and a file beside it."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "x.png").write_bytes(b"secret")
    store = Store(folder / "store")
    done(store, job())
    return store


@given(names, names, names)
def test_no_name_leads_out_of_the_store(kept: Store, job_id: str, folder: str, name: str) -> None:
    place = kept.place(job().id)
    for one in (job_id, job().id):
        for other in (name, f"{folder}/{name}", f"photos/{name}", f"found/{folder}/{name}"):
            path = kept.file(one, other)
            assert path is None or path.resolve().is_relative_to(place)
    assert kept.file(job().id, "photos/a.png") == place / "photos/a.png"
    (place / "photos/link.png").unlink(missing_ok=True)
    (place / "photos/link.png").symlink_to(kept.folder.parent / "x.png")
    assert kept.file(job().id, "photos/link.png") is None and kept.file(job().id, "job.json") is None
    with pytest.raises(ValueError, match="identifier"):
        kept.place(job_id)


@given(st.lists(names, min_size=1, max_size=8))
def test_files_get_names_that_every_system_takes(called: list[str]) -> None:
    stems = safe_stems(called)
    assert len({stem.lower() for stem in stems}) == len(called)
    assert all(is_file_path(f"found/{stem}_heat.png") and len(stem) <= 70 for stem in stems)
    for name in called:
        shown = shown_name(name)
        assert 0 < len(shown) <= 100 and not set(shown) & set("/\\\n\0") and shown.encode("utf-8")


def test_identifiers_sort_by_time_and_differ() -> None:
    found = [new_id() for _ in range(200)]
    assert all(map(is_id, found)) and len(set(found)) == 200
    assert [one[:21] for one in found] == sorted(one[:21] for one in found)


def test_contents_of_a_job_are_what_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.accept(job(), write)
    found = contents(store.place(job().id))
    assert found.keys() == {"job.json", "photos/a.png"} and found["photos/a.png"] == b"photo"
