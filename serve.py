"""Serve trained objects: verdicts on photos over HTTP, on a page, or for a watched folder."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

from service.settings import ServiceConfig
from utils.config import Parser, add_options, from_args
from utils.errors import InputError, exit_code_of

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "watchfiles")  # of the extra


def make_parser() -> argparse.ArgumentParser:
    """Return the command line: which objects, and the fields of ServiceConfig with their comments as help."""
    parser = Parser(__doc__ or "")
    parser.add_argument(
        "--objs", "--obj", nargs="+", default=[], metavar="NAME", help="objects (default: all trained ones of ckpt_dir)"
    )
    add_options(parser, ServiceConfig)
    return parser


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    args = make_parser().parse_args(argv)
    config = from_args(ServiceConfig, args)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f"serve.py needs the package {missing[0]}, which is not here; run: pip install -e '.[serve]'")
    from service.start import serve, watch  # noqa: PLC0415  after parsing: --help stays quick and needs no extra

    return watch(config, args.objs) if config.watch else serve(config, args.objs)


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
