"""The paper's own numbers: does performance follow shape complexity and colour contrast? A section of ``RESULTS.md``.

python bench/measure/published_correlation.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.correlate import published_study
from bench.correlation import Study
from bench.correlation_figures import check_matplotlib, write_heat_table
from bench.correlation_words import page
from bench.measure.results_page import PAGE, ROOT, changes, write_section
from utils.device import environment

FIGURE = "published_correlations.png"


def main(arguments: list[str]) -> int:
    """Write the section and its figure; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--page", type=Path, help="page to write (default: docs/RESULTS.md)")
    parser.add_argument("--docs", type=Path, help="folder of the figure (default: docs)")
    own = parser.parse_args(arguments)
    check_matplotlib()
    study = published_study()
    write_heat_table((own.docs or ROOT / "docs") / FIGURE, study)
    write_section(own.page or PAGE, "correlation", section(study))
    print(f"Section: {own.page or PAGE}")
    return 0


def section(study: object) -> str:
    """The section of the page."""
    assert isinstance(study, Study)
    told = environment()
    made = (
        f"`python bench/measure/published_correlation.py`, {told['date'][:10]}, commit {told['commit'] or 'unknown'}"
        f"{changes()}, from the tables in baselines/published. `python benchmark.py --correlate published` writes all "
        f"{len(study.correlations)} correlations and scatter plots."
    )
    head, _, rest = page(study, every=False).partition("\n\n")
    return f"{head}\n\n{made}\n\n{rest}\n![Correlations of eleven methods](../docs/{FIGURE})\n"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
