from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from data.settings import RobustnessConfig
from pipeline.config import Config, ConfigParser, config_text, configured_objects, parse
from pipeline.config_readme import readme_text
from utils.config import build, options_of, values_of
from utils.errors import InputError

ROOT = Path(__file__).resolve().parent.parent

# What the paper's object files set, key for key.
PAPER_FILE = """
model_name = 01Gorilla
output_dir = ./results
dataset_type = blender
data_dir = ./somewhere
ckpt_dir = ./weights
ckpt_name = 01Gorilla

use_viewdirs = True
white_bkgd = True
N_samples = 64
half_res = True   # a comment
obs_img_num = 1
batch_size = 3072
noise = None
sigma = 0.01
amount = 0.8
delta_brightness = 0.
"""


def read(*arguments: str, saved: bool = False) -> Config:
    return parse(ConfigParser("test"), arguments, saved)[0]


def test_every_field_has_a_comment_and_a_key_of_its_own() -> None:
    assert [option.key for option in options_of(Config) if not option.help] == []
    keys = [option.key for option in options_of(Config)]
    assert len(set(keys)) == len(keys) > 10


def test_defaults() -> None:
    assert read() == Config() == build(Config, {})


def test_command_line_over_file_over_defaults(tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("seed = 1\nimage_size = 200\n")
    second.write_text("# later files win\nimage_size = 100\nquiet\n")
    config = read("--config", str(first), "--config", str(second), "--seed", "7")
    assert (config.seed, config.image_size, config.quiet) == (7, 100, True)
    assert read("--config", str(second), "--no-quiet").quiet is False


def test_paper_file_is_accepted_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "paper.txt"
    path.write_text(PAPER_FILE)
    config, _, warnings = parse(ConfigParser("test"), ["--config", str(path), "--class_name", "02Unicorn"])
    assert config.object_name == "02Unicorn" and config.data_dir == "./somewhere" and config.ckpt_dir == "./weights"
    assert config.image_size == 400 and config.background == "white" and config.output_dir == "./results"
    assert len(warnings) == 1 and "use_viewdirs" not in warnings[0] and "obs_img_num" in warnings[0]
    assert config.nerf.N_importance == 64 and config.inerf.batch_size == 3072 and config.inerf.lrate == 0.01
    assert "white_bkgd" not in warnings[0]
    assert (
        config.robustness == dataclasses.replace(RobustnessConfig(), amount=0.8) and config.robustness.noise == "None"
    )


def test_old_keys_have_their_effect(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_text(
        "expname = x\ndatadir = ./data/mine/pump\nhalf_res = False\nwhite_bkgd = False\nno_batching = True\n"
        "random_weights = True\n"
    )
    config = read("--config", str(path))
    assert (config.image_size, config.background, config.backbone) == (800, "black", "random")
    assert (Path(config.data_dir), config.object_name) == (Path("data/mine"), "pump")
    path.write_text("half_res = False\nimage_size = 320\nrandom_weights = False\n")
    config = read("--config", str(path))
    assert (config.image_size, config.backbone) == (320, "paper")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("image_sze = 3", "image_size"),
        ("n_samples = 7", "N_samples"),
        ("seed = many", "type int"),
        ("device = gpu", "auto, cpu, cuda"),
        ("image_size = 3", "between 16"),
        ("quiet = perhaps", "True or False"),
        ("val_every = 1", "at least 2"),
        ("held_out_every = 1", "at least 2"),
        ("object_name = ../x", "without slashes"),
        ("three words here", "Unknown key 'three'"),
        ("= 3", "key = value"),
    ],
)
def test_wrong_lines_name_key_and_remedy(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "wrong.txt"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=said):
        read("--config", str(path))


def test_a_missing_config_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one argument"):
        read("--seed", "3", "--config")
    with pytest.raises(InputError, match=r"none\.txt cannot be read"):
        read("--config", str(tmp_path / "none.txt"))


def test_no_abbreviations_and_nearest_option() -> None:
    with pytest.raises(InputError, match=r"Unknown option '--image_siz'.*--image_size"):
        read("--image_siz", "3")
    with pytest.raises(InputError, match="Unknown option"):
        read("--se", "3")


def test_effective_config_reads_back(tmp_path: Path) -> None:
    changed = dataclasses.replace(Config(), object_name="pump", image_size=123, seed=9, min_psnr=1.5)
    path = tmp_path / "config.txt"
    path.write_text(config_text(changed))
    assert read("--config", str(path)) == changed
    values = values_of(changed)
    assert build(Config, values) == changed


def test_run_keys_are_not_written() -> None:
    text = config_text(dataclasses.replace(Config(), overwrite=True, quiet=True, allow_bad_field=True))
    assert "overwrite" not in text and "quiet" not in text and "allow_bad_field" not in text


def test_trained_settings_are_the_defaults_of_testing(tmp_path: Path) -> None:
    trained = dataclasses.replace(Config(), object_name="pump", ckpt_dir=str(tmp_path), image_size=123, seed=3)
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump/config.txt").write_text(config_text(trained))
    config = read("--obj", "pump", "--ckpt_dir", str(tmp_path), "--seed", "5", saved=True)
    assert (config.image_size, config.seed) == (123, 5)


def test_configured_objects_read_and_differ_only_where_they_must() -> None:
    names = configured_objects()
    assert len(names) == 20 and names[0] == "01Gorilla" and names[-1] == "20Puppy"
    for name in names:
        config = read("--config", str(ROOT / f"configs/LEGO-3D/{name}.txt"))
        assert config.object_name == name


def test_readme_is_current() -> None:
    written = (ROOT / "configs/README.md").read_text()
    assert written == readme_text(), "run: python -m pipeline.config_readme"


@pytest.mark.parametrize("script", ["anomaly_nerf_lego.py", "auroc_test.py", "detect.py"])
def test_help_loads_nothing_heavy(script: str) -> None:
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'cv2', 'numba', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code, script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--image_size" in run.stdout and "longer side in pixels" in " ".join(run.stdout.split())
