"""The paper's own numbers: does performance follow shape complexity and colour contrast?

python -m bench.measure.published_correlation
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.correlate import as_table, published_study
from bench.correlation_figures import write_heat_table
from bench.measure.results_page import ROOT, add_page_options, made_text, refuse_dirty_tree, write_section
from bench.typeset import as_markdown
from utils.config import Parser
from utils.device import environment
from utils.errors import exit_code_of

FIGURE = "published_correlations.png"


def main(argv: list[str]) -> int:
    """Write the section and its figure; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    add_page_options(parser, "correlation")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the figure (default: docs)")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    study = published_study()
    write_heat_table(args.docs / FIGURE, study)
    made = f"`python -m bench.measure.published_correlation`, {made_text(environment())}, from baselines/published."
    figure = f"![Pearson's r of eleven methods]({FIGURE})"
    write_section(args.page, args.section, f"{made}\n\n{as_markdown(as_table(study))}\n{figure}")
    print(f"Section: {args.page}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
