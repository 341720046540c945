"""The paper's own table (arXiv:2310.07716, section 3.4): AUROC of eleven methods on MAD-Sim's twenty objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.frame import AUROCS, methods_in, objects_in
from bench.typeset import Table, raised
from utils.text import MISSING

FOLDER = Path(__file__).resolve().parent.parent / "baselines" / "published"
ROUNDING = 0.1  # points: what rows and mean, each rounded to one decimal, can differ by at most
PRINTED_MARK = "≠"


@dataclass(frozen=True)
class Published:
    """The paper's rows, and the means that it prints below them; AUROCs in per cent, NaN where it gives none."""

    rows: pd.DataFrame  # index (object, method), columns AUROCS
    printed: pd.DataFrame  # index method, columns AUROCS

    @property
    def objects(self) -> list[str]:
        """The objects as the paper names them."""
        return list(self.rows.index.unique("object"))

    def mean(self, objects: Sequence[str] | None = None) -> pd.DataFrame:
        """Return our means of the paper's rows, those of some objects or of all, by method."""
        rows = self.rows if objects is None else self.rows[self.rows.index.isin(objects, "object")]
        return rows.groupby("method", sort=False).mean()

    def disagreements(self) -> pd.DataFrame:
        """Return by method and metric whether rounding cannot explain how printed mean and rows differ."""
        return (self.mean().loc[self.printed.index] - self.printed).abs() > ROUNDING + 1e-9


def read_published(folder: Path = FOLDER) -> Published:
    """Read the paper's rows and printed means."""
    rows = pd.read_csv(folder / "mad_sim_auroc.csv").set_index(["object", "method"])
    return Published(rows, pd.read_csv(folder / "mad_sim_auroc_printed_mean.csv").set_index("method"))


def plain_name(object_name: str) -> str:
    """Return an object's name without its number, as the paper has it.

    >>> plain_name("01Gorilla"), plain_name("Gorilla"), plain_name("42")
    ('Gorilla', 'Gorilla', '42')
    """
    return re.sub(r"^\d+[ _-]?(?=\D)", "", object_name)


def paper_method(method: str) -> str:
    """Return the name under which the paper has a method.

    >>> paper_method("OmniposeAD-paper"), paper_method("OmniposeAD-paper-score"), paper_method("PatchCore")
    ('OmniposeAD', 'OmniposeAD', 'PatchCore')
    """
    return method.removesuffix("-score").removesuffix("-paper")


def points_text(value: float, places: int = 1) -> str:
    """Format points, halves rounded up; a dash where there are none.

    >>> points_text(98.35), f"{98.35:.1f}", points_text(float("nan"))
    ('98.4', '98.3', '–')
    """
    return MISSING if pd.isna(value) else f"{value + 1e-9:.{places}f}"


def paper_table(frame: pd.DataFrame, published: Published) -> Table | None:
    """Return the paper's figures of our methods, its means and those of our objects; None where it knows no method."""
    methods = [method for method in methods_in(frame) if paper_method(method) in published.printed.index]
    objects = [name for name in objects_in(frame) if plain_name(name) in published.objects]
    if not methods:
        return None
    names = [paper_method(method) for method in methods]
    plain = [plain_name(name) for name in objects]
    rows = {name: _pairs(published.rows.loc[each], names) for name, each in zip(objects, plain)}
    if 0 < len(objects) < len(published.objects):
        rows[f"Mean of these {len(objects)} rows"] = _pairs(published.mean(plain), names, 2)
    rows[f"Mean of all {len(published.objects)} rows"] = _pairs(published.mean(), names, 2)
    wrong = published.disagreements()
    printed = published.printed.map(points_text) + wrong.map(lambda differs: raised(PRINTED_MARK) if differs else "")
    rows["Mean as the paper prints it"] = [" / ".join(printed.loc[name, list(AUROCS)]) for name in names]
    each = [
        f"{name} {metric.split('_')[0]} {published.printed.at[name, metric]:.1f}, "
        f"rows {points_text(published.mean().at[name, metric], 2)}"
        for name in dict.fromkeys(names)
        for metric in AUROCS
        if wrong.at[name, metric]
    ]
    caption = (
        "Pixel AUROC / image AUROC in per cent on MAD-Sim, as printed in arXiv:2310.07716, section 3.4, and our means "
        "of its rows. The paper's OmniposeAD stands beside every method here that is named after it."
    )
    if not objects:
        caption += " It is another data set: none of the objects that were measured here is in it."
    notes = {PRINTED_MARK: f"Printed means that the paper's own rows do not give: {'; '.join(each)}."}
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=methods).rename_axis("Object")
    return Table("paper", "The paper's numbers (not measured here)", caption, cells, notes)


def _pairs(points: pd.DataFrame, methods: Sequence[str], places: int = 1) -> list[str]:
    """Format pixel and image AUROC of some methods; a dash where the paper has neither."""
    texts = points.reindex(methods)[list(AUROCS)].map(lambda value: points_text(value, places))
    return [MISSING if (row == MISSING).all() else " / ".join(row) for _, row in texts.iterrows()]
