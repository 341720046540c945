from __future__ import annotations

import io
import os
import stat
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.commands import download_command as main
from data.download import extracted, fetch, install
from data.mad_facts import SOURCES
from tests import hostile
from tests.hostile import contents, zip_of
from utils.errors import InputError
from utils.progress import Progress

QUIET = Progress(quiet=True)
MAD = [("MAD-Sim/01Gorilla/train/good/0.png", b"view"), ("MAD-Sim/01Gorilla/transforms.json", b"{}")]


def archive(path: Path, entries: list[tuple[str, bytes]] = MAD) -> Path:
    path.write_bytes(zip_of(entries))
    return path


def test_an_archive_fetched_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = archive(tmp_path / "by hand.zip")
    assert main(["mad-sim", "--out", str(tmp_path / "data"), "--zip", str(file), "--quiet"]) == 0
    placed = {"LEGO-3D/01Gorilla/train/good/0.png": b"view", "LEGO-3D/01Gorilla/transforms.json": b"{}"}
    assert contents(tmp_path / "data") == placed and file.is_file()
    assert "holds 2 files" in (said := capsys.readouterr().out) and f"verify {tmp_path / 'data/LEGO-3D'}" in said


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    words = ["mad-sim", "--out", str(tmp_path), "--zip", str(archive(tmp_path / "a.zip")), "--quiet"]
    (tmp_path / "LEGO-3D").mkdir()
    (tmp_path / "LEGO-3D/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        main(words)
    assert (tmp_path / "LEGO-3D/mine.txt").is_file()
    assert main([*words, "--overwrite"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"LEGO-3D", "a.zip"}
    assert not (tmp_path / "LEGO-3D/mine.txt").exists()


@pytest.mark.parametrize("entries", [[("photos/1.png", b"")], [], [("01Gorilla/train/x", b""), ("../x", b"")]])
def test_another_archive_leaves_everything_as_it_was(tmp_path: Path, entries: list[tuple[str, bytes]]) -> None:
    folder = tmp_path / "LEGO-3D"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"must hold \*/train|leaves the folder"):
        install(archive(tmp_path / "a.zip", entries), folder, ("*/train",), QUIET)
    assert contents(tmp_path).keys() == {"LEGO-3D/mine.txt", "a.zip"}


@pytest.mark.parametrize("top", ["", "ckpts/", "ckpts/LEGO-3D/"])
def test_content_may_lie_in_folders_of_any_names(tmp_path: Path, top: str) -> None:
    file = archive(tmp_path / "a.zip", [(f"{top}01Gorilla.tar", b"1"), ("__MACOSX/._x.tar", b"2"), ("readme", b"3")])
    install(file, tmp_path / "paper_ckpts", SOURCES["ckpts"].holds, QUIET)
    assert contents(tmp_path / "paper_ckpts")["01Gorilla.tar"] == b"1"


def fake_gdown(content: bytes | Exception) -> SimpleNamespace:
    """A gdown that finds ``content`` on the Drive."""
    from gdown import exceptions

    def found(id: str, output: str, quiet: bool, resume: bool, use_cookies: bool) -> None:
        assert resume and not use_cookies and id in {source.drive_id for source in SOURCES.values()}
        if isinstance(content, Exception):
            raise content
        Path(output).write_bytes(content)

    return SimpleNamespace(download=found, exceptions=exceptions)


def test_without_a_network_one_sentence_says_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gdown")
    error = ConnectionError("HTTPSConnectionPool(...): Max retries exceeded with url: ...\nFailed to resolve")
    monkeypatch.setitem(sys.modules, "gdown", fake_gdown(error))
    for what, source in SOURCES.items():
        with pytest.raises(InputError) as caught:
            fetch(what, tmp_path / "data", QUIET)
        said = str(caught.value)
        assert source.link in said and source.file_name in said and str(tmp_path / "data" / source.folder) in said
        assert f"python -m data download {what}" in said and "cannot be reached" in said and "\n" not in said


def test_without_gdown_one_sentence_says_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(InputError, match=r'\.\[data\]", or download https.*/1XlW5'):
        fetch("mad-sim", tmp_path, QUIET)


def test_a_page_in_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gdown")
    monkeypatch.setitem(sys.modules, "gdown", fake_gdown(b"<html>quota exceeded</html>"))
    with pytest.raises(InputError, match=r"has 0\.0 MB instead of about 970 MB.*--zip"):
        fetch("mad-sim", tmp_path, QUIET)
    with pytest.raises(InputError, match="not a complete zip file"):
        main(["ckpts", "--out", str(tmp_path), "--quiet"])
    assert contents(tmp_path).keys() == {"MAD-Sim.zip.wrong", "ckpts.zip.wrong"}


def test_a_download_is_unpacked_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gdown")
    monkeypatch.setitem(sys.modules, "gdown", fake_gdown(zip_of([("model/net_best.pth", b"1")])))
    assert main(["retrieval-model", "--out", str(tmp_path), "--quiet"]) == 0
    assert contents(tmp_path) == {"paper_weights/net_best.pth": b"1"}


@pytest.mark.parametrize(("words", "said"), [(["mad-fake"], "mad-sim"), (["ckpts", "--zip", "/none.zip"], "--zip")])
def test_wrong_words(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        main([*words, "--out", str(tmp_path)])


def extract(content: bytes, folder: Path, most: int = 1 << 20) -> dict[str, bytes]:
    """Return the extracted files; afterwards nothing but the archive may be left."""
    folder.mkdir(exist_ok=True)
    archive, target = folder / "archive.zip", folder / "inside" / "target"
    archive.write_bytes(content)
    try:
        with extracted(archive, target, QUIET, most) as inside:
            assert not [path for path in inside.rglob("*") if path.is_symlink()] and target.parent in inside.parents
            return contents(inside)
    finally:
        assert set(contents(folder)) == {"archive.zip"} and not any((folder / "inside").iterdir())


def test_contents_are_those_of_the_archive(tmp_path: Path) -> None:
    files = {"a/train/good/0.png": b"image", "a/b.txt": b"", "c": bytes(range(256)) * 500}
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert extract(zip_of([("a/", b""), *files.items()], compression), tmp_path / str(compression)) == files


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:/x", "C:x", "..\\x", "a\\..\\..\\x"])
def test_paths_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leaves the folder"):
        extract(zip_of([("fine", b"1"), (name, b"2")]), tmp_path / "x")


def test_links(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        extract(buffer.getvalue(), tmp_path / "x")


def test_bombs(tmp_path: Path) -> None:
    bomb = zip_of([("zeros", bytes(1 << 20)), ("one", b"1")])
    with pytest.raises(InputError, match="GB are expected"):
        extract(bomb, tmp_path / "honest")
    lying = bytearray(bomb)
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = lying.index(signature) + offset
        lying[place : place + 4] = (10).to_bytes(4, "little")
    with pytest.raises(InputError, match="cannot be extracted"):
        extract(bytes(lying), tmp_path / "lying")


def test_damaged_archives(tmp_path: Path) -> None:
    whole = zip_of([("a", os.urandom(5000))])
    for number, content in enumerate([b"", b"<html>quota exceeded</html>", whole[:-30], whole[:2000]]):
        with pytest.raises(InputError, match="cannot be extracted"):
            extract(content, tmp_path / str(number))


WHOLE = zip_of([("a/", b""), ("a/0.png", hostile.png()), ("a/b/1.txt", b"text" * 50), ("c", b"")])


@given(st.one_of(st.binary(max_size=200), hostile.damaged(WHOLE)))
def test_archives_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        hostile.ends_well(lambda: extract(content, Path(folder) / "x"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(st.tuples(st.one_of(hostile.names, st.text("./\\aA:", max_size=6)), st.binary(max_size=9)), max_size=6))
def test_archives_of_any_names(entries: list[tuple[str, bytes]]) -> None:
    entries = [(name.encode(errors="ignore").decode(), content) for name, content in entries]
    with TemporaryDirectory() as folder:
        try:
            archive = zip_of([entry for entry in entries if entry[0]])
        except ValueError:  # not even a zip file can have such a name
            return
        hostile.ends_well(lambda: extract(archive, Path(folder) / "x"))
