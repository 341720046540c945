"""The paper's own table (arXiv:2310.07716, section 3.4): AUROC of eleven methods on MAD-Sim's twenty objects."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from utils.errors import InputError

FOLDER = Path(__file__).resolve().parent.parent / "baselines" / "published"
METRICS = ("pixel_auroc", "image_auroc")
ROUNDING = 0.1  # points: what rows and mean, each rounded to one decimal, can differ by at most
Points = Mapping[str, float]  # metric → AUROC in per cent; a metric that the paper does not give is missing


@dataclass(frozen=True)
class Disagreement:
    """A mean that the paper prints and its rows do not give."""

    method: str
    metric: str
    printed: float  # per cent
    of_rows: float  # per cent


@dataclass(frozen=True)
class Published:
    """The paper's rows, and the means that it prints below them."""

    rows: Mapping[tuple[str, str], Points]  # (object, method) → AUROCs
    printed: Mapping[str, Points]  # method → AUROCs

    @property
    def objects(self) -> list[str]:
        """The objects as the paper names them."""
        return list(dict.fromkeys(name for name, _ in self.rows))

    def of(self, object_name: str, method: str) -> Points:
        """What the paper gives of our object and method; empty where it does not know them."""
        return self.rows.get((plain_name(object_name), paper_method(method)), {})

    def mean_of(self, method: str, metric: str, objects: list[str] | None = None) -> float | None:
        """Our mean of the paper's rows, in per cent; None where there are none.

        Args:
            objects: ours or the paper's names; None: all of the paper's.
        """
        names = self.objects if objects is None else objects
        found = [points[metric] for name in names if metric in (points := self.of(name, method))]
        return mean(found) if found else None

    def disagreements(self) -> Iterator[Disagreement]:
        """The printed means that differ from those of the rows by more than rounding can explain."""
        for method, points in self.printed.items():
            for metric, printed in points.items():
                of_rows = self.mean_of(method, metric)
                if of_rows is not None and abs(of_rows - printed) > ROUNDING + 1e-9:
                    yield Disagreement(method, metric, printed, of_rows)


def read_published(folder: Path = FOLDER) -> Published:
    """The paper's numbers from their two files.

    Raises:
        InputError: where a file is missing or is not such a table.
    """
    rows = {(row["object"], row["method"]): points for row, points in _read(folder / "mad_sim_auroc.csv", "object")}
    printed = {row["method"]: points for row, points in _read(folder / "mad_sim_auroc_printed_mean.csv")}
    return Published(rows, printed)


def plain_name(object_name: str) -> str:
    """An object's name without its number, as the paper has it.

    >>> plain_name("01Gorilla"), plain_name("Gorilla"), plain_name("42")
    ('Gorilla', 'Gorilla', '42')
    """
    return re.sub(r"^\d+[ _-]?(?=\D)", "", object_name)


def paper_method(method: str) -> str:
    """The name under which the paper has a method of ours.

    >>> paper_method("OmniposeAD-paper"), paper_method("PatchCore")
    ('OmniposeAD', 'PatchCore')
    """
    return method.removesuffix("-paper")


def _read(path: Path, *keys: str) -> Iterator[tuple[dict[str, str], Points]]:
    """Each row with its AUROCs."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path} with the paper's numbers cannot be read ({error.strerror}).") from None
    for number, row in enumerate(rows, 2):
        try:
            assert all(row[key] for key in (*keys, "method"))
            yield row, {metric: float(row[metric]) for metric in METRICS if row[metric]}
        except (KeyError, ValueError, TypeError, AssertionError):
            wanted = ", ".join((*keys, "method", *METRICS))
            raise InputError(f"{path}, line {number}: expected {wanted}, found {list(row.values())}.") from None
