"""How a pass is cut into tasks, and how much memory a task takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.protocol import Readable

#: A task reads at least this many times the bytes of its states, so that merging them stays a small part.
INPUT_PER_STATE = 32
#: Seconds that the thread of Dask's scheduler (and of the client beside it) spends on a task, and how many times that a
#: task should last at least for each thread of the cluster (measured: 3 to 9 ms), so that it stays below a tenth.
TASK_OVERHEAD = 0.005
OVERHEAD_FACTOR = 20
#: Bytes of pixels that one thread works through in a second, at least (measured: 250 to 450 MB/s).
THREAD_RATE = 300e6
#: Each thread should get this many tasks where there are chunks enough, so that threads end together. Dask hands out
#: tasks one by one to whoever is free (its queuing of root tasks) only where there are more than two a thread.
TASKS_PER_THREAD = 4
#: Reading ahead takes a second block; it is done where a worker then stays below this share of its limit.
PREFETCH_SHARE = 0.5
#: What an idle worker grows by once it works: code of libraries in use, codecs and event loops started, fragments
#: (measured: 25 to 35 MB).
WORKING_BYTES = 28 * 2**20
#: States that a combine task may hold at once: bytes, and share of a worker's limit.
COMBINE_BYTES = 16 * 2**20
COMBINE_SHARE = 0.1
MAX_FAN_IN = 8


@dataclass(frozen=True)
class Workers:
    """What the workers of a cluster offer.

    Attributes
    ----------
    count
        Worker processes.
    threads
        Threads of each worker.
    memory_limit
        Bytes of each worker; ``None`` where it is not limited.
    usable
        Share of the limit that may be used before Dask begins to spill.
    baseline
        Resident bytes of a worker that holds nothing: what it has imported, and what it grows by once it works.
    """

    count: int
    threads: int
    memory_limit: int | None
    usable: float
    baseline: int

    @property
    def total_threads(self) -> int:
        """Threads of all workers."""
        return self.count * self.threads


@dataclass(frozen=True)
class PassPlan:
    """The tasks of one pass and their memory.

    Attributes
    ----------
    tasks
        Chunk indices of each task, in row order.
    fan_in
        States that one combine task merges.
    task_bytes
        Upper bound of one task: a block (two where one is read ahead), states, temporaries.
    combine_bytes
        Upper bound of one combine task.
    worker_bytes
        Predicted peak resident bytes of a worker.
    bytes_read
        Pixels read.
    prefetch
        Whether tasks read the next chunk while one is worked on.
    """

    tasks: tuple[tuple[int, ...], ...]
    fan_in: int
    state_bytes: int
    task_bytes: int
    combine_bytes: int
    worker_bytes: int
    bytes_read: int
    prefetch: bool = False

    @property
    def chunks(self) -> int:
        """Chunks read."""
        return sum(len(task) for task in self.tasks)


def plan_pass(source: Readable, fused: FusedScan, workers: Workers, done: Sequence[tuple[int, int]] = ()) -> PassPlan:
    """Cut a pass into tasks of consecutive chunks.

    Parameters
    ----------
    done
        Ranges of chunks, ascending, that need not be read; no task reaches over one.

    Raises
    ------
    MemoryLimitError
        A task would not fit a worker; the message says what would.
    """
    chunks = [chunk for chunk in wanted_chunks(source, fused) if not any(start <= chunk < stop for start, stop in done)]
    rows = min(source.chunk_rows, source.n)
    chunk_bytes = rows * row_bytes(source)
    state = fused.state_bytes(source)
    tasks = _split(_group(chunks, chunk_bytes, state, workers.total_threads), done)
    budget = min(COMBINE_BYTES, int(COMBINE_SHARE * (workers.memory_limit or COMBINE_BYTES / COMBINE_SHARE)))
    fan_in = max(2, min(MAX_FAN_IN, budget // max(state, 1)))
    # Chunks that nobody wants may lie between those of a task.
    longest = max((task[-1] - task[0] + 1 for task in tasks), default=1) * source.chunk_rows
    part = fused.part_bytes(source, longest)
    scratch = fused.scratch_bytes(source, rows)
    combine_bytes = (min(fan_in, len(tasks)) + 1) * state
    # States of finished tasks wait on the worker until there are enough to be merged, which goes before the next task;
    # so does one of each level of the tree.
    levels = _levels(len(tasks), fan_in)
    leaves = min(-(-len(tasks) // workers.count), fan_in - 1 + workers.threads - 1)
    waiting = part * leaves + state * (levels - 1) if len(tasks) > 1 else 0

    held = fused.parameter_bytes()

    def worker_peak(task_bytes: int) -> int:
        return (
            workers.baseline
            + held
            + max(task_bytes * workers.threads + waiting, combine_bytes + state * max(1, levels - 1))
        )

    # Decoding holds the compressed chunk beside the decoded one; the next block is read ahead where there is room.
    task_bytes = int(1.6 * chunk_bytes) + part + scratch
    ahead = any(len(task) > 1 for task in tasks) and (
        workers.memory_limit is None or worker_peak(task_bytes + chunk_bytes) <= PREFETCH_SHARE * workers.memory_limit
    )
    task_bytes += chunk_bytes if ahead else 0
    plan = PassPlan(
        tasks, fan_in, state, task_bytes, combine_bytes, worker_peak(task_bytes), _bytes_of(source, chunks), ahead
    )
    check_memory(plan.worker_bytes, workers, f"a pass ({fused.title})")
    return plan


def _levels(tasks: int, fan_in: int) -> int:
    """Levels of the tree that merges the states of all tasks."""
    levels = 0
    while tasks > 1:
        tasks, levels = -(-tasks // fan_in), levels + 1
    return levels


def _group(chunks: list[int], chunk_bytes: int, state: int, threads: int) -> tuple[tuple[int, ...], ...]:
    if not chunks:
        return ()
    least_bytes = max(INPUT_PER_STATE * state, int(OVERHEAD_FACTOR * TASK_OVERHEAD * threads * THREAD_RATE))
    wanted = len(chunks) * chunk_bytes // least_bytes
    count = min(len(chunks), max(wanted, TASKS_PER_THREAD * threads))
    edges = [len(chunks) * part // count for part in range(count + 1)]
    return tuple(tuple(chunks[low:high]) for low, high in itertools.pairwise(edges))


def wanted_chunks(source: Readable, fused: FusedScan) -> list[int]:
    """Chunks that a pass has to read."""
    size = source.chunk_rows
    return [
        chunk for chunk in range(-(-source.n // size)) if fused.wants(chunk * size, min((chunk + 1) * size, source.n))
    ]


def _split(tasks: tuple[tuple[int, ...], ...], done: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Cut tasks that reach over a range that is done: states are merged in row order."""
    for start, _ in done:
        halves = ((tuple(c for c in task if c < start), tuple(c for c in task if c >= start)) for task in tasks)
        tasks = tuple(half for pair in halves for half in pair if half)
    return tasks


def _bytes_of(source: Readable, chunks: list[int]) -> int:
    rows = sum(min((chunk + 1) * source.chunk_rows, source.n) - chunk * source.chunk_rows for chunk in chunks)
    return rows * row_bytes(source)


def row_bytes(source: Readable) -> int:
    """Bytes that every pass reads for one sample: its features."""
    return source.n_features * np.dtype(source.feature_dtype).itemsize


def check_memory(needed: int, workers: Workers, what: str) -> None:
    """Refuse what would make workers spill.

    Raises
    ------
    MemoryLimitError
        ``needed`` is more than the usable part of a worker's memory limit.
    """
    if workers.memory_limit is None or needed <= workers.usable * workers.memory_limit:
        return
    enough = math.ceil(needed / workers.usable / 2**20)
    remedy = f"give workers a memory_limit of at least {enough:,} MiB in the cluster file"
    raise MemoryLimitError(
        f"{what} needs {needed / 2**20:,.0f} MiB a worker "
        f"({workers.baseline / 2**20:,.0f} MiB of it the idle process); "
        f"workers have {workers.memory_limit / 2**20:,.0f} MiB, "
        f"of which Dask uses {workers.usable:.0%} before it spills",
        remedy + (", or use threads_per_worker: 1" if workers.threads > 1 else ""),
    )
