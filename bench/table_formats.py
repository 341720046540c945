"""A table before it is Markdown, LaTeX or a web page: entries, marks, and the notes that explain them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NEVER_RUN = "–"


@dataclass(frozen=True)
class Part:
    """One figure of an entry."""

    text: str
    best: bool = False  # of its row or column


@dataclass(frozen=True)
class Entry:
    """What stands at one place of a table, not escaped."""

    parts: tuple[Part, ...]  # shown with slashes between them
    marks: tuple[str, ...] = ()  # of notes
    remark: str = ""  # a few words beside the figures
    paper: str = ""  # the paper's figures for the same place; shown on the web page only

    @classmethod
    def of(cls, text: str, marks: Sequence[str] = (), remark: str = "") -> Entry:
        """An entry of one part."""
        return cls((Part(text),), tuple(marks), remark)


@dataclass(frozen=True)
class Row:
    """A row of a table; its first entry names it."""

    entries: tuple[Entry, ...]
    total: bool = False  # a row of means, set apart


@dataclass(frozen=True)
class Table:
    """A table with all that must be said below it."""

    name: str  # a word, for links
    title: str
    caption: str
    heads: tuple[Entry, ...]
    rows: tuple[Row, ...]
    notes: tuple[tuple[str, str], ...] = ()  # mark and sentence
    circumstances: str = ""
    from_paper: bool = False  # not measured here

    @property
    def full_title(self) -> str:
        """The title, and that nothing below it was measured here where that is so."""
        return f"{self.title} (not measured here)" if self.from_paper else self.title

    @property
    def stacked(self) -> bool:
        """Whether entries of several parts are so wide that a page sets them one above the other."""
        return any("±" in part.text for row in self.rows for e in row.entries if len(e.parts) > 1 for part in e.parts)

    @property
    def has_paper(self) -> bool:
        """Whether any entry has the paper's figures beside it."""
        return any(entry.paper for row in self.rows for entry in row.entries)


class Notes:
    """The notes of one table, in the order in which they are first needed."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}  # mark → sentence
        self._cells: dict[str, list[str]] = {}  # failure → names of runs

    def symbol(self, mark: str, sentence: str) -> str:
        """A note under a mark of its own; returns the mark."""
        self._sentences[mark] = sentence
        return mark

    def failure(self, sentence: str, run: str) -> str:
        """A numbered note on why a run has no result; runs with the same one share its number."""
        runs = self._cells.setdefault(" ".join(sentence.split()), [])
        if run not in runs:
            runs.append(run)
        return str(list(self._cells).index(" ".join(sentence.split())) + 1)

    @property
    def all(self) -> tuple[tuple[str, str], ...]:
        """Marks and sentences."""
        numbered = []
        for number, (sentence, runs) in enumerate(self._cells.items(), 1):
            shown = ", ".join(runs[:4]) + (f" and {len(runs) - 4} more" if len(runs) > 4 else "")
            numbered.append((str(number), f"{shown} failed: {sentence}"))
        return (*self._sentences.items(), *numbered)


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table too.

    >>> markdown_escape("a_b|<c>")
    'a\\\\_b\\\\|&lt;c&gt;'
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", text)


_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "≠": r"$\neq$",
    "–": "--",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "·": r"$\cdot$",
    "°": r"\textdegree{}",
}


def latex_escape(text: str) -> str:
    """Text that LaTeX shows as it is.

    >>> latex_escape("100 % of a_b")
    '100 \\\\% of a\\\\_b'
    """
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def as_markdown(table: Table) -> str:
    """A heading, the caption, the table, its notes and its circumstances."""

    def show(entry: Entry) -> str:
        return _show(entry, markdown_escape, "**{}**", "<sup>{}</sup>")

    parts = [f"### {markdown_escape(table.full_title)}", markdown_escape(table.caption)]
    rows = [[show(entry) for entry in row.entries] for row in table.rows]
    for runs, row in zip(rows, table.rows):
        runs[0] = f"**{runs[0]}**" if row.total and not table.from_paper else runs[0]
    head = [show(entry) for entry in table.heads]
    lines = [f"| {' | '.join(line)} |" for line in (head, *rows)]
    parts.append("\n".join([lines[0], "|---" + "|---:" * (len(head) - 1) + "|", *lines[1:]]))
    if table.notes:
        parts.append(
            "\n".join(f"- {_marked((mark,), markdown_escape)} {markdown_escape(s)}" for mark, s in table.notes)
        )
    if table.circumstances:
        parts.append(f"*{markdown_escape(table.circumstances)}*")
    return "\n\n".join(part for part in parts if part) + "\n"


def as_latex(table: Table) -> str:
    """A float that needs the packages booktabs and graphicx, and a compiler that reads UTF-8."""

    def show(entry: Entry) -> str:
        return _show(entry, latex_escape, r"\textbf{{{}}}", r"\textsuperscript{{{}}}")

    columns = "l" + "r" * (len(table.heads) - 1)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_escape(f'{table.full_title}. {table.caption}')}}}"]
    lines += [rf"\label{{tab:{table.name}}}", r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(show(entry) for entry in table.heads) + r" \\", r"\midrule"]
    ruled = False
    for row in table.rows:
        if row.total and not ruled:
            lines, ruled = [*lines, r"\midrule"], True
        lines.append(" & ".join(show(entry) for entry in row.entries) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    below = [rf"\textsuperscript{{{latex_escape(mark)}}}~{latex_escape(sentence)}" for mark, sentence in table.notes]
    below += [rf"\emph{{{latex_escape(table.circumstances)}}}"] if table.circumstances else []
    if below:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", "\\par\n".join(below)]
        lines += [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _show(entry: Entry, escape: Callable[[str], str], best: str, raised: str) -> str:
    figures = " / ".join(best.format(escape(part.text)) if part.best else escape(part.text) for part in entry.parts)
    marks = raised.format(escape(",".join(entry.marks))) if entry.marks else ""
    return figures + marks + (f" ({escape(entry.remark)})" if entry.remark else "")


def _marked(marks: Sequence[str], escape: Callable[[str], str]) -> str:
    return f"<sup>{escape(','.join(marks))}</sup>"
