"""A table of texts as Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from tabulate import tabulate

# Marks in the texts of a table that each form writes in its own way.
BOLD, END_BOLD, RAISE, END_RAISE = "\x01", "\x02", "\x03", "\x04"
MARKDOWN = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_[]|~#$"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    | {BOLD: "**", END_BOLD: "**", RAISE: "<sup>", END_RAISE: "</sup>"}
)
HTML = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    | {BOLD: "<b>", END_BOLD: "</b>", RAISE: "<sup>", END_RAISE: "</sup>"}
)
LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "≠": r"$\neq$", "·": r"$\cdot$", "–": "--"}
    | {"†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "§": r"\S{}", "°": r"\textdegree{}"}
    | {BOLD: r"\textbf{", END_BOLD: "}", RAISE: r"\textsuperscript{", END_RAISE: "}"}
)
LATEX_HEAD = "% \\usepackage{booktabs,graphicx}, \\usepackage[T1]{fontenc}"


@dataclass(frozen=True)
class Table:
    """A table with all that must be said below it; its texts may have the marks ``bold`` and ``raised`` put in."""

    name: str  # a word, for links
    title: str
    caption: str
    cells: pd.DataFrame  # of texts; the index names the rows and the index's name stands over them
    notes: Mapping[str, str] = field(default_factory=dict)  # mark → sentence; those whose mark is used are shown
    circumstances: str = ""

    @property
    def used_notes(self) -> dict[str, str]:
        """The notes whose mark stands in the table, raised or as a text of its own."""
        texts = [*self.cells.columns, *self.cells.index, *self.cells.to_numpy().ravel()]
        raised_marks = {mark for text in texts for part in _RAISED.findall(text) for mark in part.split(",")}
        words = {word for text in texts for word in text.split()}
        return {mark: sentence for mark, sentence in self.notes.items() if mark in raised_marks | words}

    @property
    def html(self) -> str:
        """The cells as an HTML table."""
        cells = translated(self.cells, HTML)
        with pd.option_context("display.max_colwidth", None):
            return cells.rename_axis(index=None, columns=cells.index.name).to_html(
                escape=False, border=0, classes="results"
            )


_RAISED = re.compile(f"{RAISE}(.*?){END_RAISE}")


def bold(text: str) -> str:
    """Return the text in bold type."""
    return f"{BOLD}{text}{END_BOLD}"


def raised(*marks: str) -> str:
    """Return the marks of notes as a superscript; empty without marks."""
    return f"{RAISE}{','.join(marks)}{END_RAISE}" if marks else ""


def translated(cells: pd.DataFrame, form: Mapping[int, str]) -> pd.DataFrame:
    """Return the cells with their texts in one of the forms MARKDOWN, HTML or LATEX."""
    heads = {"index": lambda text: text.translate(form), "columns": lambda text: text.translate(form)}
    return cells.map(lambda text: text.translate(form)).rename(**heads).rename_axis(cells.index.name.translate(form))


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is aligned left, the others right.

    >>> print(markdown_table(["a", "b"], [["x", "1.0"]]))
    | a   |   b |
    |:----|----:|
    | x   | 1.0 |
    """
    align = ("left", *["right"] * (len(heads) - 1))
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=align)


def as_markdown(table: Table) -> str:
    """Return a heading, the caption, the table, its notes and its circumstances."""
    cells = translated(table.cells, MARKDOWN).reset_index()
    rows = markdown_table(list(cells.columns), cells.to_numpy().tolist())
    parts = [f"### {table.title.translate(MARKDOWN)}", table.caption.translate(MARKDOWN), rows]
    if table.used_notes:
        parts.append("\n".join(f"- {raised(m)} {text}".translate(MARKDOWN) for m, text in table.used_notes.items()))
    if table.circumstances:
        parts.append(f"*{table.circumstances.translate(MARKDOWN)}*")
    return "\n\n".join(parts) + "\n"


def as_latex(table: Table) -> str:
    """Return a float that needs the packages of LATEX_HEAD and a compiler that reads UTF-8."""
    cells = translated(table.cells, LATEX).reset_index()
    rows = cells.to_latex(index=False, escape=False, column_format="l" + "r" * (cells.shape[1] - 1))
    below = [f"{raised(mark)} {text}".translate(LATEX) for mark, text in table.used_notes.items()]
    below += [rf"\emph{{{table.circumstances.translate(LATEX)}}}"] if table.circumstances else []
    lines = [
        rf"\begin{{table}}\centering\caption{{{f'{table.title}. {table.caption}'.translate(LATEX)}}}",
        rf"\label{{tab:{table.name}}}\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%",
        f"{rows.strip()}}}",
        r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize",
        "\\par\n".join(below),
        r"\end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
