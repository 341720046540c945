"""The command line of the data room's commands."""

from __future__ import annotations

import argparse
import typing

from utils.errors import InputError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        raise InputError(f"{message}; {self.prog} --help lists the options.")


def command_parser(command: str, description: str) -> argparse.ArgumentParser:
    """A parser whose errors are one sentence, with --quiet; a command adds its own options to it."""
    parser = _Parser(
        prog=f"python -m data {command}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--quiet", action="store_true", help="results only, no progress")
    return parser
