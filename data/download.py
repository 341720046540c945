"""``python -m data download``: MAD-Sim, MAD-Real and the paper's weights from their authors' Google Drive.

The links, names and sizes are those of the README of github.com/EricLee0224/PAD. The data are licensed CC BY-NC-SA 4.0,
and are not part of this program.
"""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from data.command import command_parser
from data.safe_unzip import Limits, unpacked
from utils.errors import InputError
from utils.progress import Progress

SIZE_TOLERANCE = 0.15  # by which a file may differ from the size that its authors round


@dataclass(frozen=True)
class Source:
    """One of the authors' archives."""

    drive_id: str  # of the file on Google Drive
    file_name: str  # what the archive is called here
    megabytes: float | None  # its size as its authors give it; None where they do not
    folder: str  # where its content goes, in --out
    holds: tuple[str, ...]  # patterns of which at least one is matched at the content's top
    next_step: str  # what to run then; {folder} is where the content lies

    @property
    def link(self) -> str:
        """The page from which a browser fetches the file."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view"


SOURCES = {
    "mad-sim": Source(
        "1XlW5v_PCXMH49RSKICkskKjd2A5YDMQq",
        "MAD-Sim.zip",
        970.0,
        "LEGO-3D",
        ("*/train",),
        "python -m data verify {folder}",
    ),
    "mad-real": Source(
        "146sKbkUUFW7xJTG2LGm_OgXjMX3fDNxN",
        "MAD-Real.zip",
        2190.0,
        "MAD-Real",
        ("*/train",),
        "python -m data verify {folder} --expect mad-real",
    ),
    "ckpts": Source(
        "1MVokoxPQ9CVo0rSxvdRvTj0bqSp-kXze",
        "ckpts.zip",
        None,
        "paper_ckpts",
        ("*.tar",),
        "python anomaly_nerf_lego.py --obj 01Gorilla --config configs/paper.txt --ft_path {folder}/01Gorilla.tar",
    ),
    "retrieval-model": Source(
        "16FOwaqQE0NGY-1EpfoNlU0cGlHjATV0V",
        "model.zip",
        None,
        "paper_weights",
        ("net_best.pth", "*.ckpt"),
        "give --weights_dir {folder} to training and testing",
    ),
}


def main(arguments: list[str]) -> int:
    """Fetch, check and unpack one archive; returns the exit code."""
    parser = command_parser("download", __doc__.splitlines()[0].split(": ", 1)[1])
    parser.add_argument("what", choices=SOURCES, help="which archive")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder in which the content's folder is made")
    parser.add_argument("--zip", type=Path, help="the archive itself, where it was fetched by hand")
    parser.add_argument("--keep", action="store_true", help="keep the downloaded archive in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that is there")
    given = parser.parse_args(arguments)
    progress = Progress(given.quiet)
    source = SOURCES[given.what]
    folder = given.out / source.folder
    if folder.exists() and not given.overwrite:
        raise InputError(f"There is {folder} already; name another folder with --out, or give --overwrite.")
    archive = given.zip or fetch(given.what, given.out, progress)
    if not archive.is_file():
        raise InputError(f"There is no file {archive}; correct --zip.")
    count = install(archive, folder, source.holds, progress)
    if given.zip is None and not given.keep:
        archive.unlink()
    print(f"{folder} holds {count} files.\nNext: {source.next_step.format(folder=folder)}")
    return 0


def fetch(what: str, out: Path, progress: Progress) -> Path:
    """The archive of ``SOURCES[what]`` in ``out``, downloaded, or what an earlier run began brought to its end.

    Errors:
        InputError with the link, the file's name and the command that takes a file fetched by hand, where there is no
        gdown, no network, no leave to download, or where what arrives is another file.
    """
    source = SOURCES[what]
    path = out / source.file_name
    by_hand = (
        f"fetch {source.link} with a browser and run: python -m data download {what} --out {out} --zip "
        f"{source.file_name} (it goes to {out / source.folder})"
    )
    try:
        import gdown
    except ImportError:
        raise InputError(f"gdown is not installed: pip install -r requirements-data.txt, or {by_hand}.") from None
    out.mkdir(parents=True, exist_ok=True)
    progress.say(f"Fetching {source.link} to {path}")
    try:
        gdown.download(id=source.drive_id, output=str(path), quiet=progress.quiet, resume=True, use_cookies=False)
    except _errors(gdown) as error:
        raise InputError(f"{source.file_name} could not be downloaded ({_reason(error)}); {by_hand}.") from None
    wrong = what_is_wrong(path, source)
    if wrong:
        if path.is_file():  # or the next run would take it for whole
            path.replace(path.with_name(f"{path.name}.wrong"))
        raise InputError(f"{path} {wrong}, see {path.name}.wrong; {by_hand}.")
    return path


def _errors(gdown: ModuleType) -> tuple[type[Exception], ...]:
    """What gdown raises: without a network, without leave, and from version 6 on for the rest."""
    known = (getattr(gdown.exceptions, name, None) for name in ("FileURLRetrievalError", "DownloadError"))
    return (OSError, *(error for error in known if error is not None))


def _reason(error: Exception) -> str:
    """Why a download failed, short: the first line, without the addresses that a browser needs no help with."""
    text = " ".join(str(error).split())
    offline = any(sign in text for sign in ("Failed to resolve", "Max retries", "unreachable", "timed out"))
    return "drive.google.com cannot be reached" if offline else text[:200].rstrip(". ") or type(error).__name__


def what_is_wrong(path: Path, source: Source) -> str | None:
    """What is wrong with a downloaded archive, as a phrase; None where nothing is."""
    if not path.is_file():
        return "did not arrive"
    megabytes = path.stat().st_size / 1e6
    if source.megabytes and abs(megabytes / source.megabytes - 1.0) > SIZE_TOLERANCE:
        return f"has {megabytes:.1f} MB instead of about {source.megabytes:.0f} MB"
    return None if zipfile.is_zipfile(path) else "is not a whole zip file"


def install(
    archive: Path, folder: Path, holds: tuple[str, ...], progress: Progress, limits: Limits | None = None
) -> int:
    """Unpack an archive so that what it ``holds`` lies in ``folder``, which is replaced as a whole.

    Args:
        archive: a zip file; its content may lie in folders of any names.
        folder: where the content goes.
        holds: patterns of names of which at least one must be matched; where it is, is the content's top.
        progress: where the bar goes.
        limits: of what is unpacked.
    Returns:
        How many files there are now.
    Errors:
        InputError for an archive that is not safe, not whole, or holds something else; ``folder`` is as it was then.
    """
    with unpacked(archive, folder, limits or Limits(), progress) as content:
        top = find_top(content, holds)
        if top is None:
            found = ", ".join(sorted(path.name for path in content.iterdir())[:5]) or "nothing"
            raise InputError(f"{archive} must hold {' or '.join(holds)}, found {found}; is it the right file?")
        count = sum(path.is_file() for path in top.rglob("*"))
        old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
        if folder.exists():
            os.replace(folder, old)
        os.replace(top, folder)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)
    return count


def find_top(content: Path, holds: tuple[str, ...]) -> Path | None:
    """The folder nearest to the top of ``content`` in which a pattern of ``holds`` is matched; None if none is."""
    level = [content]
    while level:
        for folder in level:
            if any(True for pattern in holds for _ in folder.glob(pattern)):
                return folder
        level = sorted(path for folder in level for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
        level = [path for path in level if path.name != "__MACOSX"]
    return None
