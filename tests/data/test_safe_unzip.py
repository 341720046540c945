from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.safe_unzip import Limits, unpacked
from tests import hostile
from tests.hostile import contents, zip_of
from utils.errors import InputError
from utils.progress import Progress

QUIET = Progress(quiet=True)


def unpack(content: bytes, folder: Path, limits: Limits = Limits()) -> dict[str, bytes]:  # noqa: B008 - frozen
    """What unpacking gives; afterwards nothing but the archive may be there."""
    folder.mkdir(exist_ok=True)
    archive, place = folder / "archive.zip", folder / "inside" / "place"
    archive.write_bytes(content)
    try:
        with unpacked(archive, place, limits, QUIET) as inside:
            links = [path for path in inside.rglob("*") if path.is_symlink()]
            assert not links and inside.parent == place.parent
            return contents(inside)
    finally:
        assert set(contents(folder)) == {"archive.zip"} and not any((folder / "inside").iterdir())


def test_contents_are_those_of_the_archive(tmp_path: Path) -> None:
    files = {"a/train/good/0.png": b"picture", "a/b.txt": b"", "c": bytes(range(256)) * 5000}
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert unpack(zip_of([("a/", b""), *files.items()], compression), tmp_path / str(compression)) == files


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "C:/x", "C:x", "..\\x", "a\\x", "./x", "a//x", "x\n", "a/" * 600, "é" * 200]
)
def test_paths_that_are_not_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not safe"):
        unpack(zip_of([("fine", b"1"), (name, b"2")]), tmp_path / "x")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="link or a device"):
        unpack(buffer.getvalue(), tmp_path / "x")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["a", "a"], ["a", "A"], ["a", "a/b"], ["a/b", "a"], ["a/", "a"]])
def test_one_name_for_two_things(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match=r"twice|one name"):
        unpack(zip_of([(name, b"1") for name in names]), tmp_path / "x")


def test_bombs(tmp_path: Path) -> None:
    zeros = zip_of([("zeros", bytes(1 << 20))])
    with pytest.raises(InputError, match="not safe"):
        unpack(zeros, tmp_path / "ratio", Limits(free=0))
    with pytest.raises(InputError, match="not safe"):
        unpack(zeros, tmp_path / "bytes", Limits(bytes=1000))
    with pytest.raises(InputError, match="holds 3 files"):
        unpack(zip_of([(str(number), b"") for number in range(3)]), tmp_path / "files", Limits(files=2))


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    content = bytearray(zip_of([("zeros", bytes(1 << 20))]))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = (10).to_bytes(4, "little")
    with pytest.raises(InputError, match=r"zip file|not safe"):
        unpack(bytes(content), tmp_path / "x", Limits(bytes=1000, free=1000))


def test_encrypted_and_strange_compression(tmp_path: Path) -> None:
    content = bytearray(zip_of([("a", b"1")]))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    with pytest.raises(InputError, match="encrypted"):
        unpack(bytes(content), tmp_path / "x")
    with pytest.raises(InputError, match="method 14"):
        unpack(zip_of([("a", b"1")], zipfile.ZIP_LZMA), tmp_path / "y")


def test_what_is_no_zip(tmp_path: Path) -> None:
    whole = zip_of([("a", os.urandom(5000))])
    for number, content in enumerate([b"", b"<html>quota exceeded</html>", whole[:-30], whole[:2000]]):
        with pytest.raises(InputError, match="not a whole zip file"):
            unpack(content, tmp_path / str(number))


WHOLE = zip_of([("a/", b""), ("a/0.png", hostile.png()), ("a/b/1.txt", b"text" * 50), ("c", b"")])


@given(st.one_of(st.binary(max_size=200), hostile.damaged(WHOLE)))
def test_archives_of_any_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        hostile.ends_well(lambda: unpack(content, Path(folder) / "x", Limits(bytes=1 << 20)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(st.tuples(st.one_of(hostile.names, st.text("./\\aA:", max_size=6)), st.binary(max_size=9)), max_size=6))
def test_archives_of_any_names(entries: list[tuple[str, bytes]]) -> None:
    entries = [(name.encode(errors="ignore").decode(), content) for name, content in entries]
    with TemporaryDirectory() as folder:
        try:
            archive = zip_of([entry for entry in entries if entry[0]])
        except ValueError:  # not even a zip file can be called so
            return
        hostile.ends_well(lambda: unpack(archive, Path(folder) / "x"))
