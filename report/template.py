"""HTML pages made from templates; each page is one file that needs no other and no network."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

TEMPLATES = Path(__file__).resolve().parent / "templates"


def load_template(name: str, folder: Path = TEMPLATES) -> Template:
    """Load a template of ``folder``; inserted text is escaped, and a missing variable is an error."""
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def read_assets(*names: str) -> str:
    """Read style sheets or scripts, concatenated, to be inlined in a page."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
