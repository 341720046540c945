"""What the doctor finds out about an object's folder."""

from __future__ import annotations

from dataclasses import dataclass

from tabulate import tabulate

from data.doctor.fix import Fix
from data.doctor.frames import FrameTable
from data.doctor.hypotheses import Diagnosis, Hypothesis
from data.doctor.quick import BAD_VERDICT, Check
from data.doctor.silhouettes import Silhouettes
from data.doctor.verdict import is_unexplained


@dataclass(frozen=True)
class DoctorReport:
    """Findings about an object's folder."""

    frames: FrameTable
    checks: list[Check]
    silhouettes: Silhouettes
    diagnosis: Diagnosis | None  # None where silhouettes could not be found
    fix: Fix

    @property
    def good(self) -> bool:
        """Return whether nothing needs fixing."""
        return all(check.verdict != BAD_VERDICT for check in self.checks)

    @property
    def unfixable(self) -> str:
        """Return why no fixed copy can be written and what to do, as the end of a sentence; empty where one can be."""
        if self.diagnosis is not None and is_unexplained(self.diagnosis.agreement):
            return (
                "its poses do not fit its images, and no known mistake explains it; find the poses anew with python -m "
                "data capture"
            )
        if any(check.name == "silhouettes" and check.verdict == BAD_VERDICT for check in self.checks):
            return "its masks are wrong, and nothing proves its poses without them; write the masks again"
        return ""

    def table(self) -> str:
        """Return the checks as lines of text, each with its advice below."""
        rows = [(check.name, check.figure, check.verdict) for check in self.checks]
        lines = tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines()
        return "\n".join(
            line + f"\n    -> {check.advice}" * bool(check.advice) for line, check in zip(lines, self.checks)
        )

    def changes(self) -> str:
        """Return what differs between the fixed copy and the original."""
        fix = self.fix
        found = [f"{len(fix.dropped)} frames left out"] if fix.dropped else []
        found += [f"translations times {fix.scale:.4g}"] if fix.scale != 1.0 else []
        found += [fix.hypothesis.describe()] if fix.hypothesis != Hypothesis() else []
        if fix.hypothesis.flip != Hypothesis().flip:
            found.append("training images flipped, the queries under test/ left as they were")
        return "; ".join(found) or "frames and images matched"
