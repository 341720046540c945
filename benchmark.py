"""The benchmark: every method on every object with every seed, each a cell on disk; then the tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.errors import InputError, exit_code_of, nearest

if TYPE_CHECKING:
    from bench.cells import Cell, Outcome, Protocol

ALL = "all"
REPORT = "index.html"


def main(arguments: list[str]) -> int:
    """Run the cells that the command line names, and write the tables; returns the exit code."""
    own = make_parser().parse_args(arguments)
    from bench.cells import Protocol
    from utils.progress import Progress

    protocol = Protocol(**{field.name: getattr(own, field.name) for field in fields(Protocol)})
    folder = Path(protocol.output_dir)
    if own.correlate == "published":
        return show_files(correlations("published", folder, []))
    cells = planned_cells(own, protocol)
    progress = Progress(protocol.quiet)
    if own.dry_run:
        from bench.plan import plan, show_plan

        print(show_plan(plan(cells)))
        return 0
    warn_of_weights(cells)
    if own.overwrite:
        forget(cells)
    outcomes = [*run(cells, own, progress), *imported(own, protocol)]
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        print(f"failed: {outcome.cell.name}: {outcome.failure}", file=sys.stderr)
    write_all(outcomes, folder, own)
    print(f"cells={len(outcomes)} failed={len(failed)} report={folder / REPORT}")
    return 1 if failed else 0


def make_parser() -> argparse.ArgumentParser:
    """The command line; the protocol's fields are options with their comments as help."""
    from bench.cells import Protocol
    from utils.options import Parser, comments_of

    parser = Parser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    add = parser.add_argument
    add("--objects", nargs="+", default=[ALL], metavar="NAME", help="folders of data_dir (default: all)")
    add(
        "--methods",
        nargs="+",
        default=[ALL],
        metavar="NAME",
        help="registered methods, or file.py:Class (default: all)",
    )
    add("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1 (default: 1)")
    add("--set", nargs="+", default=[], metavar="METHOD.KEY=VALUE", dest="changes", help="settings of methods")
    add("--import_maps", nargs="+", default=[], metavar="NAME=DIR", help="score maps that another program wrote")
    add("--overwrite", action="store_true", help="do cells again that are done already")
    add("--dry_run", action="store_true", help="say what would run, and how long it takes by earlier timings")
    add("--engine", choices=("in_process", "ray"), default="in_process", help="what runs the cells")
    add("--ray_address", default="", help="address of a Ray cluster (default: Ray on this machine)")
    add("--cpus", type=int, default=1, help="cores of a cell under Ray (default: 1)")
    add("--correlate", choices=("published", "results"), help="attributes of objects against performance")
    add("--figure", nargs="*", metavar="QUERY", help="heat maps side by side, of queries like 01Gorilla/Burrs/3")
    comments = comments_of(Protocol)
    for field in fields(Protocol):
        name, text = f"--{field.name}", f"{comments[field.name]} (default: {field.default or 'none'})"
        if isinstance(field.default, bool):
            add(name, action="store_true", help=comments[field.name])
        else:
            choices = {"background": ("white", "black"), "device": ("auto", "cpu", "cuda")}.get(field.name)
            add(name, type=type(field.default), default=field.default, choices=choices, help=text)
    return parser


def planned_cells(own: argparse.Namespace, protocol: Protocol) -> list[Cell]:
    """All cells, object by object; every name and setting is checked before any work."""
    from baselines.registry import METHODS, find_method
    from bench.cells import Cell

    if own.seeds < 1:
        raise InputError(f"--seeds must be at least 1, found {own.seeds}.")
    methods = list(METHODS) if own.methods == [ALL] else [] if own.methods == ["none"] else own.methods
    names = {find_method(method)[0]: method for method in methods}
    if len(names) < len(methods):
        raise InputError(f"--methods must differ in their names, found {', '.join(methods)}; name each once.")
    changes = read_changes(own.changes, names)
    return [
        Cell(name, place if ":" in place else shown, seed, protocol, changes.get(shown, ()))
        for name in object_names(own.objects, protocol.data_dir)
        for shown, place in names.items()
        for seed in range(own.seeds)
    ]


def object_names(wanted: Sequence[str], data_dir: str) -> list[str]:
    """The objects' folders; an InputError says which there are."""
    folder = Path(data_dir)
    there = sorted(path.parent.name for path in folder.glob("*/transforms.json"))
    if not there:
        raise InputError(f"There are no objects in {folder}: no folder of it has a transforms.json; see --data_dir.")
    for name in wanted:
        if name not in there and list(wanted) != [ALL]:
            raise InputError(
                f"There is no object {name!r} in {folder}{nearest(name, there) or '.'} It has {', '.join(there)}."
            )
    return there if list(wanted) == [ALL] else list(dict.fromkeys(wanted))


def read_changes(words: Sequence[str], names: dict[str, str]) -> dict[str, tuple[tuple[str, Any], ...]]:
    """``METHOD.KEY=VALUE`` words by method, each value of its setting's type."""
    from baselines.registry import find_method
    from utils.options import Option, read_value

    found: dict[str, dict[str, Any]] = {}
    for word in words:
        place, separator, text = word.partition("=")
        method, dot, key = place.rpartition(".")
        shown = next((name for name in names if name.lower() == method.lower()), None)
        if not separator or not dot or shown is None:
            raise InputError(f"--set must read METHOD.KEY=VALUE with one of {', '.join(names)}, found {word!r}.")
        kind = find_method(names[shown])[1].Config
        known = {field.name: field for field in fields(kind)}
        if key not in known:
            raise InputError(f"{shown} has no setting {key!r}{nearest(key, known) or '.'} It has {', '.join(known)}.")
        import typing

        kind_of = typing.get_type_hints(kind)[key]
        option = Option(f"{shown}.{key}", "", key, kind_of, known[key].default, "")
        found.setdefault(shown, {})[key] = read_value(text, option)
    return {shown: tuple(values.items()) for shown, values in found.items()}


def warn_of_weights(cells: Sequence[Cell]) -> None:
    """One line for each method whose pretrained weights are missing: its cells will fail, and say so in the table."""
    from bench.run_cell import method_of

    for cell in {cell.shown_method: cell for cell in cells}.values():
        try:
            method_of(cell).fingerprints()
        except InputError as error:
            print(f"warning: {cell.shown_method} cannot run: {error}", file=sys.stderr)


def forget(cells: Sequence[Cell]) -> None:
    """Delete what is known of the cells, models too; an InputError where another process is doing one of them."""
    import shutil

    from bench.lock import LOCK, Occupied, locked

    for cell in cells:
        try:
            with locked(cell.folder):
                for path in [path for path in cell.folder.iterdir() if path.name != LOCK]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        except Occupied as error:
            raise InputError(f"{cell.name} cannot be done again now: {error}.") from None


def run(cells: Sequence[Cell], own: argparse.Namespace, progress: Any) -> list[Outcome]:
    """The outcomes of all cells, in their order."""
    from bench.engines import in_process, on_ray

    if not cells:
        return []
    results = on_ray(cells, own.ray_address, own.cpus) if own.engine == "ray" else in_process(cells)
    found = {}
    with progress.bar("cells", len(cells)) as bar:
        for outcome in results:
            found[outcome.cell] = outcome
            bar.set_postfix_str(outcome.cell.name)
            bar.update()
    return [found[cell] for cell in cells]


def imported(own: argparse.Namespace, protocol: Protocol) -> list[Outcome]:
    """The outcomes of maps that other programs wrote."""
    from bench.cells import Cell
    from bench.imported_maps import import_maps, read_sources

    sources = read_sources(own.import_maps)
    names = object_names(own.objects, protocol.data_dir) if sources else []
    return [
        import_maps(Cell(name, method, 0, protocol), folder) for method, folder in sources.items() for name in names
    ]


def write_all(outcomes: list[Outcome], folder: Path, own: argparse.Namespace) -> None:
    """Correlations and the figure where they are asked for, then the tables and the page that shows all."""
    from bench.page import write_tables

    if own.correlate:
        correlations(own.correlate, folder, outcomes)
    if own.figure is not None:
        from bench.gallery import write_gallery

        write_gallery(outcomes, folder, own.figure)
    write_tables(outcomes, folder)


def correlations(source: str, folder: Path, outcomes: list[Outcome]) -> list[Path]:
    """Correlations of attributes and performance, as files in the benchmark's folder."""
    from bench.correlate import correlate

    return correlate(source, folder, outcomes)


def show_files(paths: Sequence[Path]) -> int:
    """Name the files that were written."""
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
