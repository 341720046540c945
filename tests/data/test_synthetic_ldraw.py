"""LDraw files: what they say, libraries of parts, and files that mean harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.synthetic.ldraw import parse_ldraw
from data.synthetic.placed_model import place_toy
from data.synthetic.scene import linear_from_srgb
from data.synthetic.toys import read_toy
from utils.errors import InputError

UPRIGHT = "1 0 0 0 1 0 0 0 1"
TWO = f"1 4 0 0 0 {UPRIGHT} 3005.dat\n1 1 40 0 0 {UPRIGHT} 3005.dat\n"
# A cube of one stud from one face: quads, a mirrored sub-part, a pattern in yellow, lines that are not drawn.
LIBRARY = {
    "parts/box1.dat": f"""0 A cube
0 BFC CERTIFY CCW
1 16 0 0 0 {UPRIGHT} s\\Sides.dat
1 16 0 20 0 1 0 0 0 -1 0 0 0 1 face.dat
1 14 0 0 0 {UPRIGHT} face.dat
2 24 0 0 0 1 1 1
5 24 0 0 0 1 1 1 2 2 2 3 3 3
""",
    "parts/s/sides.dat": """1 16 0 10 10 1 0 0 0 0 1 0 -1 0 face.dat
1 16 0 10 -10 1 0 0 0 0 -1 0 1 0 face.dat
0 BFC INVERTNEXT
1 16 10 10 0 0 -1 0 1 0 0 0 0 1 face.dat
1 16 -10 10 0 0 1 0 -1 0 0 0 0 1 face.dat
""",
    "p/face.dat": "4 16 -10 0 -10 10 0 -10 10 0 10 -10 0 10\n",
    "LDConfig.ldr": "0 !COLOUR Rose CODE 4 VALUE #FF8090 EDGE #333333\n",
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name, text in LIBRARY.items():
        write(tmp_path / "ldraw" / name, text)
    return tmp_path / "ldraw"


def test_axes_units_and_colours(tmp_path: Path) -> None:
    lines = f"1 4 20 -24 40 {UPRIGHT} 3005.dat\n1 0x2102030 0 0 0 {UPRIGHT} 3024.DAT\n"
    first, second = read_toy(write(tmp_path / "toy.ldr", lines)).parts
    assert first.solid.vertices.min(axis=0) == pytest.approx([0.5, 1.5, 0.0], abs=0.013)
    assert first.solid.vertices.max(axis=0) == pytest.approx([1.5, 2.5, 1.4], abs=0.013)
    assert second.colour == (16, 32, 48)


def test_submodels_inherit_colours_and_places(tmp_path: Path) -> None:
    text = f"""0 FILE main.ldr
1 4 0 0 100 0 0 1 0 1 0 -1 0 0 a Pair.LDR
1 1 0 -100 0 {UPRIGHT} A pair.ldr
0 FILE a pair.ldr
1 16 20 0 0 {UPRIGHT} 3005.dat
1 14 -20 0 0 {UPRIGHT} 3005.dat
0 NOFILE
"""
    toy = read_toy(write(tmp_path / "toy.mpd", text))
    assert [part.colour for part in toy.parts] == [(196, 28, 20), (240, 196, 38), (10, 82, 176), (240, 196, 38)]
    middles = [part.solid.vertices[:, :2].mean(axis=0) for part in toy.parts]
    assert np.allclose(middles, [[0, 4], [0, 6], [1, 0], [-1, 0]], atol=1e-6)


def test_a_library_gives_parts_and_colours(tmp_path: Path, library: Path) -> None:
    text = f"1 4 0 0 0 {UPRIGHT} box1.dat\n1 4 40 0 0 -1 0 0 0 1 0 0 0 1 BOX1.dat\n1 1 0 0 60 {UPRIGHT} 3005.dat\n"
    toy = read_toy(write(tmp_path / "toy.ldr", text), library)
    cube, mirrored, brick = toy.parts
    assert cube.solid.vertices.min(axis=0) == pytest.approx([-0.5, -0.5, -1])
    assert cube.solid.vertices.max(axis=0) == pytest.approx([0.5, 0.5, 0])
    assert len(cube.solid.faces) == 12 and len(cube.solid.vertices) == 8
    assert cube.colour == mirrored.colour == (255, 128, 144)
    colours, counts = np.unique(cube.face_colours, axis=0, return_counts=True)
    assert colours.tolist() == [[240, 196, 38], [255, 128, 144]] and counts.tolist() == [2, 10]
    assert brick.face_colours is None and brick.solid.closed and not cube.solid.closed


def test_either_side_of_a_librarys_faces_is_seen(tmp_path: Path, library: Path) -> None:
    text = f"1 4 0 0 0 {UPRIGHT} box1.dat\n1 4 40 0 0 -1 0 0 0 1 0 0 0 1 box1.dat\n"
    scene = place_toy(read_toy(write(tmp_path / "toy.ldr", text), library)).scene()
    directions = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    targets = np.tile(np.stack([scene.corners]).mean(axis=1).astype(np.float32), (500, 1))
    targets[:, 0] += np.where(np.arange(500) % 2, 0.3, -0.3) * (scene.corners[1][0] - scene.corners[0][0])
    hits = scene.first_hits(targets - 3 * directions, directions)
    view = directions[hits.rays]
    assert len(hits.rays) == 500
    for normals in (scene.flat_normals(hits.faces, view), scene.shading_normals(hits, view)):
        assert (np.einsum("ij,ij->i", normals, view) < 0).all()
    yellow = linear_from_srgb((240, 196, 38))
    assert 0 < (scene.albedo_of_face[hits.faces] == yellow).all(axis=1).mean() < 0.4


def test_parts_that_lack_are_listed_in_one_sentence(tmp_path: Path) -> None:
    text = f"{TWO}1 4 0 0 0 {UPRIGHT} 93273.dat\n1 9999 0 0 0 {UPRIGHT} 3005.dat\n1 4 0 0 0 {UPRIGHT} lamp.dat\n"
    with pytest.raises(InputError, match=r"parts 93273.dat, lamp.dat and the colours 9999.*--ldraw"):
        read_toy(write(tmp_path / "toy.ldr", text))


def test_no_reference_leaves_the_library(tmp_path: Path, library: Path) -> None:
    write(tmp_path / "secret.dat", LIBRARY["p/face.dat"])
    for name in ("..\\..\\secret.dat", str(tmp_path / "secret.dat"), "s/../../../secret.dat"):
        with pytest.raises(InputError, match=r"secret.dat, which are unknown"):
            read_toy(write(tmp_path / "toy.ldr", f"{TWO}1 4 0 0 0 {UPRIGHT} {name}\n"), library)


def test_files_that_refer_to_themselves_are_refused(tmp_path: Path, library: Path) -> None:
    model = f"0 FILE a.ldr\n1 4 0 0 0 {UPRIGHT} b.ldr\n0 FILE b.ldr\n1 4 0 0 0 {UPRIGHT} a.ldr\n"
    with pytest.raises(InputError, match="contains itself"):
        read_toy(write(tmp_path / "toy.mpd", model))
    write(library / "parts/egg.dat", f"1 16 0 0 0 {UPRIGHT} hen.dat\n")
    write(library / "parts/hen.dat", f"1 16 0 0 0 {UPRIGHT} egg.dat\n")
    with pytest.raises(InputError, match="refers to itself"):
        read_toy(write(tmp_path / "toy.ldr", f"{TWO}1 16 0 0 0 {UPRIGHT} egg.dat\n"), library)


@pytest.mark.parametrize("leaf", ["3005.dat", "", "face.dat"])
def test_models_that_multiply_without_end_are_refused(tmp_path: Path, library: Path, leaf: str) -> None:
    """Thirty files that each hold the next one ten times."""
    suffix = "dat" if leaf == "face.dat" else "ldr"
    blocks = [f"0 FILE main.ldr\n{TWO}1 16 0 0 0 {UPRIGHT} m0.{suffix}\n"]
    blocks += [f"0 FILE m{n}.{suffix}\n" + f"1 16 0 0 0 {UPRIGHT} m{n + 1}.{suffix}\n" * 10 for n in range(29)]
    blocks.append(f"0 FILE m29.{suffix}\n" + (f"1 16 0 0 0 {UPRIGHT} {leaf}\n" if leaf else ""))
    with pytest.raises(InputError, match="more than"):
        read_toy(write(tmp_path / "toy.mpd", "".join(blocks)), library)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("9 what", "begins with 0 to 5"),
        ("1 4 0 0 0 1 0 0 0 1 0 0 0 1", "found 14 words"),
        (f"1 red 0 0 0 {UPRIGHT} 3005.dat", "colour code"),
        (f"1 4 0 nan 0 {UPRIGHT} 3005.dat", "found 'nan'"),
        (f"1 4 0 1e300 0 {UPRIGHT} 3005.dat", "found '1e300'"),
        ("1 4 0 0 0 1 0 0 0 0 0 0 0 1 3005.dat", "rotates or stretches"),
        ("3 16 0 0 0 1 0 0 0 1", "9 numbers"),
        (f"1 4 0 0 0 {UPRIGHT} brick-2x.dat", "size '2x'"),
        ("0 !COLOUR Odd CODE 4 VALUE #12", "CODE 4 VALUE"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_toy(write(tmp_path / "toy.ldr", f"{TWO}{line}\n"))


def test_a_model_needs_two_parts(tmp_path: Path) -> None:
    for text in ("", "0 nothing\n", f"1 4 0 0 0 {UPRIGHT} 3005.dat\n"):
        with pytest.raises(InputError, match="two parts"):
            read_toy(write(tmp_path / "toy.ldr", text))


def test_a_models_own_triangles_are_one_part(tmp_path: Path) -> None:
    text = f"3 4 0 0 0 20 0 0 0 20 0\n4 1 0 0 0 20 0 0 20 0 20 0 0 20\n1 14 0 0 0 {UPRIGHT} 3005.dat\n"
    own, brick = read_toy(write(tmp_path / "toy.ldr", text)).parts
    assert len(own.solid.faces) == 3 and own.face_colours[0].tolist() == [196, 28, 20]
    assert brick.solid.closed


NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "-1", "20", "1e5", "-1e-9", "nan", "inf", "1e999", "x", "1_0", "٣"]),
    st.floats(width=32).map(repr),
)
CODES = st.one_of(st.integers(-3, 600).map(str), st.sampled_from(["16", "0x2FF00FF", "0xZZ", "16.0", "9" * 500]))
NAMES = st.one_of(
    st.sampled_from(["3001.dat", "3040b.dat", "main.ldr", "sub.ldr", "own.dat", "box1.dat", "arch-1x3.dat"]),
    st.sampled_from(
        [
            "..\\..\\x.dat",
            "/etc/passwd",
            "brick-99x99x.dat",
            "dome-9999999x9999999.dat",
            "\0.dat",
            "C:\\x.dat",
            "x" * 300,
        ]
    ),
    st.text(max_size=8),
)
LINES = st.one_of(
    st.builds(lambda c, n, f: " ".join(["1", c, *n, f]), CODES, st.lists(NUMBERS, min_size=11, max_size=13), NAMES),
    st.builds(lambda c, x, f: f"1 {c} {x} 0 0 {UPRIGHT} {f}", CODES, st.integers(-50, 50), NAMES),
    st.builds(lambda t, c, n: " ".join([t, c, *n]), st.sampled_from("345"), CODES, st.lists(NUMBERS, max_size=13)),
    st.sampled_from(
        ["0 FILE main.ldr", "0 FILE sub.ldr", "0 FILE own.dat", "0 NOFILE", "0 BFC INVERTNEXT", "0 !COLOUR"]
    ),
    st.text(max_size=20),
)
DOCUMENTS = st.one_of(st.lists(LINES, max_size=12).map(lambda lines: "\n".join(lines).encode()), st.binary(max_size=80))


@given(content=DOCUMENTS, sound=st.booleans())
def test_any_file_is_a_toy_or_a_clear_error(tmp_path_factory, content: bytes, sound: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ldr"
    path.write_bytes(TWO.encode() * sound + content)
    try:
        toy = read_toy(path)
    except InputError as error:
        assert str(path) in str(error) or "file" in str(error) or "art" in str(error)
        return
    assert len(toy.parts) >= 2
    for part in toy.parts:
        assert len(part.solid.faces) and np.isfinite(part.solid.vertices).all()
        assert np.allclose(np.linalg.norm(part.solid.corner_normals, axis=2), 1.0)


@given(content=DOCUMENTS)
def test_any_part_of_a_library_is_a_part_or_a_clear_error(tmp_path_factory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    for name, text in LIBRARY.items():
        write(folder / name, text)
    (folder / "parts/odd.dat").write_bytes(content)
    path = write(folder / "any.ldr", f"{TWO}1 4 0 0 0 {UPRIGHT} odd.dat\n")
    try:
        toy = read_toy(path, folder)
    except InputError:
        return
    for part in toy.parts:
        assert np.isfinite(part.solid.vertices).all() and np.isfinite(part.solid.corner_normals).all()


def test_names_are_compared_as_ldraw_does() -> None:
    document = parse_ldraw(f"0 FILE Main Model.LDR\n1 4 0 0 0 {UPRIGHT} S\\Part One.DAT\n", "text")
    assert list(document.blocks) == ["main model.ldr"]
    assert document.blocks["main model.ldr"].references[0].name == "s/part one.dat"
