"""How many cases property tests try: some dozens with ``make test``, thousands with ``make fuzz``.

After the tests stands how many they were, and the figures of the soak.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from hypothesis import HealthCheck, settings

# Each test writes small files for each case; a slow machine is no failure.
QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("few", max_examples=40, deadline=None, derandomize=True, suppress_health_check=QUIET)
settings.register_profile("many", max_examples=700, deadline=None, suppress_health_check=QUIET)
settings.load_profile("few")


def pytest_terminal_summary(terminalreporter: object) -> None:
    """How many cases the property tests tried in all, and what the soak measured."""
    stats = getattr(terminalreporter, "stats", {})
    for report in [*stats.get("passed", []), *stats.get("failed", [])]:
        for name, figures in getattr(report, "user_properties", []):
            if name == "soak" and report.when == "call":
                terminalreporter.write_line(json.dumps({"soak": figures}))  # type: ignore[attr-defined]
    reports: Iterable[object] = stats.get("", [])
    texts = [getattr(report, "_hypothesis_stats", "") for report in reports]
    cases = sum(int(count) for text in texts for count in re.findall(r"(\d+) (?:passing|failing)", text))
    if cases:
        terminalreporter.write_line(f"{cases} cases in {sum(map(bool, texts))} property tests")  # type: ignore[attr-defined]
