"""Files as nobody should write them, for the tests of readers."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from utils.errors import InputError

Result = TypeVar("Result")

numbers = st.one_of(
    st.floats(), st.integers(), st.sampled_from([0, -1, 1e308, -1e308, 10**400, True, False, 2**31, 2**63])
)
names = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", ".", "..", "/", "/etc/passwd", "../x.png", "a/../../x.png", "train/good/0.png", "\0", "x" * 300]
    ),
    st.sampled_from(["train/good/0", "./train/good/1.png", "train/good", "C:\\x.png", "\ud800", "~"]),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, names),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


def ends_well(work: Callable[[], Result]) -> Result | None:
    """What ``work`` returns, or None where it ends in the sentence that a user gets; other errors go through."""
    try:
        return work()
    except (InputError, FileNotFoundError) as error:
        assert "\n" not in str(error)[:200] or len(str(error)) < 2000
        return None


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file of which some bytes are changed, cut off, put in or repeated."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        piece = draw(st.binary(max_size=8))
        match draw(st.sampled_from(["change", "cut", "insert", "repeat"])):
            case "change":
                content[place : place + len(piece)] = piece
            case "cut":
                del content[place:]
            case "insert":
                content[place:place] = piece
            case _:
                content[place:place] = content[place : place + 64]
    return bytes(content)


@st.composite
def changed(draw: st.DrawFn, content: Any) -> Any:
    """A JSON value of which one part is something else, gone, or there twice."""
    if not draw(st.booleans()) or not content or not isinstance(content, (dict, list)):
        return draw(anything)
    copy = content.copy()
    key = draw(st.sampled_from(sorted(copy) if isinstance(copy, dict) else range(len(copy))))
    match draw(st.sampled_from(["deeper", "deeper", "deeper", "gone", "twice"])):
        case "gone":
            del copy[key]
        case "twice" if isinstance(copy, list):
            copy.append(copy[key])
        case _:
            copy[key] = draw(changed(copy[key]))
    return copy


def png(width: int = 4, height: int = 4, mode: str = "RGB") -> bytes:
    """A small picture, as a file."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    values = np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


def png_with_header(width: int, height: int, bits: int, colour: int, interlace: int) -> bytes:
    """A PNG whose header says so, with a right check sum, over the data of another picture."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    whole = png()
    return whole[:8] + chunk + whole[8 + len(chunk) :]


headers = st.builds(
    png_with_header,
    st.sampled_from([0, 1, 4, 5, 4096, 2**15, 2**31 - 1, 2**32 - 1]),
    st.sampled_from([0, 1, 4, 5, 4096, 2**15, 2**31 - 1, 2**32 - 1]),
    st.sampled_from([0, 1, 2, 4, 8, 16, 255]),
    st.integers(0, 8),
    st.integers(0, 2),
)
pictures = st.one_of(
    st.binary(max_size=64),
    headers,
    *(damaged(png(mode=mode)) for mode in ("L", "RGB", "RGBA")),
    headers.flatmap(damaged),
)


def zip_of(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file with these names and contents."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            file.writestr(info, content)
    return buffer.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """All files under a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
