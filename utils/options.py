"""Command line and config files, made from the fields of ``utils.config``."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import io
import sys
import tokenize
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from utils.config import ALIASES, ALL_OBJECTS, PAPER_GROUPS, RUN_KEYS, Config, configured_objects, object_config_file
from utils.errors import EXIT_INTERRUPTED, InputError, exit_code_of, nearest
from utils.old_keys import NO_LONGER_NEEDED, flag, translate

OLD_KEYS = NO_LONGER_NEEDED | {"half_res", "white_bkgd", "datadir"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One setting as the command line and the files know it."""

    key: str
    group: str  # field of Config that holds it, empty for Config itself
    name: str  # field's name in its dataclass
    type: Any
    default: Any
    help: str


@functools.cache
def options() -> tuple[Option, ...]:
    """All settings, in the order in which they are declared."""
    return tuple(option for group, config in [("", Config), *groups()] for option in options_of(config, group))


def options_of(config: type, group: str = "") -> list[Option]:
    """The settings that the fields of a dataclass are, but for those that are groups themselves."""
    types, comments = typing.get_type_hints(config), comments_of(config)
    return [
        Option(option_key(group, entry.name), group, entry.name, types[entry.name], entry.default, comments[entry.name])
        for entry in dataclasses.fields(config)
        if not dataclasses.is_dataclass(types[entry.name])
    ]


def option_key(group: str, name: str) -> str:
    """What a field of a group is called on the command line and in files.

    >>> option_key("field", "steps"), option_key("field", "method"), option_key("nerf", "N_rand")
    ('field_steps', 'field', 'N_rand')
    """
    if name == "method":
        return group
    return name if group in ("", *PAPER_GROUPS) else f"{group}_{name}"


def groups() -> list[tuple[str, type]]:
    """The groups of settings: field of ``Config`` and dataclass."""
    types = typing.get_type_hints(Config)
    return [(name, kind) for name, kind in types.items() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]


def comments_of(config: type) -> dict[str, str]:
    """Each field's comment: behind it, or on the lines above it."""
    source = inspect.getsource(config)
    comments, alone = {}, set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            line = node.lineno - 1
            above: list[str] = []
            while line in alone:
                above.insert(0, comments[line])
                line -= 1
            behind = [
                comments[line] for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line in comments
            ]
            found[node.target.id] = " ".join(above + behind)
    return found


def type_name(kind: Any) -> str:
    """A type as the help shows it: the choices of an enumerated string, or the type's name."""
    if typing.get_origin(kind) is typing.Literal:
        return "|".join(str(choice) for choice in typing.get_args(kind))
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")


def read_value(text: str, option: Option) -> Any:
    """The value that ``text`` writes, of the option's type; an InputError names key, expectation and finding."""
    kind, choices = option.type, typing.get_args(option.type)
    if typing.get_origin(kind) is typing.Literal:
        if text in choices:
            return text
        hint = nearest(text, choices)
        raise InputError(f"{option.key} must be one of {', '.join(choices)}, found {text!r}{hint or '.'}")
    if type(None) in choices:
        if text.lower() == "none":
            return None
        kind = next(choice for choice in choices if choice is not type(None))
    try:
        if kind is bool:
            return flag(text, option.key)
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            return tuple(item(part) for part in text.strip("()[]").replace(",", " ").split())
        return kind(text)
    except InputError:
        raise
    except ValueError:
        raise InputError(f"{option.key} must be of type {type_name(option.type)}, found {text!r}.") from None


def read_config_file(path: Path) -> dict[str, str]:
    """Keys and values of a config file, one ``key = value`` a line, ``#`` before comments; a bare key means True."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The config file {path} cannot be read ({error}); check its path.") from None
    settings = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip() if line.lstrip().startswith("#") else line.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not key.strip() or " " in key.strip():
            raise InputError(f"Line {number} of {path} must read 'key = value', found {line!r}.")
        settings[key.strip().lstrip("-")] = value.strip().strip("\"'") if separator else "True"
    return settings


def known_keys() -> dict[str, Option]:
    """Each key and alias with its option."""
    keys = {option.key: option for option in options()}
    for key, aliases in ALIASES.items():
        keys.update(dict.fromkeys(aliases, keys[key]))
    return keys


def file_values(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Values a file sets, by today's keys, and the old keys in it that are no longer needed."""
    keys, values = known_keys(), {}
    settings, unused = translate(read_config_file(path))
    for name, text in settings.items():
        if name not in keys:
            hint = nearest(name, keys.keys() | OLD_KEYS) or "; configs/README.md lists all keys."
            raise InputError(f"Unknown key {name!r} in {path}{hint}")
        try:
            values[keys[name].key] = read_value(text, keys[name])
        except InputError as error:
            raise InputError(f"In {path}: {error}") from None
    return values, unused


class Parser(argparse.ArgumentParser):
    """A parser whose errors are the user's to mend."""

    def error(self, message: str) -> typing.NoReturn:
        raise InputError(f"{message}; {self.prog} --help lists the options.")


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser with every setting as an option; a script adds its own to it."""
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="config file; may be given several times, later ones win",
    )
    sections = {"": parser.add_argument_group("settings")}
    for option in options():
        group = sections.setdefault(
            option.group, parser.add_argument_group(option.group) if option.group else sections[""]
        )
        add_option(group, option, *ALIASES.get(option.key, ()))
    return parser


def add_option(parser: Any, option: Option, *aliases: str) -> None:
    """Give a parser, or a group of one, the option; where it is not used the namespace does not have it."""
    names = [f"--{name}" for name in (option.key, *aliases)]
    text = f"{option.help} (default: {write_value(option.default) or 'none'})".replace("%", "%%")
    if option.type is bool:
        action: Any = argparse.BooleanOptionalAction
        parser.add_argument(*names, action=action, default=argparse.SUPPRESS, help=text)
    else:
        reader = functools.partial(_reader, option)
        metavar = type_name(option.type).upper() if "|" not in type_name(option.type) else type_name(option.type)
        parser.add_argument(*names, dest=option.key, type=reader, default=argparse.SUPPRESS, metavar=metavar, help=text)


def _reader(option: Option, text: str) -> Any:
    try:
        return read_value(text, option)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], saved: bool = False
) -> tuple[Config, argparse.Namespace, list[str]]:
    """Settings from the command line over config files over defaults.

    Args:
        parser: from ``make_parser``, with a script's own options added.
        arguments: the command line without the program's name.
        saved: take what the object was trained with (``ckpts/<object>/config.txt``) as defaults.
    Returns:
        The settings, the script's own options, and sentences of warning.
    """
    namespace, unknown = parser.parse_known_args(arguments)
    if unknown:
        names = [text for action in parser._actions for text in action.option_strings]
        hint = nearest(unknown[0].split("=")[0], names) or f"; {parser.prog} --help lists the options."
        raise InputError(f"Unknown option {unknown[0]!r}{hint}")
    given = {option.key: getattr(namespace, option.key) for option in options() if hasattr(namespace, option.key)}
    values: dict[str, Any] = {}
    warnings = []
    for path in namespace.config:
        more, unused = file_values(Path(path))
        values.update(more)
        if unused:
            warnings.append(f"{path}: no longer needed, ignored: {', '.join(unused)}")
    values.update(given)
    if saved:
        named = {key: value for key, value in values.items() if key in ("ckpt_dir", "object_name")}
        trained = build(named).checkpoint_dir / "config.txt"
        if trained.is_file():
            values = {**file_values(trained)[0], **values}
    return build(values), namespace, warnings


def build(values: dict[str, Any]) -> Config:
    """The settings with the ``values`` of some keys, the others at their defaults."""
    given: dict[str, dict[str, Any]] = {"": {}}
    for option in options():
        if option.key in values:
            given.setdefault(option.group, {})[option.name] = values[option.key]
    nested = {name: kind(**given[name]) for name, kind in groups() if name in given}
    return Config(**given[""], **nested)


def values_of(config: Config) -> dict[str, Any]:
    """Each key with its value."""
    return {
        option.key: getattr(getattr(config, option.group) if option.group else config, option.name)
        for option in options()
    }


def write_value(value: Any) -> str:
    """A value as a config file writes it.

    >>> write_value((64, 128))
    '64, 128'
    """
    return ", ".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def config_text(config: Config) -> str:
    """The effective settings as a file that ``--config`` reads back."""
    lines = [
        f"{key} = {write_value(value)}"
        for key, value in values_of(config).items()
        if key not in RUN_KEYS and value != ""
    ]
    return "\n".join(lines) + "\n"


def run_objects(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    run: Callable[[Config, argparse.Namespace], int],
    saved: bool = False,
) -> int:
    """Call ``run`` for the object that the command line names, or with ``all`` for each one of ``configs/LEGO-3D``.

    Returns:
        ``run``'s exit code; with ``all`` the worst one, after every object has had its turn.
    """
    config, own, warnings = parse(parser, arguments, saved)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if config.object_name != ALL_OBJECTS:
        find_name(config)
        return run(config, own)
    worst = 0
    for name in configured_objects():
        words = ["--config", str(object_config_file(name)), *arguments, "--object_name", name]
        code = exit_code_of(lambda words=words: run(*parse(parser, words, saved)[:2]))  # type: ignore[misc]
        if code == EXIT_INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def find_name(config: Config) -> None:
    """An InputError that lists what there is unless the settings name an object."""
    if not config.object_name:
        folder = Path(config.data_dir)
        there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        found = f"{folder} holds {', '.join(there[:20])}" if there else f"there are none in {folder} (see --data_dir)"
        raise InputError(f"Name an object with --obj; {found}.")
