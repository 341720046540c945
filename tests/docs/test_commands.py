"""Every command line that a page shows is one that the program accepts."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, read_page
from utils.version import __version__

PYTHON = re.compile(r"^(?:\.venv/bin/)?python3? (?!-m (?:venv|pip|pytest)\b)")
WITHOUT_OPTIONS = {"pipeline.config_readme", "pipeline.warm_up", "docs.build_api"}  # they read no command line
RECORDS = {Path("docs/RESULTS.md"), Path("CHANGELOG.md")}  # they name the commands of their day


class ParsedError(BaseException):
    """Raised in place of the work that follows a parsed command line."""


def spans(text: str) -> list[str]:
    """The code in the running text."""
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]


def commands(found: list[str]) -> list[str]:
    return [PYTHON.sub("", line) for line in found if PYTHON.match(line)]


SHOWN = [(page, command) for page in PAGES for command in commands(blocks(read_page(page)))]
MENTIONED = [(page, command) for page in PAGES if page not in RECORDS for command in commands(spans(read_page(page)))]


def parse_error(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the program says against a command line; empty where it accepts it."""
    parse = argparse.ArgumentParser.parse_known_args

    def parse_only(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        _, unknown = parse(self, *args, **kwargs)
        raise ParsedError(f"unknown: {unknown}" if unknown else "")

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse_only)
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    try:
        if words[0] == "-m":
            monkeypatch.setattr(sys, "argv", words[1:])
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(words[0], run_name="__main__")
    except ParsedError as parsed:
        return str(parsed)
    except SystemExit as end:
        return capsys.readouterr().err if end.code else ""
    return "did not parse anything"


def test_there_are_commands() -> None:
    assert len(SHOWN) > 25 and len(MENTIONED) > 5


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("anomaly_nerf_lego.py --obj pump --image_sze 3", "--image_sze"),
        ("-m data capture photos --out", "--out"),
        ("-m data captre photos", "capture"),
        ("benchmark.py --engine rey", "rey"),
    ],
)
def test_wrong_commands_are_refused(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in parse_error(command, monkeypatch, capsys)


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=lambda value: str(value)[:60])
def test_shown_commands_are_accepted(
    page: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command.removeprefix("-m ") in WITHOUT_OPTIONS:
        assert find_spec(command.removeprefix("-m "))
    else:
        assert parse_error(command, monkeypatch, capsys) == ""


@pytest.mark.parametrize(("page", "command"), MENTIONED, ids=lambda value: str(value)[:60])
def test_mentioned_commands_exist(
    page: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command.removeprefix("-m ") in WITHOUT_OPTIONS:
        assert find_spec(command.removeprefix("-m "))
    else:
        error = parse_error(command, monkeypatch, capsys)
        assert not error or "required" in error, error  # the text leaves out what the sentence is not about


def program_of(command: str) -> str:
    """Return what a command line runs: a script, a module, or a command of the data room."""
    return " ".join(re.match(r"-m data(?: [a-z]\S*)?|-m \S+|\S+", command)[0].split())  # type: ignore[index]


PROGRAMS = sorted(
    {program_of(command) for _, command in SHOWN} - {f"-m {name}" for name in WITHOUT_OPTIONS} | {"-m data"}
)


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_every_program_knows_its_version(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse_error(f"{program} --version", monkeypatch, capsys) == ""
    assert __version__ in capsys.readouterr().out


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z]+):", read_page(Path("Makefile")), flags=re.MULTILINE))
    named = {
        word
        for page in PAGES
        for line in [*blocks(read_page(page)), *spans(read_page(page))]
        for word in re.findall(r"^make ([a-z]+)", line)
    }
    assert named and named <= targets


def test_make_runs_what_exists() -> None:
    recipes = re.findall(r"^\t\$\(PY\) (-m )?(\S+)", read_page(Path("Makefile")), flags=re.MULTILINE)
    assert len(recipes) > 8
    for module, name in recipes:
        assert find_spec(name) if module else (ROOT / name).is_file(), name
