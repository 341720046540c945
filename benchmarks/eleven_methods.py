"""The benchmark of all methods, through its command line; its tables become a section of ``RESULTS.md``.

python benchmarks/eleven_methods.py --data_dir data/LEGO-3D --objects all --methods all --fast
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run benchmark.py with all words but those of this program; returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--page", type=Path, help="page to write (default: benchmarks/RESULTS.md)")
    parser.add_argument("--output_dir", default="output/benchmark", help="the benchmark's folder")
    own, words = parser.parse_known_args(arguments)
    import benchmark
    from benchmarks.page import PAGE, write_section

    code = benchmark.main([*words, "--output_dir", own.output_dir])
    tables = (Path(own.output_dir) / "table.md").read_text(encoding="utf-8")
    write_section(own.page or PAGE, "benchmark", tables.replace("# Benchmark", "## Benchmark of all methods", 1))
    return code


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
