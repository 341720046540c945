from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from data.__main__ import main
from data.import_options import PoseTableOptions
from data.import_poses import read_poses
from data.mad import load_views
from tests.data.sources import FLIP, ring, write_pictures
from utils.errors import InputError

HEADERS = {
    "quaternion": "file,x,y,z,qw,qx,qy,qz",
    "vector": "file;rx;ry;rz;x;y;z;comment",
    "matrix": "file," + ",".join(f"m{row}{column}" for row in range(4) for column in range(4)),
}


def table_options(convention: Any, pose: Any, units: Any = "m") -> PoseTableOptions:
    return PoseTableOptions(Path("images"), convention, pose, units, focal=33.0)


def write_table(path: Path, poses: np.ndarray, form: str, convention: str, pose: str, metres: float) -> Path:
    lines = [HEADERS[form]]
    for index, matrix in enumerate(poses):
        matrix = matrix @ FLIP if convention == "opencv" else matrix.copy()
        matrix[:3, 3] /= metres
        matrix = np.linalg.inv(matrix) if pose == "w2c" else matrix
        rotation, offset = Rotation.from_matrix(matrix[:3, :3]), list(matrix[:3, 3])
        x, y, z, w = rotation.as_quat()
        cells = {
            "quaternion": [*offset, 2 * w, 2 * x, 2 * y, 2 * z],  # a length other than one means nothing
            "vector": [*rotation.as_rotvec(), *offset, 0.0],
            "matrix": list(matrix.ravel()),
        }[form]
        lines.append((";" if form == "vector" else ",").join([f"{index}.png", *(f"{cell:.15g}" for cell in cells)]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("form", list(HEADERS))
@pytest.mark.parametrize("convention", ["opencv", "opengl"])
@pytest.mark.parametrize("pose", ["c2w", "w2c"])
def test_each_way_to_write_a_pose_gives_the_same(tmp_path: Path, form: str, convention: str, pose: str) -> None:
    poses = ring(radius=0.8, centre=(0.5, 0.1, 0.3))
    table = write_table(tmp_path / "poses.csv", poses, form, convention, pose, 0.001)
    found, _ = read_poses(table, table_options(convention, pose, "mm"))
    assert [name for name, _ in found] == [f"{index}.png" for index in range(6)]
    assert np.allclose([matrix for _, matrix in found], poses, atol=1e-9)


def test_a_wrong_convention_gives_other_poses(tmp_path: Path) -> None:
    table = write_table(tmp_path / "poses.csv", ring(), "quaternion", "opencv", "c2w", 1.0)
    for convention, pose in (("opengl", "c2w"), ("opencv", "w2c"), ("opengl", "w2c")):
        found, _ = read_poses(table, table_options(convention, pose))
        assert not np.allclose([matrix for _, matrix in found], ring(), atol=0.1)


@pytest.mark.parametrize("lens", ["--focal", "--camera_angle_x", "--intrinsics"])
def test_the_command_line(tmp_path: Path, lens: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path / "images")
    (tmp_path / "images/5.png").unlink()
    write_table(tmp_path / "poses.csv", ring(radius=0.5), "quaternion", "opencv", "w2c", 0.001)
    (tmp_path / "lens.json").write_text(json.dumps({"fl_x": 330, "cx": 120, "cy": 80, "w": 240, "h": 160}))
    value = {"--focal": "33", "--camera_angle_x": str(2 * np.arctan(12 / 33)), "--intrinsics": tmp_path / "lens.json"}
    options = {"--images": tmp_path / "images", "--convention": "opencv", "--pose": "w2c", "--units": "mm"}
    options |= {"--out": tmp_path / "out", lens: value[lens]}
    arguments = [str(part) for option in options.items() for part in option]
    assert main(["import-poses", str(tmp_path / "poses.csv"), *arguments, "--quiet"]) == 0
    views = load_views(tmp_path / "out", 800, (1.0, 1.0, 1.0))
    assert np.allclose(views.camera_to_world.numpy(), ring(radius=4.0)[:5], atol=0.1)
    assert views.intrinsics.focal_x == pytest.approx(33.0)
    told = capsys.readouterr().out
    assert "5.png (no such image" in told and " m" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"column 'file'"),
        ("title,x,y,z\n", r"column 'file'"),
        ("file,x,y,z,qw,qx,qy,qz\na.png,1,2,3,0,0,0,0\n", r"line 2"),
        ("file,x,y,z,qw,qx,qy,qz\na.png,1,2\n", r"line 2"),
        ("file,x,y,z,qw,qx,qy,qz\na.png,1,2,nan,1,0,0,0\n", r"line 2"),
        ("file,x,y,z\n\na.png,1,2,3\n", r"line 3"),
        ("file,x,y,z,rx,ry,rz\na.png,1,2,3,1e999,0,0\n", r"line 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "poses.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        read_poses(tmp_path / "poses.csv", table_options("opencv", "c2w"))


cells = st.sampled_from(["a.png", "1", "-2.5", "nan", "1e999", '"', "", "0x3", "١"]) | st.text(max_size=4)
rows = st.lists(cells, max_size=9).map(",".join)
heads = st.sampled_from(list(HEADERS.values())) | rows


@given(content=st.tuples(heads, st.lists(rows, max_size=4)) | st.binary(max_size=100))
@settings(deadline=None)
def test_hostile_tables_end_in_a_sentence_or_poses(tmp_path_factory: pytest.TempPathFactory, content) -> None:
    path = tmp_path_factory.mktemp("hostile") / "poses.csv"
    if isinstance(content, tuple):
        content = "\n".join([content[0], *content[1]]).encode("utf-8", "surrogatepass")
    path.write_bytes(content)
    try:
        found, _ = read_poses(path, table_options("opencv", "w2c", "mm"))
    except InputError:
        return
    for _, pose in found:
        assert np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-6) and np.isfinite(pose).all()
