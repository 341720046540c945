"""The command line: what it refuses, in one sentence and with the exit code 2."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import serve
from service.settings import ServiceConfig
from service.start import HEAPS
from tests.service.processes import ROOT
from utils.errors import InputError, exit_code_of

SECRET = "0123456789abcdef-secret"


def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    hidden = (
        "import importlib.util, sys; found = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name, *rest: None if name == 'fastapi' else found(name, *rest); "
        "sys.modules['fastapi'] = None; import serve, utils.errors; "
        "sys.exit(utils.errors.exit_code_of(lambda: serve.main([])))"
    )
    ended = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and ended.stdout == ""
    assert (
        ended.stderr.startswith("error: ") and "fastapi" in ended.stderr and "pip install -e '.[serve]'" in ended.stderr
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "--token_file"),
        (["--host", "::"], "--token_file"),
        (["--host", "example.org"], "--token_file"),
        (["--token_file", "nothing"], "cannot be read"),
        (["--objs", "pump"], "no trained object"),
        (["--watch", "in"], "--to"),
        (["--watch", "nothing", "--to", "out"], "no folder"),
        (["--webhook", "ftp://x"], "http://"),
        (["--max_queue", "0"], "max_queue"),
        (["--port", "99999"], "port"),
        (["--hst", "x"], "did you mean --host"),
    ],
)
def test_what_cannot_be_served_is_told(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(lambda: serve.main(words)) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1


def test_tokens_must_be_long_and_of_one_word(tmp_path: Path) -> None:
    path = tmp_path / "token"
    config = ServiceConfig(host="0.0.0.0", token_file=str(path))
    for text in ("", "short", "with a space in the middle", "\n" + SECRET):
        path.write_text(text)
        with pytest.raises(InputError, match="16 characters"):
            config.read_token()
    path.write_text(f"{SECRET}\nanother line\n")
    assert config.read_token() == SECRET
    path.write_bytes("schlüssel-schlüssel".encode())
    with pytest.raises(InputError, match="cannot be read"):
        config.read_token()


def test_only_loopback_is_local() -> None:
    assert all(ServiceConfig(host=host).is_local for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"))
    assert not any(ServiceConfig(host=host).is_local for host in ("0.0.0.0", "::", "10.0.0.1", "pc.example", ""))
    assert ServiceConfig(host="0.0.0.0").host_names() == frozenset()
    assert ServiceConfig(host="0.0.0.0", allowed_hosts=("PC.example",)).host_names() == {"0.0.0.0", "pc.example"}


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    from service.start import listen

    first = listen("127.0.0.1", 0)
    with pytest.raises(InputError, match="Cannot listen"):
        listen("127.0.0.1", first.getsockname()[1])
    first.close()


def test_help_needs_no_extra_and_is_quick() -> None:
    code = "import sys, serve; serve.make_parser(); sys.exit(bool({'torch', 'fastapi', 'uvicorn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=False).returncode == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have one heap for all threads")
def test_threads_share_few_heaps() -> None:
    code = (
        "import ctypes, sys, threading; {}; barrier = threading.Barrier(12); libc = ctypes.CDLL(None)\n"
        "def take():\n    barrier.wait(); blocks = [libc.malloc(900) for _ in range(100)]; barrier.wait()\n"
        "threads = [threading.Thread(target=take) for _ in range(12)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]; libc.malloc_stats()"
    )

    def heaps(first: str) -> int:
        ended = subprocess.run(
            [sys.executable, "-c", code.format(first)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return ended.stderr.count("Arena ")

    assert heaps("import service.start; assert service.start.share_heaps()") <= HEAPS < heaps("import service.start")
