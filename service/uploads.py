"""Uploads: photos and masks as somebody sends them, checked while they are copied into a job's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.jobs import safe_stems, shown_name
from service.refusals import RefusalError
from service.store import MASKS, PHOTOS
from utils.errors import InputError, listed_names
from utils.images import read_image_size

PIECE = 1 << 20  # bytes copied at once
START = 12  # bytes that tell the format
FORMATS = "PNG, JPEG, WebP, TIFF or BMP"


@dataclass(frozen=True)
class Upload:
    """A file that somebody sends."""

    name: str  # as the sender calls it; never used as a path
    source: BinaryIO  # can be read from its beginning more than once

    @property
    def shown(self) -> str:
        """The name as it is repeated to people."""
        return shown_name(self.name)


@dataclass(frozen=True)
class Limits:
    """What a file may be at most."""

    file_bytes: int
    pixels: int


def suffix_of(start: bytes) -> str | None:
    """Return the suffix of the image format that a file begins as; None for all that are not read.

    Formats are told by their first bytes, not by what the sender says; others are not even opened.

    >>> suffix_of(b"\\x89PNG\\r\\n\\x1a\\n\\0\\0\\0\\r"), suffix_of(b"<svg xmlns="), suffix_of(b"PK\\x03\\x04")
    ('.png', None, None)
    """
    begins = {
        b"\x89PNG\r\n\x1a\n": ".png",
        b"\xff\xd8\xff": ".jpg",
        b"II*\0": ".tif",
        b"MM\0*": ".tif",
        b"BM": ".bmp",
    }
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for begin, suffix in begins.items() if start.startswith(begin)), None)


def digest_of(uploads: Sequence[Upload], *words: str) -> str:
    """Return the sha256 of all files and of ``words``, by which two deliveries of the same are told."""
    total = hashlib.sha256(repr(words).encode("utf-8", "backslashreplace"))
    for upload in uploads:
        one = hashlib.sha256()
        upload.source.seek(0)
        while piece := upload.source.read(PIECE):
            one.update(piece)
        total.update(one.digest())
    return total.hexdigest()


def file_names(photos: Sequence[Upload]) -> list[str]:
    """Return the names under which photos are stored: a safe stem, and the suffix of what each is.

    Raises:
        RefusalError: for a file that is empty or no image.
    """
    stems = safe_stems(photo.name for photo in photos)
    return [f"{stem}{format_suffix(photo)}" for photo, stem in zip(photos, stems)]


def write_uploads(
    folder: Path, photos: Sequence[Upload], names: Sequence[str], masks: Sequence[Upload], limits: Limits
) -> None:
    """Copy photos under ``names``, and masks under the same stems, into ``folder``.

    Raises:
        RefusalError: for a file that is too large, or damaged where its header stands; for masks that are not one for
            each photo.
    """
    for photo, name in zip(photos, names):
        copy(photo, folder / PHOTOS / name, limits)
    for mask, name in zip(in_order_of(photos, masks), names):
        copy(mask, folder / MASKS / f"{Path(name).stem}{format_suffix(mask)}", limits)


def in_order_of(photos: Sequence[Upload], masks: Sequence[Upload]) -> list[Upload]:
    """Return the masks in the order of their photos: a single one is the single photo's, others go by their stems."""
    if not masks or (len(photos), len(masks)) == (1, 1):
        return list(masks)
    by_stem = {Path(mask.shown).stem: mask for mask in masks}
    wanted = [Path(photo.shown).stem for photo in photos]
    if len(set(wanted)) != len(photos) or set(wanted) != by_stem.keys() or len(masks) != len(photos):
        found = [listed_names([upload.shown for upload in each]) for each in (photos, masks)]
        raise RefusalError(
            422,
            f"Masks are paired with photos by name, NAME.png for NAME.jpg, and each photo needs one; found the photos "
            f"{found[0]} and the masks {found[1]}.",
        )
    return [by_stem[stem] for stem in wanted]


def format_suffix(upload: Upload) -> str:
    """Return the suffix of a file's format; a RefusalError where it is empty or none that is read."""
    upload.source.seek(0)
    start = upload.source.read(START)
    if not start:
        raise RefusalError(422, f"The file {upload.shown!r} is empty (0 bytes); send an intact PNG or JPEG file.")
    suffix = suffix_of(start)
    if suffix is None:
        raise RefusalError(415, f"The file {upload.shown!r} must be {FORMATS}, found something else; convert it.")
    return suffix


def copy(upload: Upload, path: Path, limits: Limits) -> None:
    """Copy one file to ``path`` and check its size, its header and the number of its pixels."""
    path.parent.mkdir(exist_ok=True)
    upload.source.seek(0)
    written = 0
    with path.open("wb") as file:
        while piece := upload.source.read(PIECE):
            written += len(piece)
            if written > limits.file_bytes:
                most = limits.file_bytes / 1e6
                raise RefusalError(413, f"The file {upload.shown!r} must have {most:g} MB at most; send a smaller one.")
            file.write(piece)
    try:
        width, height = read_image_size(path)
    except InputError as error:
        raise RefusalError(422, in_senders_words(str(error), path, upload.shown)) from None
    if width * height > limits.pixels:
        raise RefusalError(
            413,
            f"The image {upload.shown!r} has {width}x{height} pixels, at most {limits.pixels / 1e6:g} million are "
            f"read; send a smaller one.",
        )


def in_senders_words(sentence: str, path: Path, name: str) -> str:
    """Return a sentence about a file with the sender's name for it instead of this machine's path."""
    return sentence.replace(str(path), repr(name))
