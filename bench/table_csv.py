"""Every figure of every run, one a line."""

from __future__ import annotations

import csv
import io

from bench.grid import AUROCS, METRICS, Grid, machine_of, of_kind

FAILED = "failed"


def as_csv(grid: Grid) -> str:
    """Every figure of every run, fractions, seconds and bytes at full precision; a failed run is a line of its own.

    ``weights`` lists each pretrained file with the first digits of its digest, or "random"; ``fast`` is 0 or 1.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["object", "method", "seed", "metric", "value", "weights", "fast", "commit", "machine"])
    for (name, method), results in grid.places.items():
        for one in results:
            place: list[object] = [name, method, one.run.seed]
            if one.report is None:
                if one.failure:
                    fast = int(one.run.config.fast)
                    writer.writerow([*place, FAILED, "", "", fast, "", ""])
                continue
            told, report = one.report.environment, one.report
            weights = " ".join(f"{key}={value}" for key, value in dict(report.config.get("weights") or {}).items())
            after = [weights, int(bool(report.config.get("fast"))), told.get("commit") or "", machine_of(report)]
            metrics = dict(METRICS)
            for kind in report.evaluation.per_defect:
                metrics.update({f"{metric}/{kind}": of_kind(metric, kind) for metric in AUROCS})
            for metric, figure in metrics.items():
                value = figure(report)
                if value is not None:
                    writer.writerow([*place, metric, repr(value), *after])
    return buffer.getvalue()
