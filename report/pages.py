"""Web pages that need no other file and no network, made from templates."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

TEMPLATES = Path(__file__).resolve().parent / "templates"


def template(name: str, folder: Path = TEMPLATES) -> Template:
    """A page's template of ``folder``; text that is put into it is escaped, a name that is missing is an error."""
    pages = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(name)


def inlined(*names: str) -> str:
    """Style sheets or scripts, one after the other, to stand within a page."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
