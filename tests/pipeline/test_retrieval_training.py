from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline import retrieval_training
from pipeline.retrieval_network import load_view_set
from tests.mad_folder import write_object
from utils.backbones import resnet50
from utils.errors import InputError, exit_code_of
from utils.weights import Weights


def test_the_command_writes_a_file_that_retrieval_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cube", "cone"):
        write_object(tmp_path / "toys" / name, views=9, size=40, queries=())
    out = tmp_path / "out" / "net_best.pth"
    options = ["--size", "32", "--epochs", "1", "--batch_size", "9", "--device", "cpu", "--quiet"]
    options += ["--backbone", "random"]
    command = ["--data_dir", str(tmp_path / "toys"), "--out", str(out), *options]
    assert retrieval_training.main(command) == 0
    assert "objects=2 views=18" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["net_best.pth"]
    network = resnet50(Weights(folder=str(out.parent)), "resnet50_retrieval")
    tensors = torch.load(out, weights_only=True)
    assert torch.equal(network.state_dict()["conv1.weight"], tensors["conv1.weight"])
    with pytest.raises(InputError, match="--overwrite"):
        retrieval_training.main(command)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--objects", "cub"], "did you mean cube"),
        (["--data_dir", "nowhere"], "--data_dir"),
        (["--epochs", "0"], "epochs must be at least 1, found 0"),
        (["--size", "8"], "size must be between 32"),
    ],
)
def test_bad_input_is_one_sentence(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_object(tmp_path / "toys" / "cube", views=3, size=40, queries=())
    base = ["--data_dir", str(tmp_path / "toys"), "--out", str(tmp_path / "net_best.pth"), "--backbone", "random"]
    assert exit_code_of(lambda: retrieval_training.main([*base, "--quiet", *options])) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_too_few_views_are_refused(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "cube", views=3, size=40, queries=())
    with pytest.raises(InputError, match="has 3 views, at least 8"):
        load_view_set(folder, 32)
