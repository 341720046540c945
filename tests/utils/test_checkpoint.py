from __future__ import annotations

from pathlib import Path

import pytest
import torch

from utils.checkpoint import load_metadata, load_tensors, save_tensors, write_atomically
from utils.errors import InputError


def test_round_trip_is_bit_for_bit(tmp_path: Path) -> None:
    noise = torch.Generator().manual_seed(0)
    tensors = {"a": torch.randn(3, 4, generator=noise), "b": torch.arange(5), "c": torch.randn(4, 3, generator=noise).T}
    save_tensors(tmp_path / "x.safetensors", tensors, {"steps": 3, "nested": {"list": [1, 2.5, None]}})
    loaded, metadata = load_tensors(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert metadata == {"steps": 3, "nested": {"list": [1, 2.5, None]}} == load_metadata(tmp_path / "x.safetensors")


def test_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def interrupted(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, interrupted)
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["x.txt"]


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.zeros(1000)}, {})
    whole = path.read_bytes()
    for content in (whole[:200], whole[:4], b"", b"PK\x03\x04 some pickle", b"\x80\x04\x95"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.safetensors is not an intact checkpoint"):
            load_tensors(path)
        assert load_metadata(path) is None


def test_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run anomaly_nerf_lego\.py"):
        load_tensors(tmp_path / "x.safetensors")
