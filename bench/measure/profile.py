"""One query by stage: the seconds that a tested object's ``results.json`` keeps.

python -m bench.measure.profile output/01Gorilla/results.json
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from evaluation.results import ObjectReport, read_results
from utils.config import Parser
from utils.errors import InputError, exit_code_of


def main(argv: list[str]) -> int:
    """Write the table of the results that the command line names; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("results", type=Path, help="results.json of a tested object")
    add_page_options(parser, "query")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    report = read_results(args.results)
    write_section(args.page, args.section, stage_section(report))
    print(f"Table: {args.page}")
    return 0


def stage_seconds(report: ObjectReport) -> pd.DataFrame:
    """Return the seconds of each query (rows) in each stage (columns).

    Raises:
        InputError: where the results have no seconds by stage.
    """
    seconds = pd.DataFrame([dict(query.stage_seconds) for query in report.queries])
    if seconds.empty:
        raise InputError(f"The results of {report.object_name} have no seconds by stage; test it with auroc_test.py.")
    return seconds


def stage_section(report: ObjectReport) -> str:
    """Return the section's Markdown: circumstances, and a row a stage with median, 90th percentile and share."""
    seconds = stage_seconds(report)
    columns = {**seconds, "all": seconds.sum(axis=1)}
    rows = [
        [
            name,
            f"{1000 * values.median():.1f}",
            f"{1000 * values.quantile(0.9):.1f}",
            f"{values.sum() / columns['all'].sum():.0%}",
        ]
        for name, values in columns.items()
    ]
    where = describe_measurement(report.environment, report.config, report.remark)
    return (
        f"## One query by stage\n\n`python -m bench.measure.profile` on {report.object_name}, {len(seconds)} queries: "
        f"{where}\n\n{markdown_table(['stage', 'median ms', 'p90 ms', 'share'], rows)}"
    )


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
