"""What the doctor finds out about an object's folder."""

from __future__ import annotations

from dataclasses import dataclass

from data.checks.hypotheses import Diagnosis
from data.checks.mend import Remedy
from data.checks.pictures import Pictures
from data.checks.quick import BAD_VERDICT, Check
from data.checks.sheet import Sheet


@dataclass(frozen=True)
class Examination:
    """All that was found out about an object's folder."""

    sheet: Sheet
    checks: list[Check]
    pictures: Pictures
    diagnosis: Diagnosis | None  # None where silhouettes could not be found
    remedy: Remedy

    @property
    def good(self) -> bool:
        """Whether nothing needs mending."""
        return all(check.verdict != BAD_VERDICT for check in self.checks)
