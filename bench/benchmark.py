"""The benchmark from the command line to the tables."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout

from baselines.registry import METHODS, find_method
from bench.ablation import ablation_runs, ablation_table
from bench.config import BenchmarkConfig
from bench.engines import in_process, on_ray
from bench.execute import method_of
from bench.frame import results_frame
from bench.gallery import write_gallery
from bench.imported_maps import import_maps, read_sources
from bench.measure.results_page import made_text, refuse_dirty_tree, write_section
from bench.omniposead import OmniposeAD
from bench.page import all_tables, write_tables
from bench.plan import plan_runs, plan_text
from bench.runs import LOCK, Run, RunResult, lock_of
from bench.typeset import Table, as_markdown
from utils.config import options_of, read_value
from utils.device import environment
from utils.errors import InputError, nearest
from utils.progress import Progress

ALL = "all"
REPORT, ABLATION = "index.html", "ablation"


def run_benchmark(config: BenchmarkConfig, args: argparse.Namespace) -> int:
    """Do the runs that the command line names, then write the tables; return the exit code."""
    folder = Path(config.output_dir)
    runs = list_runs(config, args)
    if args.dry_run:
        print(plan_text(plan_runs(runs)))
        return 0
    if args.page:
        refuse_dirty_tree(args)
    warn_of_missing_weights(runs)
    if args.overwrite:
        delete_runs(runs)
    results = [*do_runs(runs, args, Progress(config.quiet)), *imported_results(config, args)]
    failed = [result for result in results if result.failure]
    for result in failed:
        print(f"failed: {result.run.name}: {result.failure}", file=sys.stderr)
    if args.figure is not None:
        write_gallery(results, folder, args.figure)
    frame = results_frame(results)
    if args.ablation:
        folder, tables = folder / ABLATION, [ablation_table(frame)]
    else:
        tables = all_tables(frame)
    write_tables(frame, tables, folder)
    if args.page:
        write_section(args.page, ABLATION if args.ablation else "benchmark", benchmark_section(tables, args.ablation))
    print(f"runs={len(results)} failed={len(failed)} report={folder / REPORT}")
    return 1 if failed else 0


def benchmark_section(tables: Sequence[Table], ablation: bool) -> str:
    """Return the tables as a section of the results' page."""
    head = "Ablation" if ablation else "Benchmark of all methods"
    command = f"`python benchmark.py{' --ablation' if ablation else ''}`"
    return "\n\n".join([f"## {head}", f"{command}, {made_text(environment())}.", *map(as_markdown, tables)])


def list_runs(config: BenchmarkConfig, args: argparse.Namespace) -> list[Run]:
    """Return all runs, object by object; every name and setting is checked before any work."""
    if args.seeds < 1:
        raise InputError(f"--seeds must be at least 1, found {args.seeds}.")
    methods = list(METHODS) if args.methods == [ALL] else [] if args.methods == ["none"] else args.methods
    methods = [OmniposeAD.name] if args.ablation else methods
    names = {find_method(method).name: method for method in methods}
    if len(names) < len(methods):
        raise InputError(f"--methods must differ in their names, found {', '.join(methods)}; name each once.")
    overrides = read_overrides(args.overrides, names)
    objects = object_names(args.objects, config.data_dir)
    if args.ablation:
        return ablation_runs(config, objects, args.seeds, overrides.get(OmniposeAD.name, ()))
    return [
        Run(name, place if ":" in place else method, seed, config, overrides.get(method, ()), method)
        for name in objects
        for method, place in names.items()
        for seed in range(args.seeds)
    ]


def object_names(wanted: Sequence[str], data_dir: str) -> list[str]:
    """Return the objects' folder names; an InputError lists what there is."""
    folder = Path(data_dir)
    there = sorted(path.parent.name for path in folder.glob("*/transforms.json"))
    if not there:
        raise InputError(f"There are no objects in {folder}: no folder of it has a transforms.json; see --data_dir.")
    if list(wanted) == [ALL]:
        return there
    for name in wanted:
        if name not in there:
            raise InputError(
                f"There is no object {name!r} in {folder}{nearest(name, there) or '.'} It has {', '.join(there)}."
            )
    return list(dict.fromkeys(wanted))


def read_overrides(entries: Sequence[str], names: dict[str, str]) -> dict[str, tuple[tuple[str, Any], ...]]:
    """Read ``METHOD.KEY=VALUE`` entries by method, each value as its setting's type."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        place, separator, text = entry.partition("=")
        name, dot, key = place.rpartition(".")
        method = next((known for known in names if known.lower() == name.lower()), None)
        if not separator or not dot or method is None:
            raise InputError(f"--set must read METHOD.KEY=VALUE with one of {', '.join(names)}, found {entry!r}.")
        known = {option.key: option for option in options_of(find_method(names[method]).config_type)}
        if key not in known:
            raise InputError(f"{method} has no setting {key!r}{nearest(key, known) or '.'} It has {', '.join(known)}.")
        found.setdefault(method, {})[key] = read_value(text, known[key])
    return {method: tuple(values.items()) for method, values in found.items()}


def warn_of_missing_weights(runs: Sequence[Run]) -> None:
    """Print a line for each method whose pretrained weights are missing: its runs will fail."""
    for run in {run.display_name: run for run in runs}.values():
        try:
            method_of(run).fingerprints()
        except InputError as error:
            print(f"warning: {run.display_name} cannot run: {error}", file=sys.stderr)


def delete_runs(runs: Sequence[Run]) -> None:
    """Delete the runs' results and models; an InputError where another process is doing one of them."""
    for run in runs:
        try:
            with lock_of(run):
                for path in [path for path in run.folder.iterdir() if path.name != LOCK]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        except Timeout:
            raise InputError(f"{run.name} cannot be redone now: another process is doing it.") from None


def do_runs(runs: Sequence[Run], args: argparse.Namespace, progress: Progress) -> list[RunResult]:
    """Return the results of all runs, in their order."""
    if not runs:
        return []
    if args.ablation and args.engine == "ray":
        raise InputError(
            "--ablation shares fields between its runs, which --engine ray would start at once; leave it out."
        )
    engine = on_ray(runs, args.ray_address, args.cpus) if args.engine == "ray" else in_process(runs)
    found = {}
    with progress.bar("runs", len(runs)) as bar:
        for result in engine:
            found[result.run] = result
            bar.set_postfix_str(result.run.name)
            bar.update()
    return [found[run] for run in runs]


def imported_results(config: BenchmarkConfig, args: argparse.Namespace) -> list[RunResult]:
    """Return the results of maps that other programs wrote."""
    sources = read_sources(args.import_maps)
    names = object_names(args.objects, config.data_dir) if sources else []
    return [import_maps(Run(name, method, 0, config), folder) for method, folder in sources.items() for name in names]
