"""What Dask's scheduler takes for each task of a pass: as many chunks as wanted, each a task that does nothing.

The product's own engine runs a pass over a source of empty chunks, whose reduction counts rows. Chunks are said to be
so large that the plan makes a task of each; it would put many real ones together. Once with workers in threads of this
process, once with worker processes, once with the scheduler in a process of its own; all of them have as many threads.
Progress is subscribed to in every second pass. From this follows what a pass over 10⁹ images of 784 bytes would take.

CPU time is that of the thread which runs the scheduler's event loop. Unless the scheduler is a process of its own, the
client (and, in the first case, workers) talk in the same thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fmnist_dask.cluster.processes import ProcessCluster
from fmnist_dask.collection.layout import rows_per_chunk
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.fused import fuse
from fmnist_dask.passes.protocol import PassProgress, Scan
from fmnist_dask.passes.sizing import OVERHEAD_FACTOR, TASK_OVERHEAD, THREAD_RATE, Workers, plan_pass
from tests.benchmarks.on_workers import CountRows, EmptyChunks, forget_highest, thread_seconds
from tests.benchmarks.rows import Row, Timed, beside_base
from tests.benchmarks.settings import Options, Settings, alone, parts

SCAN = {"nothing": Scan({"rows": CountRows()})}
#: The collection whose time is foretold, and the cluster for which its tasks are planned.
FORETOLD_IMAGES, FORETOLD_SHAPE, FORETOLD_WORKERS = 10**9, (28, 28), 200


@dataclass(frozen=True)
class SchedulerBenchmark(Options):
    """How many of everything.

    Attributes
    ----------
    chunks, watched
        Chunks of a pass, and those of one whose progress is watched, at most: each sign of it sums over all tasks, so
        that its cost grows with the square of their number.
    threads
        Of all workers.
    workers, processes
        Workers where they are threads of this process, and where they are processes.
    """

    repeats: int = 1
    parts: tuple[str, ...] = parts("threads", "processes", "apart")
    chunks: int = 10_000
    watched: int = 10_000
    threads: int = 64
    workers: int = 8
    processes: int = 2


BY_SIZE = {
    "tiny": SchedulerBenchmark(1, chunks=100, threads=4, workers=2),
    "usual": SchedulerBenchmark(),
    "large": SchedulerBenchmark(chunks=100_000),
}


@dataclass(frozen=True)
class Passed:
    """What one pass took: seconds in all and of the scheduler's thread, its memory, and tasks by kind."""

    seconds: float
    cpu: float
    before: float
    highest: float
    tasks: int
    merging: int


def chapter(settings: Settings, options: SchedulerBenchmark) -> Iterator[Row]:
    """Each kind of cluster, without progress and with it; then what follows for large collections."""
    slowest, few = 0.0, min(options.chunks, options.watched)
    for part in options.parts:
        found: dict[str, list[Passed]] = {"plain": [], "few": [], "watched": []}
        with engine_on(settings, options, part) as engine:
            passed(engine, min(100, options.chunks), True)  # imports
            for _ in range(options.repeats):
                found["plain"].append(passed(engine, options.chunks, False))
                found["few"].append(passed(engine, few, False) if few < options.chunks else found["plain"][-1])
                found["watched"].append(passed(engine, few, True))
        overhead = yield from rows_of(part, options, found)
        slowest = max(slowest, overhead)
    if slowest:
        yield foretold(slowest)


@contextlib.contextmanager
def engine_on(settings: Settings, options: SchedulerBenchmark, part: str) -> Iterator[DistributedEngine]:
    """An engine on a cluster of one kind, with as many threads in all; at least one a worker."""
    from distributed import Client, LocalCluster

    count = options.workers if part == "threads" else options.processes
    threads = max(1, options.threads // count)
    if part == "apart":
        cluster: Any = ProcessCluster(count, threads, memory_limit=0, dashboard_address="127.0.0.1:0")
    else:
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=threads,
            processes=part == "processes",
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
        )
    with contextlib.closing(cluster), Client(cluster.scheduler_address if part == "apart" else cluster) as client:
        client.wait_for_workers(count, timeout=120)
        workers = Workers(count, threads, None, 1.0, 0)
        yield DistributedEngine(client, workers, settings.directory / "columns")


def chunks_of(count: int, workers: Workers) -> EmptyChunks:
    """Empty chunks of which each is said to be work enough for a task."""
    return EmptyChunks(count, int(1 + OVERHEAD_FACTOR * TASK_OVERHEAD * workers.total_threads * THREAD_RATE))


def passed(engine: DistributedEngine, count: int, watched: bool) -> Passed:
    """One pass over so many chunks."""
    source, told = chunks_of(count, engine.workers), list[PassProgress]()
    engine.client.run_on_scheduler(forget_highest)
    before = engine.client.run_on_scheduler(thread_seconds)
    tasks = engine.statistics.tasks
    begun = time.perf_counter()
    outcome = engine.run_pass(source, SCAN, told.append if watched else None)
    seconds = time.perf_counter() - begun
    after = engine.client.run_on_scheduler(thread_seconds)
    rows = outcome.answers()["nothing"]["rows"]
    read = engine.statistics.tasks - tasks
    if rows != count or read != count or (watched and told[-1].done != count):
        raise AssertionError(f"{count:,} chunks became {read:,} tasks, {rows:,} rows, and were told as {told[-1:]}")
    merging = int(after.get("tasks combine", 0) - before.get("tasks combine", 0))
    return Passed(seconds, after["cpu"] - before["cpu"], before["resident"], after["highest"], read + merging, merging)


def rows_of(part: str, options: SchedulerBenchmark, found: dict[str, list[Passed]]) -> Any:
    """Rows of one kind of cluster; gives back the seconds of one task, with progress."""
    plain, n = found["plain"], options.chunks
    one, few = plain[0], min(n, options.watched)
    count = options.workers if part == "threads" else options.processes
    kinds = {"threads": "workers in this process", "processes": "worker processes"}
    kind = kinds.get(part, "worker processes, the scheduler apart")
    name = f"{n:,} tasks of nothing, {options.threads} threads of {count} {kind}"

    def each(passes: list[Passed], of: str) -> Timed:
        return Timed.of([getattr(taken, of) / taken.tasks for taken in passes])

    overhead = each(plain, "seconds")
    told = (
        f"{one.seconds:.2f} s, {1 / overhead.value:,.0f} tasks/s, {one.merging:,} tasks more that merge; "
        f"a task is one of {one.tasks:,}"
    )
    yield beside_base(f"{name}: a task", overhead, "what plans reckon with", TASK_OVERHEAD, n, remark=told)
    cpu = each(plain, "cpu")
    yield beside_base(f"{name}: CPU of the scheduler's thread, a task", cpu, "a task", overhead, n)
    progress, same = each(found["watched"], "seconds"), each(found["few"], "seconds")
    what = f"{name}, with progress" if few == n else f"{few:,} of these tasks with progress"
    yield beside_base(f"{what}: a task", progress, "without progress", same, few)
    highest = Timed.of([taken.highest for taken in plain])
    before = Timed.of([taken.before for taken in plain])
    told = f"{1e3 * (highest.value - before.value) / one.tasks:.1f} kB a task"
    memory = f"{name}: memory of the scheduler's process at its highest"
    yield beside_base(memory, highest, "before the pass", before, n, unit="MB", remark=told)
    return max(overhead.value, progress.value)


def foretold(overhead: float) -> Row:
    """Seconds that scheduling takes of a pass over a very large collection: as planned, and a task for each chunk."""
    rows = rows_per_chunk(FORETOLD_SHAPE)
    pixels = FORETOLD_SHAPE[0] * FORETOLD_SHAPE[1]
    source = EmptyChunks(FORETOLD_IMAGES, pixels, rows, FORETOLD_SHAPE, pixels)
    fused, _ = fuse(source, SCAN, {"all": None})
    plan = plan_pass(source, fused, Workers(FORETOLD_WORKERS, 1, None, 1.0, 0))
    tasks, chunks = len(plan.tasks), plan.chunks
    told = f"{tasks:,} tasks of {chunks:,} chunks, {1e3 * overhead:.2f} ms each"
    return beside_base(
        f"scheduling a pass over {FORETOLD_IMAGES:,} images of {pixels} bytes, {FORETOLD_WORKERS} workers, as planned",
        tasks * overhead,
        "a task for each chunk",
        chunks * overhead,
        FORETOLD_IMAGES,
        remark=told,
    )


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "scheduler")
