"""Engines do the cells of a benchmark: in this process, or as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from baselines.registry import find_method
from bench.cells import RESULTS, Cell, Outcome, read_outcome, write_failure
from bench.run_cell import run_cell
from utils.checkpoint import write_atomically
from utils.errors import InputError

POLL_SECONDS = 2.0  # between two looks at cells that other processes are doing
RETRIES = 3  # of a task whose process or machine is lost
STORE_BYTES = 256 * 1024 * 1024  # of Ray's object store on this machine
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def in_process(cells: Sequence[Cell]) -> Iterator[Outcome]:
    """Do the cells one after the other; those that other processes are doing are waited for at the end."""
    left = list(cells)
    while left:
        busy = []
        for cell in left:
            outcome = run_cell(cell)
            if is_busy(outcome):
                busy.append(cell)
            else:
                yield outcome
        if len(busy) == len(left):
            time.sleep(POLL_SECONDS)
        left = busy


def is_busy(outcome: Outcome) -> bool:
    """Whether another process is doing the cell."""
    return outcome.report is None and not outcome.failure


def on_ray(cells: Sequence[Cell], address: str = "", cpus: int = 1) -> Iterator[Outcome]:
    """Do the cells as Ray tasks, in whatever order they end.

    The program and the objects lie at the same paths on all machines. A machine that sees ``output_dir`` works in it;
    another one sends its files back. A task whose process is lost is started again, and goes on in a shared folder.

    Args:
        address: of a running cluster; empty: Ray on this machine alone, which listens on the loopback only.
        cpus: cores of a task, which are its threads too.
    Raises:
        InputError: where Ray is not installed, there is no cluster at ``address``, or no machine has so many cores.
    """
    with ray_cluster(address, cpus) as ray, shared_mark(cells) as mark:
        by_path = {absolute(cell): cell for cell in cells}
        gpus = ray.cluster_resources().get("GPU", 0) > 0
        task = ray.remote(max_retries=RETRIES, num_cpus=cpus)(do_cell)

        def submit(cell: Cell) -> Any:
            return task.options(num_gpus=gpus_of(cell) if gpus else 0).remote(cell, mark, cpus)

        tasks = {submit(cell): cell for cell in by_path}
        while tasks:
            ended, _ = ray.wait(list(tasks), num_returns=1)
            cell = tasks.pop(ended[0])
            outcome = taken_over(ray, ended[0], by_path[cell])
            if is_busy(outcome):
                time.sleep(POLL_SECONDS)
                tasks[submit(cell)] = cell
            else:
                yield outcome


@contextmanager
def ray_cluster(address: str, cpus: int) -> Iterator[Any]:
    """Ray, connected; what was started for it ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address or address.rpartition(":")[0] in LOOPBACK:
        loopback_only()
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError(
            '--engine ray needs the package ray, which is not installed; run: pip install -e ".[benchmark]"'
        ) from None
    words: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        words.update(include_dashboard=False, object_store_memory=STORE_BYTES)
    try:
        ray.init(**words)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(
            f"Ray cannot be reached at {address or 'this machine'} ({reason}); see --ray_address."
        ) from None
    try:
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if cpus < 1 or most < cpus:
            raise InputError(f"--cpus must be from 1 to {most:.0f}, what a machine of the cluster has, found {cpus}.")
        yield ray
    finally:
        ray.shutdown()


def loopback_only() -> None:
    """Make Ray listen on the loopback; to be called before Ray is imported, as Ray reads it then."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


@contextmanager
def shared_mark(cells: Sequence[Cell]) -> Iterator[str]:
    """A file in the output folder, by which a machine tells whether it sees that folder."""
    folder = Path(cells[0].protocol.output_dir).absolute() if cells else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f".{uuid.uuid4().hex}.shared"
    mark.touch()
    try:
        yield str(mark)
    finally:
        mark.unlink(missing_ok=True)


def absolute(cell: Cell) -> Cell:
    """The cell with paths that hold in any folder, and without bars."""
    protocol = cell.protocol
    folders: dict[str, Any] = {
        name: str(Path(getattr(protocol, name)).absolute()) for name in ("data_dir", "output_dir")
    }
    if protocol.weights_dir:
        folders["weights_dir"] = str(Path(protocol.weights_dir).expanduser().absolute())
    where, colon, name = cell.method.rpartition(":")
    method = f"{Path(where).absolute()}:{name}" if colon and where.endswith(".py") else cell.method
    return replace(cell, method=method, protocol=replace(protocol, **folders, quiet=True))


def gpus_of(cell: Cell) -> float:
    """The share of a GPU that a cell takes."""
    return 0.0 if cell.protocol.device == "cpu" else find_method(cell.method)[1].GPUS


def do_cell(cell: Cell, mark: str, cpus: int) -> tuple[str, dict[str, bytes] | None] | None:
    """A task: do a cell on a machine of the cluster.

    Returns:
        The cell's failure, and its files where the machine does not see the output folder, else None; None for both
        where another process is doing the cell.
    """
    torch.set_num_threads(cpus)
    if Path(mark).is_file():
        outcome = run_cell(cell)
        return None if is_busy(outcome) else (outcome.failure, None)
    with tempfile.TemporaryDirectory() as folder:
        cell = replace(cell, protocol=replace(cell.protocol, output_dir=folder))
        return run_cell(cell).failure, read_files(cell)


def read_files(cell: Cell) -> dict[str, bytes]:
    """What a cell leaves to be looked at, by path in its folder: results, or the failure, and maps."""
    paths = [*cell.folder.glob("*.json"), *cell.folder.glob("anomaly_maps/**/*.tiff")]
    return {path.relative_to(cell.folder).as_posix(): path.read_bytes() for path in paths}


def write_files(cell: Cell, files: dict[str, bytes]) -> None:
    """Put files that a task sent back into the cell's folder, its results last.

    Raises:
        InputError: where a path leaves the folder.
    """
    root = cell.folder.resolve()
    for name in files:
        if not (root / name).resolve().is_relative_to(root):
            raise InputError(f"A task of {cell.name} sent the file {name!r}, which lies outside of the cell's folder.")
    for name in sorted(files, key=lambda name: name == RESULTS):
        write_atomically(root / name, lambda temporary, name=name: temporary.write_bytes(files[name]))  # type: ignore[misc]


def taken_over(ray: Any, ended: Any, cell: Cell) -> Outcome:
    """What a task that has ended leaves of its cell."""
    try:
        answer = ray.get(ended)
        if answer is None:
            return Outcome(cell)
        failure, files = answer
    except ray.exceptions.RayError as error:
        failure, files = f"The task was lost {RETRIES + 1} times ({str(error).splitlines()[0]}).", None
        write_failure(cell, failure)
    if files is not None:
        write_files(cell, files)
    if failure:
        return Outcome(cell, failure=failure)
    return read_outcome(cell)
