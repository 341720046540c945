"""Progress bars only on a terminal; nothing on standard output."""

from __future__ import annotations

import io
import sys

import pytest
import torch

from utils.progress import Progress, Stopwatch


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(stream: io.StringIO, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a run over three items writes to standard error."""
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(Progress(quiet).track([1, 2, 3], "queries")) == [1, 2, 3]
    return stream.getvalue()


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "queries" in drawn(Terminal(), False, monkeypatch)
    assert drawn(Terminal(), True, monkeypatch) == ""
    assert drawn(io.StringIO(), False, monkeypatch) == ""


def test_sentences_go_to_standard_error_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().info("Training starts.")
    Progress(quiet=True).info("Nobody reads this.")
    assert capsys.readouterr() == ("", "Training starts.\n")


def test_stages_add_up() -> None:
    watch = Stopwatch(torch.device("cpu"))
    with watch.stage("refine"):
        pass
    once = watch.seconds["refine"]
    with watch.stage("refine"), watch.stage("score"):
        pass
    assert list(watch.seconds) == ["refine", "score"] and watch.seconds["refine"] > once
