"""Unpacking a zip file that may be anybody's: nothing leaves the folder, no links, no bombs, all of it or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from utils.errors import InputError
from utils.progress import Progress

PIECE = 1 << 20  # bytes unpacked at once
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LONGEST_NAME = 255  # bytes of one part of a path
LONGEST_PATH = 1000  # bytes of a path within the archive


@dataclass(frozen=True)
class Limits:
    """How large an archive may become."""

    files: int = 200_000
    bytes: int = 64 << 30  # of all files together, unpacked
    ratio: float = 200.0  # unpacked to packed bytes of all files together, above the first `free` bytes
    free: int = 1 << 24  # unpacked bytes that need no excuse: a small archive of blank pictures packs well


@contextmanager
def unpacked(archive: Path, place: Path, limits: Limits, progress: Progress) -> Iterator[Path]:
    """The archive's content in a new folder beside ``place``, to be moved from there; gone when the block ends.

    Args:
        archive: a zip file.
        place: where the content is meant to go in the end, so that moving it there is a rename.
        limits: what is taken for a bomb.
        progress: where the bar goes.
    Errors:
        InputError for what is no whole zip file or holds a path that leaves the folder, two files of one name, a link,
        a device, an encrypted file, an unknown compression, or more than the limits. Nothing is left behind.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.part")
    folder.mkdir()
    try:
        _unpack(archive, folder, limits, progress)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(archive: Path, folder: Path, limits: Limits, progress: Progress) -> None:
    budget = limits.bytes
    with _as_zip(archive), zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        targets = _targets(entries, archive, limits)
        packed = sum(entry.compress_size for entry in entries)
        budget = int(min(budget, limits.free + limits.ratio * min(packed, archive.stat().st_size)))
        declared = sum(entry.file_size for entry in entries)
        if declared > budget:
            raise _bomb(archive, declared, budget)
        with progress.bar("unpack", declared, "B") as bar:
            for entry, target in zip(entries, targets):
                path = folder / target
                (path if entry.is_dir() else path.parent).mkdir(parents=True, exist_ok=True)
                if entry.is_dir():
                    continue
                with file.open(entry) as source, path.open("xb") as sink:
                    while piece := source.read(PIECE):
                        budget -= len(piece)
                        if budget < 0:  # what the entries declare may be a lie
                            raise _bomb(archive, limits.bytes - budget, limits.bytes)
                        sink.write(piece)
                        bar.update(len(piece))


@contextmanager
def _as_zip(archive: Path) -> Iterator[None]:
    """Turns what zipfile raises for a file that is no zip, or a damaged one, into one sentence."""
    try:
        yield
    except InputError:
        raise
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error) as error:
        raise _damaged(archive, error) from None
    except (EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError) as error:
        raise _damaged(archive, error) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{archive} holds a file and a folder of one name ({error}); it is not safe.") from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # these come of offsets that lie, others of the disk
            raise
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> InputError:
    return InputError(f"{archive} is not a whole zip file ({error}); fetch it again.")


def _bomb(archive: Path, size: int, limit: int) -> InputError:
    return InputError(
        f"{archive} would unpack to {size / 1e9:.2f} GB or more, at most {limit / 1e9:.2f} GB are expected of a file "
        f"of its size; it is not safe."
    )


def _targets(entries: list[zipfile.ZipInfo], archive: Path, limits: Limits) -> list[PurePosixPath]:
    """Where each entry goes, relative to the folder; an InputError names one that may not be unpacked."""
    if len(entries) > limits.files:
        raise InputError(f"{archive} holds {len(entries)} files, at most {limits.files} are expected; it is not safe.")
    seen: set[str] = set()
    targets = []
    for entry in entries:
        wrong = _what_is_wrong(entry)
        target = PurePosixPath(entry.filename)
        key = os.path.normcase(str(target)).casefold()
        if wrong is None and not entry.is_dir() and key in seen:
            wrong = "is there twice"
        if wrong:
            raise InputError(f"{entry.filename!r} in {archive} {wrong}; it is not safe to unpack.")
        seen.add(key)
        targets.append(target)
    return targets


def _what_is_wrong(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry may not be unpacked, as a phrase; None where nothing is wrong."""
    name = entry.filename
    parts = name.removesuffix("/").split("/")
    mode = entry.external_attr >> 16
    if not name or not name.isprintable() or "\\" in name or "\\" in entry.orig_filename or ":" in parts[0]:
        return "has a name that is no plain path"
    if any(part in ("", ".", "..") for part in parts):
        return "has a path that may leave the folder"
    if len(name.encode()) > LONGEST_PATH or max(len(part.encode()) for part in parts) > LONGEST_NAME:
        return "has a path that is too long"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 1:
        return "is encrypted"
    return None if entry.compress_type in METHODS else f"is compressed by method {entry.compress_type}"
