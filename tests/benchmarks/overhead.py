"""What runs cost beside their work: ``explore`` of Fashion-MNIST by the runner, and its steps called one by one.

Both sides read the same collection with the same two workers, which have run everything once before. The functions give
their results in memory. The runner shares passes between steps, takes checkpoints, writes events, results, tables and
Dask's performance report, and makes the report; the last three are listed apart.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmnist_dask.collection.store import split_code
from fmnist_dask.passes.local import drive
from fmnist_dask.workflow import carry, runner
from fmnist_dask.workflow.load import find_workflow, load_workflow
from fmnist_dask.workflow.order import algorithm_of
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.runner import Runner
from tests.benchmarks.common import fashion_name, fashion_store
from tests.benchmarks.rows import Row, Timed, beside_base
from tests.benchmarks.settings import Options, Settings, alone


@dataclass(frozen=True)
class OverheadBenchmark(Options):
    """Rounds that do not count, before the others."""

    repeats: int = 5
    first: int = 1


BY_SIZE = {"tiny": OverheadBenchmark(1, 0), "usual": OverheadBenchmark()}


def chapter(settings: Settings, options: OverheadBenchmark) -> Iterator[Row]:
    """Both sides in turn, several times, after what does not count."""
    with settings.workers() as (connection, engine):
        collection = fashion_store(engine, settings)
        workflow = load_workflow(find_workflow("explore"), source=collection.path)
        spent: dict[str, list[float]] = {"functions": [], "runner": []}

        def functions() -> None:
            for spec in workflow.steps.values():
                code = split_code(collection, spec.split)
                step = StepInput(collection, spec.split, code, workflow.seed, spec.on)
                drive(algorithm_of(spec, step), collection, engine)

        def run() -> None:
            out = settings.directory / "overhead-run"
            shutil.rmtree(out, ignore_errors=True)
            shutil.rmtree(Path(collection.path) / "states", ignore_errors=True)
            Runner(workflow, cluster=connection.client.scheduler.address, out=out).execute()

        of_runs: dict[str, list[float]] = {}
        parts: dict[str, list[float]] = {"results and tables": [], "report": [], "performance report": []}
        with (
            timed_calls(carry, "publish", parts["results and tables"]),
            timed_calls(runner, "write_report", parts["report"]),
            timed_exit(runner, "performance_kept", parts["performance report"]),
        ):
            for _ in range(options.repeats + options.first):
                for name, work in (("functions", functions), ("runner", run)):
                    begun = time.perf_counter()
                    work()
                    spent[name].append(time.perf_counter() - begun)
                for name, seconds in parts.items():
                    of_runs.setdefault(name, []).append(sum(seconds))
                    seconds.clear()
    theirs, ours = (Timed.of(spent[name][options.first :]) for name in ("functions", "runner"))
    extra = {name: Timed.of(values[options.first :]) for name, values in of_runs.items()}
    bare = ours.value - sum(one.value for one in extra.values())
    what, base, n = f"explore of {fashion_name(settings)} by the runner", "its steps called one by one", collection.n
    told = "collection there, workers warm; no shared passes, nothing written by the steps alone"
    yield beside_base(f"{what}, everything", ours, base, theirs, n, remark=told)
    for name, seconds in extra.items():
        yield beside_base(f"of it {name}", seconds, "the run", ours, n)
    yield beside_base(f"{what}, without these three", bare, base, theirs, n)


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
    alone(__doc__, chapter, BY_SIZE, "overhead")
