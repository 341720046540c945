"""``docs/api.md``: the public interface as a page, made from its signatures and docstrings.

python -m docs.build_api
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import omniposead
from utils.config import comments_of

PAGE = Path(__file__).with_name("api.md")
NAMES = (
    "train",
    "Model",
    "Detection",
    "Region",
    "PartDetection",
    "SurfaceDefect",
    "NextView",
    "add",
    "confirm_good",
    "undo",
    "Change",
    "Config",
    "InputError",
)
HEAD = """# The Python interface

Written by `python -m docs.build_api`; do not edit. `pip install -e .` makes `import omniposead` work from any folder.

```python
{example}
```
"""


def api_text() -> str:
    """Return the page: every public name with its signature and docstring."""
    example = (omniposead.__doc__ or "").partition("\n\n")[2].strip()
    parts = [HEAD.format(example=example)]
    for name in NAMES:
        value = getattr(omniposead, name)
        parts.append(f"## `{name}`\n\n{doc_text(value) if inspect.isclass(value) else function_text(value)}\n")
        if value is omniposead.Config:
            parts.append("[configs/README.md](../configs/README.md) lists its fields.\n")
        elif inspect.isclass(value):
            members = public_methods(value)
            parts += [f"### `{name}.{method.__name__}`\n\n{function_text(method)}\n" for method in members]
            parts += [] if members or not dataclasses.is_dataclass(value) else [field_table(value)]
    return "\n".join(parts)


def public_methods(value: type) -> list[Callable[..., object]]:
    """Return the public methods of a class, those of its bases in the same room behind its own."""
    room = value.__module__.split(".")[0]
    bases = [base for base in value.__mro__ if base.__module__.split(".")[0] == room]
    members = [getattr(member, "__func__", member) for base in bases for member in vars(base).values()]
    return [member for member in members if inspect.isfunction(member) and not member.__name__.startswith("_")]


def field_table(value: type) -> str:
    """Return the fields of a dataclass with their types and comments."""
    rows = ["| field | type | |", "|---|---|---|"]
    for field in dataclasses.fields(value):
        kind, comment = str(field.type).replace("|", "\\|"), comments_of(value)[field.name].replace("|", "\\|")
        rows.append(f"| `{field.name}` | {kind} | {comment} |")
    return "\n".join(rows) + "\n"


def function_text(function: Callable[..., object]) -> str:
    """Return a function's signature and docstring."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"```python\n{node.name}({arguments}){returns}\n```\n\n{doc_text(function)}"


def doc_text(value: object) -> str:
    """Return a docstring as Markdown: sections as lists, examples as code.

    >>> doc_text(doc_text).split(":")[0]
    'Return a docstring as Markdown'
    """
    lines: list[str] = []
    example = False
    for line in (inspect.getdoc(value) or "").splitlines():
        example = line.startswith(">>>") or (example and bool(line))
        item = re.match(r"    (\w[\w, ]*): (.*)", line)
        if example:
            lines.append("    " + line.partition("  # doctest:")[0])
        elif line in ("Args:", "Returns:", "Raises:"):
            lines += ["", f"**{line}**", ""]
        elif item:
            lines.append(f"- `{item[1]}`: {item[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith("     ") else line.strip())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("``", "`").strip()


if __name__ == "__main__":
    PAGE.write_text(api_text(), encoding="utf-8")
