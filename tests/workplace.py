"""A copy of the program's folder, in which the commands of its pages are run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import ROOT

LEFT_OUT = {"tests", "site", "build", "output", "ckpts", "LEGO-3D", "MAD-Real", "samples", "mine", "toys.zip"}
PYTHON = re.compile(r"^(?:\.venv/bin/)?python3?(?= )")
LONGEST = 1800  # seconds that a command may take, on however busy a machine


@dataclass(frozen=True)
class Workplace:
    """A folder with the program in it, as it is after a download."""

    folder: Path

    @staticmethod
    @contextmanager
    def of(folder: Path) -> Iterator[Workplace]:
        """Copy the program, with what it has compiled, into a new folder, which is removed at the end."""

        def left_out(place: str, names: list[str]) -> set[str]:
            outermost = Path(place) == ROOT
            return {
                name
                for name in names
                if (name in LEFT_OUT and (outermost or Path(place) == ROOT / "data"))
                or (name.startswith(".") and outermost)
                or name.endswith(".egg-info")
            }

        shutil.copytree(ROOT, folder, ignore=left_out)
        try:
            yield Workplace(folder)
        finally:
            shutil.rmtree(folder)

    def run(self, command: str, codes: Collection[int] = (0,)) -> str:
        """Run a command line of a page; return what it printed.

        Raises:
            AssertionError: where it ends with another exit code than one of ``codes``.
        """
        return self.run_words(shlex.split(PYTHON.sub(shlex.quote(sys.executable), command)), command, codes)

    def run_python(self, code: str) -> str:
        """Run a piece of Python in the folder; return what it printed."""
        return self.run_words([sys.executable, "-c", code], code)

    def run_words(self, words: list[str], shown: str, codes: Collection[int] = (0,)) -> str:
        """Run a program in the folder; ``shown`` is what a failure names it by."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        with subprocess.Popen(
            words,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=LONGEST)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # with what it started itself
                raise
        assert process.returncode in codes, f"{shown}\nended with {process.returncode}:\n{said[-3000:]}"
        assert "Traceback" not in said, f"{shown}\n{said[-3000:]}"
        return said
