"""Text for people: natural order of names, numbers as they are shown."""

from __future__ import annotations

import re
import time

MISSING = "–"  # shown where a value is not defined


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key by which 2 comes before 10.

    >>> sorted(["Burrs/10", "Burrs/2"], key=natural_key)
    ['Burrs/2', 'Burrs/10']
    """
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def utc_text(seconds: float | None = None) -> str:
    """Return date and time, UTC, of ``seconds`` since 1970, by default of now.

    >>> utc_text(0.0)
    '1970-01-01T00:00:00Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def format_number(value: float | None, digits: int = 3) -> str:
    """Format a number with ``digits`` significant digits.

    >>> format_number(0.012345), format_number(4567.8), format_number(0.5, 2), format_number(None)
    ('0.0123', '4568', '0.50', '–')
    """
    if value is None:
        return MISSING
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".rstrip(".")


def format_decimal(value: float | None, places: int, unit: str = "", missing: str = MISSING) -> str:
    """Format a number with ``places`` decimal places.

    >>> format_decimal(39.876, 1, " dB"), format_decimal(None, 4)
    ('39.9 dB', '–')
    """
    return missing if value is None else f"{value:.{places}f}{unit}"


def format_fraction(value: float | None, places: int = 3) -> str:
    """Format a fraction in [0, 1] with ``places`` decimal places; only a perfect one is shown as perfect.

    >>> format_fraction(0.98765), format_fraction(0.99999), format_fraction(1.0)
    ('0.988', '0.999', '1.000')
    """
    if value is None:
        return MISSING
    return f"{value if value == 1.0 else min(value, 1.0 - 10.0**-places):.{places}f}"
