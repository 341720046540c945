"""``python -m data download``: MAD-Sim, MAD-Real and the paper's weights from their authors' Google Drive.

The links, names and sizes are those of the README of github.com/EricLee0224/PAD. The data are licensed CC BY-NC-SA 4.0
and are not part of this program.
"""

from __future__ import annotations

import argparse
import shutil
import stat
import struct
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from types import ModuleType

from data.mad_facts import SOURCES, Archive
from utils.errors import InputError
from utils.progress import Progress

SIZE_TOLERANCE = 0.15  # relative difference allowed between a file and its published, rounded size
LARGEST_CONTENT = 64 << 30  # bytes of all files of an archive
EXTRACT_ERRORS = (  # by zipfile, for damaged archives, and by the system
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError, OSError
)  # fmt: skip


def run_download(args: argparse.Namespace) -> int:
    """Download, check and extract one archive; return the exit code."""
    progress = Progress(args.quiet)
    source = SOURCES[args.what]
    folder = args.out / source.folder
    if folder.exists() and not args.overwrite:
        raise InputError(f"{folder} exists already; give another folder with --out, or --overwrite.")
    archive = args.zip or fetch(args.what, args.out, progress)
    if not archive.is_file():
        raise InputError(f"There is no file {archive}; correct --zip.")
    count = install(archive, folder, source.holds, progress)
    if args.zip is None and not args.keep:
        archive.unlink()
    print(f"{folder} holds {count} files.\nNext: {source.next_step.format(folder=folder)}")
    return 0


def fetch(what: str, out: Path, progress: Progress) -> Path:
    """Download the archive ``SOURCES[what]`` to ``out``, resuming an interrupted download; return its path.

    Raises:
        InputError: with the link, the file name and the command for a file downloaded by hand, where gdown, the
            network or the permission is missing, or where another file arrives.
    """
    source = SOURCES[what]
    path = out / source.file_name
    by_hand = (
        f"download {source.link} with a browser and run: python -m data download {what} --out {out} --zip "
        f"{source.file_name} (its content goes to {out / source.folder})"
    )
    try:
        import gdown  # noqa: PLC0415  optional extra
    except ImportError:
        raise InputError(f'gdown is not installed: run pip install -e ".[data]", or {by_hand}.') from None
    out.mkdir(parents=True, exist_ok=True)
    progress.info(f"Downloading {source.link} to {path}")
    try:
        gdown.download(id=source.drive_id, output=str(path), quiet=progress.quiet, resume=True, use_cookies=False)
    except _errors(gdown) as error:
        raise InputError(f"{source.file_name} could not be downloaded ({_reason(error)}); {by_hand}.") from None
    wrong = what_is_wrong(path, source)
    if wrong:
        if path.is_file():  # or the next run would resume it
            path.replace(path.with_name(f"{path.name}.wrong"))
        raise InputError(f"{path} {wrong}, see {path.name}.wrong; {by_hand}.")
    return path


def _errors(gdown: ModuleType) -> tuple[type[Exception], ...]:
    """Return what gdown raises: without network, without permission, and from version 6 on for the rest."""
    known = (getattr(gdown.exceptions, name, None) for name in ("FileURLRetrievalError", "DownloadError"))
    return (OSError, *(error for error in known if error is not None))


def _reason(error: Exception) -> str:
    """Return why a download failed, on one line and without long addresses."""
    text = " ".join(str(error).split())
    offline = any(part in text for part in ("Failed to resolve", "Max retries", "unreachable", "timed out"))
    return "drive.google.com cannot be reached" if offline else text[:200].rstrip(". ") or type(error).__name__


def what_is_wrong(path: Path, source: Archive) -> str | None:
    """Return what is wrong with a downloaded archive, as a phrase, or None."""
    if not path.is_file():
        return "did not arrive"
    megabytes = path.stat().st_size / 1e6
    if source.megabytes and abs(megabytes / source.megabytes - 1.0) > SIZE_TOLERANCE:
        return f"has {megabytes:.1f} MB instead of about {source.megabytes:.0f} MB"
    return None if zipfile.is_zipfile(path) else "is not a complete zip file"


def install(archive: Path, folder: Path, holds: tuple[str, ...], progress: Progress) -> int:
    """Extract an archive so that what it ``holds`` lies in ``folder``, which is replaced atomically.

    Args:
        archive: a zip file; its content may lie in folders of any names.
        folder: where the content goes.
        holds: name patterns of which at least one must match; the folder where it does is the content's top.
        progress: shows the bar.
    Returns:
        The number of files installed.
    Raises:
        InputError: where the archive is unsafe, damaged or holds something else; ``folder`` is then unchanged.
    """
    with extracted(archive, folder, progress) as content:
        top = find_top(content, holds)
        if top is None:
            found = ", ".join(sorted(path.name for path in content.iterdir())[:5]) or "nothing"
            raise InputError(f"{archive} must hold {' or '.join(holds)}, found {found}; is it the right file?")
        count = sum(path.is_file() for path in top.rglob("*"))
        old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
        if folder.exists():
            folder.replace(old)
        top.replace(folder)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)
    return count


@contextmanager
def extracted(archive: Path, target: Path, progress: Progress, most: int = LARGEST_CONTENT) -> Iterator[Path]:
    """Extract a zip file into a temporary folder beside ``target``, which is deleted when the block ends.

    Raises:
        InputError: where the file is no valid zip, has links or paths that leave the folder, or declares more than
            ``most`` bytes; zipfile never extracts more than is declared.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        folder = Path(temporary) / "content"  # unlike its parent, with the usual permissions
        folder.mkdir()
        try:
            with zipfile.ZipFile(archive) as file:
                entries = file.infolist()
                check_entries(entries, most)
                for entry in progress.track(entries, "extract"):
                    file.extract(entry, folder)
        except EXTRACT_ERRORS as error:
            raise InputError(f"{archive} cannot be extracted: {error}; download it again.") from None
        yield folder


def check_entries(entries: list[zipfile.ZipInfo], most: int) -> None:
    """Raise BadZipFile for empty names, links, paths that leave the folder, and more than ``most`` bytes."""
    for entry in entries:
        if not entry.filename:  # older zipfile modules fail on it
            raise zipfile.BadZipFile("an entry has no name")
        path = PureWindowsPath(entry.filename)  # which knows both separators, and drives
        if path.anchor or ".." in path.parts:
            raise zipfile.BadZipFile(f"{entry.filename!r} leaves the folder")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise zipfile.BadZipFile(f"{entry.filename!r} is a link")
    size = sum(entry.file_size for entry in entries)
    if size > most:
        raise zipfile.BadZipFile(f"its files have {size / 1e9:.2f} GB, at most {most / 1e9:.2f} GB are expected")


def find_top(content: Path, holds: tuple[str, ...]) -> Path | None:
    """Return the topmost folder in ``content`` in which a pattern of ``holds`` matches, or None."""
    level = [content]
    while level:
        for folder in level:
            if any(True for pattern in holds for _ in folder.glob(pattern)):
                return folder
        level = sorted(path for folder in level for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
        level = [path for path in level if path.name != "__MACOSX"]
    return None
