from __future__ import annotations

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from data.attributes import (
    contrast_of,
    measure_contrast,
    mesh_triangles,
    read_published_attributes,
    shape_complexity,
    toy_triangles,
    triangles_of,
)
from data.commands import attributes_command as main
from data.mad_facts import CLASSES
from tests import hostile
from tests.mad_folder import write_object, write_picture
from utils.errors import InputError
from utils.progress import Progress

QUIET = Progress(quiet=True)
WHITE = (1.0, 1.0, 1.0)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def test_colour_contrast_is_the_papers_seven_steps() -> None:
    lab = rgb2lab(image().astype(np.float64) / 255.0)  # another implementation, D65 as OpenCV's
    spread = np.sqrt(np.std(lab[..., 1]) ** 2 + np.std(lab[..., 2]) ** 2)
    assert contrast_of(image()).colour == pytest.approx(spread, rel=0.01)
    assert contrast_of(image()).lightness == pytest.approx(2.55 * np.std(lab[..., 0]), rel=0.01)


def test_grey_images_have_lightness_alone() -> None:
    grey = np.repeat(np.linspace(0, 255, 12 * 16).reshape(12, 16, 1), 3, axis=2).round().astype(np.uint8)
    assert contrast_of(grey).colour < 0.5 < 50 < contrast_of(grey).lightness


def test_objects_are_cut_out_and_put_on_the_background(tmp_path: Path) -> None:
    view, mask = image(), np.zeros((12, 16), dtype=np.uint8)
    mask[4:8, 4:8] = 255
    write_picture(tmp_path / "toy/train/good/0.png", view)
    assert measure_contrast(tmp_path / "toy", WHITE, QUIET) == contrast_of(view)
    write_picture(tmp_path / "toy/masks/train/good/0.png", mask)
    expected = contrast_of(np.where(mask[..., None] > 0, view, 255).astype(np.uint8))
    assert measure_contrast(tmp_path / "toy", WHITE, QUIET) == expected


def test_contrast_is_the_mean_over_the_views(tmp_path: Path) -> None:
    for seed in range(3):
        write_picture(tmp_path / f"toy/train/good/{seed}.png", image(seed))
    found = measure_contrast(tmp_path / "toy", WHITE, QUIET)
    assert found.lightness == pytest.approx(np.mean([contrast_of(image(seed)).lightness for seed in range(3)]))


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=20))
def test_complexity_spans_the_scale_in_the_order_of_triangles(triangles: list[int]) -> None:
    found = shape_complexity(triangles)
    if len(set(triangles)) == 1:
        assert found == [None] * len(triangles)
        return
    assert min(found) == 0.0 and max(found) == 100.0
    assert [x for _, x in sorted(zip(triangles, found))] == sorted(found)


def test_published_values() -> None:
    values = read_published_attributes()
    assert set(values) == {name[2:] for name in CLASSES}
    complexity, contrasts = np.array(list(values.values())).T
    assert (complexity.min(), complexity.max()) == (0, 100) and values["Zalika"] == (43.77, 86.32)
    assert (contrasts.min(), contrasts.max()) == (32.85, 86.32) and values["Puppy"] == (79.03, 35.98)


def write_box(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box().export(path)
    return path


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
def test_triangles_of_a_mesh(tmp_path: Path, suffix: str) -> None:
    assert mesh_triangles(write_box(tmp_path / f"box{suffix}")) == 12
    assert triangles_of(tmp_path, None) is None
    write_box(tmp_path / f"mesh{suffix}")
    assert triangles_of(tmp_path, None) == 12


def test_triangles_of_a_generated_toy(tmp_path: Path) -> None:
    assert toy_triangles(tmp_path) is None
    (tmp_path / "brick.ldr").write_text("".join(f"1 4 0 {y} 0 1 0 0 0 1 0 0 0 1 3001.dat\n" for y in (0, 24)))
    (tmp_path / "synthetic.json").write_text(json.dumps({"toy": str(tmp_path / "brick.ldr")}))
    count = toy_triangles(tmp_path)
    assert count is not None and count > 100  # eight studs
    assert triangles_of(tmp_path, tmp_path / "brick.ldr") == count
    (tmp_path / "synthetic.json").write_text("[]")
    with pytest.raises(InputError, match="must name the toy"):
        toy_triangles(tmp_path)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_object(tmp_path / name, views=2) for name in ("01Gorilla", "02Unicorn", "pump")]
    write_box(folders[0] / "mesh.ply")
    trimesh.creation.icosphere(2).export(tmp_path / "ball.stl")
    words = [*map(str, folders), "--quiet", "--csv", str(tmp_path / "a.csv"), "--json", str(tmp_path / "a.json")]
    assert main([*words, "--mesh", f"pump={tmp_path / 'ball.stl'}"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:3] == ["01Gorilla", "12", "0.00"] and lines[1][-2:] == ["65.79", "73.45"]
    assert lines[2][1:3] == ["-", "-"] and lines[3][:3] == ["pump", "320", "100.00"] and lines[3][-2:] == ["-", "-"]
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    saved = json.loads((tmp_path / "a.json").read_text())
    assert [row["object_name"] for row in rows] == ["01Gorilla", "02Unicorn", "pump"]
    assert float(rows[1]["colour_contrast"]) == saved[1]["colour_contrast"] and saved[1]["triangles"] is None


def test_wrong_words(tmp_path: Path) -> None:
    folder = str(write_object(tmp_path / "toy", views=1))
    for words, said in (
        (["--mesh", "x"], "OBJECT=FILE"),
        (["--mesh", "toy=/none.ply"], "correct --mesh"),
        (["--mesh", f"toy={tmp_path / 'toy/transforms.json'}"], "must be a mesh"),
    ):
        with pytest.raises(InputError, match=said):
            main([folder, "--quiet", *words])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        main([str(tmp_path / "empty"), "--quiet"])


def box_bytes(suffix: str) -> bytes:
    with TemporaryDirectory() as folder:
        return write_box(Path(folder) / f"box{suffix}").read_bytes()


MESH_FILES = st.sampled_from([".ply", ".obj", ".stl", ".off", ".glb"]).flatmap(
    lambda suffix: st.tuples(st.just(suffix), st.one_of(st.binary(max_size=80), hostile.damaged(box_bytes(suffix))))
)


@given(MESH_FILES)
def test_meshes_of_any_bytes(file: tuple[str, bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"mesh{file[0]}"
        path.write_bytes(file[1])
        count = hostile.ends_well(lambda: mesh_triangles(path))
        assert count is None or count > 0
