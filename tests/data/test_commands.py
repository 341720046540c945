from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data.__main__ import COMMANDS, main
from utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("argv", [[], *([command] for command in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        "try: runpy.run_module('data', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'cv2', 'numba', 'scipy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    command = [sys.executable, "-c", code, *argv, "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "usage: python -m data" in run.stdout and "MISSING" not in run.stdout


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean capture"):
        main(["captur"])


def test_all_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {command} " in listed for command in COMMANDS)


def test_import_poses_needs_one_camera(tmp_path: Path) -> None:
    argv = ["import-poses", "poses.csv", "--out", str(tmp_path), "--images", str(tmp_path), "--convention", "opengl"]
    with pytest.raises(InputError, match="--pose"):
        main([*argv, "--focal", "300"])
    for cameras in ([], ["--focal", "300", "--camera_angle_x", "0.7"]):
        with pytest.raises(InputError, match="One of --focal, --camera_angle_x and --intrinsics"):
            main([*argv, "--pose", "c2w", *cameras])
