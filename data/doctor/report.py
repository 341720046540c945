"""What the doctor finds out about an object's folder."""

from __future__ import annotations

from dataclasses import dataclass

from data.doctor.fix import Fix
from data.doctor.frames import FrameTable
from data.doctor.hypotheses import Diagnosis
from data.doctor.quick import BAD_VERDICT, Check
from data.doctor.silhouettes import Pictures


@dataclass(frozen=True)
class DoctorReport:
    """All that was found out about an object's folder."""

    sheet: FrameTable
    checks: list[Check]
    pictures: Pictures
    diagnosis: Diagnosis | None  # None where silhouettes could not be found
    remedy: Fix

    @property
    def good(self) -> bool:
        """Whether nothing needs mending."""
        return all(check.verdict != BAD_VERDICT for check in self.checks)
