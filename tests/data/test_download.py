from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from data import download
from data.download import SOURCES, fetch, install, main
from data.safe_unzip import Limits
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
    with pytest.raises(InputError, match=r"must hold \*/train|not safe"):
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
    with pytest.raises(InputError, match=r"requirements-data\.txt, or fetch https://drive\.google\.com/file/d/1XlW5"):
        fetch("mad-sim", tmp_path, QUIET)


def test_a_page_in_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gdown")
    monkeypatch.setitem(sys.modules, "gdown", fake_gdown(b"<html>quota exceeded</html>"))
    with pytest.raises(InputError, match=r"has 0\.0 MB instead of about 970 MB.*--zip"):
        fetch("mad-sim", tmp_path, QUIET)
    with pytest.raises(InputError, match="not a whole zip file"):
        main(["ckpts", "--out", str(tmp_path), "--quiet"])
    assert contents(tmp_path).keys() == {"MAD-Sim.zip.wrong", "ckpts.zip.wrong"}


def test_a_download_is_unpacked_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gdown")
    monkeypatch.setitem(sys.modules, "gdown", fake_gdown(zip_of([("model/net_best.pth", b"1")])))
    assert main(["retrieval-model", "--out", str(tmp_path), "--quiet"]) == 0
    assert contents(tmp_path) == {"paper_weights/net_best.pth": b"1"}


def test_limits_reach_the_unpacking(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 2 files"):
        install(archive(tmp_path / "a.zip"), tmp_path / "x", ("*/train",), QUIET, Limits(files=1))


@pytest.mark.parametrize(("words", "said"), [(["mad-fake"], "mad-sim"), (["ckpts", "--zip", "/none.zip"], "--zip")])
def test_wrong_words(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        download.main([*words, "--out", str(tmp_path)])
