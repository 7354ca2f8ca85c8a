"""What runs cost beside their work: ``explore`` of Fashion-MNIST by the runner, and its steps called one by one.

Both sides read the same collection with the same two workers, which have run everything once before. The functions give
their results in memory. The runner shares passes between steps, takes checkpoints, writes events, results, tables and
Dask's performance report, and makes the report; the last three are listed apart.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.collection.store import split_code
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.workflow import carry, runner
from fmnist_dask.workflow.load import find_workflow, load_workflow
from fmnist_dask.workflow.order import algorithm_of
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.runner import Runner
from tests.benchmarks.common import fashion_store, show


def main() -> None:
    """Both sides in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    cluster = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(cluster) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        collection = fashion_store(engine, given.directory, given.data)
        workflow = load_workflow(find_workflow("explore"), source=collection.path)
        spent: dict[str, list[float]] = {"functions": [], "runner": []}

        def functions() -> None:
            for spec in workflow.steps.values():
                code = split_code(collection, spec.split)
                step = StepInput(collection, spec.split, code, workflow.seed, spec.on)
                drive(algorithm_of(spec, step), collection, engine)

        def run() -> None:
            out = given.directory / "overhead-run"
            shutil.rmtree(out, ignore_errors=True)
            states = Path(collection.path) / "states"
            shutil.rmtree(states, ignore_errors=True)
            Runner(workflow, cluster=connection.client.scheduler.address, out=out).execute()

        of_runs: dict[str, list[float]] = {}
        parts: dict[str, list[float]] = {"results and tables": [], "report": [], "performance report": []}
        with (
            timed_calls(carry, "publish", parts["results and tables"]),
            timed_calls(runner, "write_report", parts["report"]),
            timed_exit(runner, "performance_kept", parts["performance report"]),
        ):
            for _ in range(given.repeats + 1):
                for name, work in (("functions", functions), ("runner", run)):
                    begun = time.perf_counter()
                    work()
                    spent[name].append(time.perf_counter() - begun)
                for name, seconds in parts.items():
                    of_runs.setdefault(name, []).append(sum(seconds))
                    seconds.clear()
    theirs, ours = (statistics.median(spent[name][1:]) for name in ("functions", "runner"))
    extra = {name: statistics.median(values[1:]) for name, values in of_runs.items()}
    bare = ours - sum(extra.values())
    show(
        "explore of Fashion-MNIST, collection there, workers warm",
        [
            ("steps called one by one", theirs, "no shared passes, nothing written"),
            ("runner, everything", ours, f"{ours / theirs:.2f} × as long"),
            *((f"  of it {name}", seconds, f"{100 * seconds / ours:.1f} %") for name, seconds in extra.items()),
            ("runner without these three", bare, f"{bare / theirs:.2f} × as long"),
        ],
    )


@contextmanager
def timed_calls(module: Any, name: str, seconds: list[float]) -> Any:
    """Note how long each call of a function takes."""
    function: Callable[..., Any] = getattr(module, name)

    def timed(*arguments: Any, **more: Any) -> Any:
        begun = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            seconds.append(time.perf_counter() - begun)

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, function)


@contextmanager
def timed_exit(module: Any, name: str, seconds: list[float]) -> Any:
    """Note how long it takes to leave a context."""
    manager = getattr(module, name)

    @contextmanager
    def timed(*arguments: Any) -> Any:
        with manager(*arguments):
            yield
            begun = time.perf_counter()
        seconds.append(time.perf_counter() - begun)

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, manager)


if __name__ == "__main__":
    main()
