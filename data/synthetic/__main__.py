"""Command line of the generator: ``python -m data.synthetic --toy NAME --out DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Runs the generator; returns 0, 2 after an error in what was asked for, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m data.synthetic",
        description="Make pictures of a brick toy in the MAD folder layout.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="print the names of the toys and stop")
    parser.add_argument("--toy", help="name of a toy, or path of a parts list (.txt)")
    parser.add_argument("--out", type=Path, help="the object's folder")
    parser.add_argument("--views", type=int, default=210, help="training views, 1 to 210")
    parser.add_argument("--queries", type=int, default=24, help="test images of each kind")
    parser.add_argument("--image_size", type=int, default=400, help="pixels a side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gloss", choices=("mild", "glaring", "none"), default="mild", help="how the plastic shines")
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--overwrite", action="store_true", help="make pictures anew that are there already")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.list:
        from data.synthetic.toys import toy_names

        print("\n".join(toy_names()))
        return 0
    if options.toy is None or options.out is None:
        parser.error("--toy and --out are needed (--list prints the toys)")
    try:
        from data.synthetic.generate import Settings, generate

        keys = (options.toy, options.views, options.queries, options.image_size, options.seed, options.gloss)
        generate(Settings(*keys), options.out, options.workers, options.overwrite, options.quiet)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
