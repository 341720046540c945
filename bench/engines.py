"""Engines do the runs of a benchmark: in this process, or as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from baselines.registry import find_method
from bench.execute import execute
from bench.runs import Run, RunResult, read_result, record_failure
from utils.errors import InputError

POLL_SECONDS = 2.0  # between two looks at runs that other processes are doing
RETRIES = 3  # of a task whose process or machine is lost
STORE_BYTES = 256 * 1024 * 1024  # of Ray's object store on this machine
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def in_process(runs: Sequence[Run]) -> Iterator[RunResult]:
    """Do the runs one after the other; those that other processes are doing are waited for at the end."""
    left = list(runs)
    while left:
        busy = []
        for run in left:
            result = execute(run)
            if result.pending:
                busy.append(run)
            else:
                yield result
        if len(busy) == len(left):
            time.sleep(POLL_SECONDS)
        left = busy


def on_ray(runs: Sequence[Run], address: str = "", cpus: int = 1) -> Iterator[RunResult]:
    """Do the runs as Ray tasks, in the order in which they end.

    The program, the objects and ``output_dir`` must be at the same paths on all machines, as in a shared folder. A
    task whose process is lost is started again and resumes.

    Args:
        address: of a running cluster; empty starts Ray on this machine, listening on the loopback only.
        cpus: cores and threads of a task.
    Raises:
        InputError: where Ray is not installed, there is no cluster at ``address``, or no machine has so many cores.
    """
    with ray_cluster(address, cpus) as ray:
        gpus = ray.cluster_resources().get("GPU", 0) > 0
        task = ray.remote(max_retries=RETRIES, num_cpus=cpus)(execute_task)

        def submit(run: Run) -> Any:
            return task.options(num_gpus=gpus_of(run) if gpus else 0).remote(absolute(run), cpus)

        tasks = {submit(run): run for run in runs}
        while tasks:
            ended, _ = ray.wait(list(tasks), num_returns=1)
            run = tasks.pop(ended[0])
            result = task_result(ray, ended[0], run)
            if result.pending:
                time.sleep(POLL_SECONDS)
                tasks[submit(run)] = run
            else:
                yield result


@contextmanager
def ray_cluster(address: str, cpus: int) -> Iterator[Any]:
    """Connect to Ray; what was started for it ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address or address.rpartition(":")[0] in LOOPBACK:
        listen_on_loopback()
    try:
        import ray  # noqa: PLC0415  an optional extra, which reads the environment when it is imported
    except ModuleNotFoundError:
        raise InputError(
            '--engine ray needs the package ray, which is not installed; run: pip install -e ".[benchmark]"'
        ) from None
    settings: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        settings.update(include_dashboard=False, object_store_memory=STORE_BYTES)
    try:
        ray.init(**settings)
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


def listen_on_loopback() -> None:
    """Make Ray listen on the loopback only; call it before Ray is imported, which reads it then."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def absolute(run: Run) -> Run:
    """Return the run with absolute paths and without progress bars."""
    config = run.config
    folders: dict[str, Any] = {name: str(Path(getattr(config, name)).absolute()) for name in ("data_dir", "output_dir")}
    if config.weights_dir:
        folders["weights_dir"] = str(Path(config.weights_dir).expanduser().absolute())
    where, colon, name = run.method.rpartition(":")
    method = f"{Path(where).absolute()}:{name}" if colon and where.endswith(".py") else run.method
    return replace(run, method=method, config=replace(config, **folders, quiet=True))


def gpus_of(run: Run) -> float:
    """Return the share of a GPU that a run takes."""
    return 0.0 if run.config.device == "cpu" else find_method(run.method).gpu_share


def execute_task(run: Run, cpus: int) -> str | None:
    """Do a run on a machine of the cluster.

    Returns:
        The failure, empty where the run is done; None where another process is doing it.
    """
    torch.set_num_threads(cpus)
    result = execute(run)
    return None if result.pending else result.failure


def task_result(ray: Any, ended: Any, run: Run) -> RunResult:
    """Return the result of a run whose task has ended, read from the shared folder."""
    try:
        failure = ray.get(ended)
    except ray.exceptions.RayError as error:
        return record_failure(run, f"The task was lost {RETRIES + 1} times ({str(error).splitlines()[0]}).")
    if failure is None:
        return RunResult(run)
    if failure:
        return RunResult(run, failure=failure)
    result = read_result(run)
    if result.report is None:
        return record_failure(run, f"A machine of the cluster does not share {run.config.output_dir} with this one.")
    return result
