"""The parser of the data room's commands."""

from __future__ import annotations

import argparse

from utils.config import Parser


def command_parser(command: str, description: str) -> Parser:
    """Return a parser with --quiet, whose errors are one sentence; a command adds its own options."""
    parser = Parser(
        description, prog=f"python -m data {command}", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--quiet", action="store_true", help="results only, no progress")
    return parser
