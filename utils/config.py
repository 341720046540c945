"""Settings: frozen dataclasses whose fields become options of the command line and keys of config files.

Name, default and type of a setting are those of its field, its help is the field's comment. A field of a group is
called ``<group>_<field>``, as in ``field_steps``, and its ``method`` like the group, as in ``field``; a group whose
``KEY_PREFIX`` is empty keeps the names of its fields. Nothing heavy is imported here.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import io
import tokenize
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import configargparse

from utils.errors import InputError, nearest
from utils.version import __version__

ConfigType = TypeVar("ConfigType")
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def require(condition: bool, key: str, expected: str, found: object) -> None:
    """Raise an InputError that names ``key`` unless ``condition`` holds."""
    if not condition:
        raise InputError(
            f"{key} must be {expected}, found {found!r}; correct it in the config file or on the command line."
        )


def choice(names: Sequence[str]) -> Any:
    """Declare a field that holds one of ``names``, the first by default."""
    return dataclasses.field(default=names[0], metadata={"choices": tuple(names)})


@dataclasses.dataclass(frozen=True)
class Option:
    """One setting as the command line and the config files know it."""

    key: str
    group: str  # field of the root dataclass that holds it, empty for the root itself
    name: str  # name of its field
    type: Any
    default: Any
    help: str
    choices: tuple[str, ...] = ()


def options_of(config_type: type) -> tuple[Option, ...]:
    """List all settings of a dataclass and of the dataclasses in it, in the order of their declaration."""
    return _read_options(config_type)


@functools.cache
def _read_options(config_type: type) -> tuple[Option, ...]:
    found = list(_options_in(config_type, "", ""))
    for group, kind in groups_of(config_type).items():
        found += _options_in(kind, group, getattr(kind, "KEY_PREFIX", f"{group}_"))
    return tuple(found)


def groups_of(config_type: type) -> dict[str, type]:
    """List the groups of settings: fields of ``config_type`` that are dataclasses themselves."""
    types = typing.get_type_hints(config_type)
    return {field.name: types[field.name] for field in dataclasses.fields(config_type) if _is_group(types[field.name])}


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _options_in(kind: type, group: str, prefix: str) -> Iterable[Option]:
    types, comments = typing.get_type_hints(kind), comments_of(kind)
    for field in dataclasses.fields(kind):
        if _is_group(types[field.name]):
            continue
        key = group if group and field.name == "method" else prefix + field.name
        choices = field.metadata.get("choices", ())
        if typing.get_origin(types[field.name]) is typing.Literal:
            choices = typing.get_args(types[field.name])
        yield Option(key, group, field.name, types[field.name], field.default, comments[field.name], choices)


def comments_of(kind: type) -> dict[str, str]:
    """Read the comment of each field of a dataclass: behind it, or on the lines above it."""
    source = inspect.getsource(kind)
    comments, alone = {}, set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    found = {}
    body: list[ast.stmt] = getattr(ast.parse(source).body[0], "body", [])
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            line = node.lineno - 1
            above: list[str] = []
            while line in alone:
                above.insert(0, comments[line])
                line -= 1
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            found[node.target.id] = " ".join(above + [comments[line] for line in lines if line in comments])
    return found


def type_name(option: Option) -> str:
    """Name a setting's type as the help shows it: its choices, or the type."""
    if option.choices:
        return "|".join(option.choices)
    kind = option.type
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "").replace("pathlib.", "")


def read_value(text: str, option: Option) -> Any:
    """Read a value of the option's type.

    Raises:
        InputError: naming the key, what was expected and what was found.
    """
    kind, parts = option.type, typing.get_args(option.type)
    if option.choices:
        if text in option.choices:
            return text
        hint = nearest(text, option.choices) or "."
        raise InputError(f"{option.key} must be one of {', '.join(option.choices)}, found {text!r}{hint}")
    if type(None) in parts:
        if text.lower() == "none":
            return None
        kind = next(part for part in parts if part is not type(None))
    if kind is bool:
        return read_flag(text, option.key)
    try:
        if typing.get_origin(kind) is tuple:
            return tuple(typing.get_args(kind)[0](part) for part in text.strip("()[]").replace(",", " ").split())
        return kind(text)
    except ValueError:
        raise InputError(f"{option.key} must be of type {type_name(option)}, found {text!r}.") from None


def read_flag(text: str, key: str) -> bool:
    """Read a truth value; an InputError names ``key`` if ``text`` is none."""
    if text.lower() in TRUE_WORDS + FALSE_WORDS:
        return text.lower() in TRUE_WORDS
    raise InputError(f"{key} must be True or False, found {text!r}; correct it in the config file.")


def write_value(value: Any) -> str:
    """Write a value as a config file has it.

    >>> write_value((64, 128))
    '64, 128'
    """
    return ", ".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def build(config_type: type[ConfigType], values: Mapping[str, Any]) -> ConfigType:
    """Construct settings from the values of some keys; the others keep their defaults."""
    kinds, given = groups_of(config_type), dict[str, dict[str, Any]]()
    for option in options_of(config_type):
        if option.key in values:
            given.setdefault(option.group, {})[option.name] = values[option.key]
    nested = {group: kind(**given[group]) for group, kind in kinds.items() if group in given}
    return config_type(**given.get("", {}), **nested)


def values_of(config: Any) -> dict[str, Any]:
    """Return the value of each key."""
    return {
        option.key: getattr(getattr(config, option.group) if option.group else config, option.name)
        for option in options_of(type(config))
    }


class Parser(configargparse.ArgumentParser):
    """A parser of options and config files that knows ``--version`` and whose errors are one InputError."""

    def __init__(self, description: str, **settings: Any) -> None:
        super().__init__(
            description=description, allow_abbrev=False, add_config_file_help=False, add_env_var_help=False, **settings
        )
        self.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    def error(self, message: str) -> typing.NoReturn:
        """Raise an InputError with ``message``."""
        raise InputError(f"{message}; {self.prog} --help lists the options.")

    def parse_args(self, args: Any = None, namespace: Any = None, **settings: Any) -> argparse.Namespace:
        """Parse ``args``; an unknown option is an InputError that names the nearest known one."""
        namespace, unknown = self.parse_known_args(args, namespace, **settings)
        if unknown:
            names = [text for action in self._actions for text in action.option_strings]
            hint = nearest(unknown[0].split("=")[0], names) or f"; {self.prog} --help lists the options."
            raise InputError(f"Unknown option {unknown[0]!r}{hint}")
        return namespace


def add_options(parser: Parser, config_type: type, aliases: Mapping[str, Sequence[str]] | None = None) -> None:
    """Add every setting of a dataclass to a parser; settings that are not given are absent from the namespace."""
    kinds = {"": config_type, **groups_of(config_type)}
    sections: dict[str, Any] = {}
    for option in options_of(config_type):
        if option.group not in sections:
            title = (kinds[option.group].__doc__ or option.group).split("\n")[0].rstrip(".")
            sections[option.group] = parser.add_argument_group(title[:1].lower() + title[1:])
        add_option(sections[option.group], option, *(aliases or {}).get(option.key, ()))


def add_option(parser: Any, option: Option, *aliases: str) -> None:
    """Add one setting to a parser or to a group of it."""
    names = [f"--{name}" for name in (option.key, *aliases)]
    required = option.default is dataclasses.MISSING
    default = "required" if required else f"default: {write_value(option.default) or 'none'}"
    text = f"{option.help} ({default})".replace("%", "%%")
    common: dict[str, Any] = {"dest": option.key, "default": argparse.SUPPRESS, "help": text, "required": required}
    if option.type is bool:
        parser.add_argument(*names, action=argparse.BooleanOptionalAction, **common)
    else:
        metavar = type_name(option) if option.choices else type_name(option).removesuffix(" | None").upper()
        parser.add_argument(*names, type=functools.partial(_typed, option), metavar=metavar, **common)


def _typed(option: Option, text: str) -> Any:
    try:
        return read_value(text, option)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def from_args(config_type: type[ConfigType], args: argparse.Namespace) -> ConfigType:
    """Construct settings from the options that ``add_options`` added."""
    return build(config_type, vars(args))
