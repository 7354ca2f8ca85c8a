"""Passes on a Dask cluster: tasks over runs of chunks, states merged in a tree."""

from __future__ import annotations

import pickle
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.config

from fmnist_dask.collection.store import split_code
from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.passes.account import AccountBook, PassAccount, Work
from fmnist_dask.passes.columns import ColumnOnDisk, column_key, holds_column, mark_complete, prepare_columns
from fmnist_dask.passes.fused import FusedScan, PassOutcome, fuse
from fmnist_dask.passes.kept import KeptStates, Known
from fmnist_dask.passes.ledger import name_of
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.passes.meter import Meter
from fmnist_dask.passes.outcomes import cancelled_on_error, noticing_loss, result_of, words_for_rows
from fmnist_dask.passes.protocol import PassProgress, PassStatistics, ProgressCallback, Readable, Scan, State, Tasks
from fmnist_dask.passes.segments import Part, SegmentStore, Span, cut_segments
from fmnist_dask.passes.shared import Shared
from fmnist_dask.passes.sizing import PassPlan, Workers, check_memory, plan_pass, row_bytes, wanted_chunks
from fmnist_dask.passes.tasks import load_task, read_task, run_call, save_task
from fmnist_dask.passes.tree import MergeTree

if TYPE_CHECKING:
    from distributed import Client

#: Parameters that go along with every task of a pass, in all.
EMBEDDED_BYTES = 256 * 2**10
#: Parameters that go along with a task where there are few of them.
EMBEDDED_PART = 2**20


@dataclass(frozen=True)
class _Prepared:
    """A pass that is about to run: its tasks, what an earlier run has left of it, and where its results go."""

    source: Readable
    fused: FusedScan
    plan: PassPlan
    parts: list[Part]
    columns: list[dict[str, ColumnOnDisk]]
    store: SegmentStore | None
    #: Chunks that an earlier run has read.
    resumed: list[int]


class DistributedEngine:
    """Runs requests on a cluster.

    Parameters
    ----------
    client
        A connected :class:`distributed.Client`.
    workers
        What its workers offer.
    scratch
        Directory for columns, seen by driver and workers.
    segments
        Directory for the states of row ranges of long passes, seen by driver and workers; by default none are saved.
    keep
        Told of the account of each pass, and of each set of calls.
    """

    def __init__(
        self,
        client: Client,
        workers: Workers,
        scratch: Path,
        segments: Path | None = None,
        keep: Callable[[PassAccount], None] | None = None,
    ) -> None:
        self.client = client
        self.workers = workers
        self.scratch = scratch
        self.segments = segments
        self.statistics = PassStatistics()
        self.book = AccountBook(client, keep)
        #: Highest predicted resident bytes of a worker so far.
        self.planned_worker_bytes = workers.baseline

    def scan(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> dict[str, Any]:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        return self.run_pass(source, scans, progress).answers()

    def run_pass(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> PassOutcome:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`.

        Raises
        ------
        MemoryLimitError
            A task would not fit the workers. Nothing has run then.
        """
        began = self.book.begin()
        fused, wiring = fuse(source, scans, {scan.split: split_code(source, scan.split) for scan in scans.values()})
        kept = KeptStates.of(source)
        known = kept.known(fused) if kept is not None else Known(fused, {}, {})
        prepared = self._prepare(source, known.fused)
        known.fill(prepared.columns)
        plan = prepared.plan
        self.planned_worker_bytes = max(self.planned_worker_bytes, plan.worker_bytes)
        number = self.statistics.passes + 1
        name = f"{number}-{fused.title}-{uuid.uuid4().hex[:8]}"
        from distributed import span

        with (
            noticing_loss(self.client),
            span(", ".join(scans)),
            Meter(self.client, f"pass {number}", source, plan.tasks, prepared.resumed, progress) as meter,
        ):
            states = known.merged(self._run(prepared, name, meter))
            if prepared.parts:
                # States that were merged are freed by now, outside of any task.
                self.book.enter(_work_of(prepared, number, tuple(scans)), _token(name), began)
        for variables in prepared.columns:
            for written in variables.values():
                mark_complete(Path(written.path).parent)
        self.statistics.passes += bool(prepared.parts)
        self.statistics.tasks += len(plan.tasks)
        self.statistics.chunks_read += plan.chunks
        self.statistics.chunks_resumed += len(prepared.resumed)
        self.statistics.bytes_read += plan.bytes_read
        if kept is not None:
            kept.keep(fused, states, prepared.columns, source.n * row_bytes(source))
        discard = prepared.store.discard if prepared.store is not None else _nothing
        return PassOutcome(source, fused, wiring, states, prepared.columns, discard)  # type: ignore[arg-type]

    def _prepare(self, source: Readable, fused: FusedScan) -> _Prepared:
        """Plan a pass around the ranges that are there."""
        plan = plan_pass(source, fused, self.workers)
        keys = [column_key(source, column, split) for column, split in fused.columns]
        threads = self.workers.total_threads
        sizes = (min(source.chunk_rows, source.n) * row_bytes(source), plan.state_bytes, threads)
        parts = cut_segments(plan.tasks, [], *sizes)
        store, spans = None, list[Span]()
        if self.segments is not None and None not in keys and (len(parts) > 1 or self.segments.is_dir()):
            store = SegmentStore.of(self.segments, source, fused, [key for key in keys if key is not None])
        if store is not None and self._columns_are_there(source, fused, store):
            spans = store.spans()
        elif store is not None:
            store.discard()  # rows that were written are gone
        if spans:
            plan = plan_pass(source, fused, self.workers, spans)
            parts = cut_segments(plan.tasks, spans, *sizes)
        places = [self.scratch / (key or uuid.uuid4().hex) for key in keys]
        columns = [
            prepare_columns(place, source, column) for place, (column, _) in zip(places, fused.columns, strict=True)
        ]
        read = {chunk for task in plan.tasks for chunk in task}
        resumed = [chunk for chunk in wanted_chunks(source, fused) if chunk not in read] if spans else []
        return _Prepared(source, fused, plan, parts, columns, store, resumed)

    def _columns_are_there(self, source: Readable, fused: FusedScan, store: SegmentStore) -> bool:
        """Whether the arrays lie where the ranges that are there have written their rows."""
        keys = store.keys[store.n_reductions :]
        return all(
            holds_column(self.scratch / key, source, column)
            for key, (column, _) in zip(keys, fused.columns, strict=True)
        )

    def _run(self, prepared: _Prepared, name: str, meter: Meter) -> list[State]:
        plan, parts = prepared.plan, prepared.parts
        if not parts:
            return [reduction.initial(prepared.source) for reduction, _ in prepared.fused.reductions]
        tree = MergeTree(self.client, name, plan.fan_in)
        parameters = (prepared.source, prepared.fused, prepared.columns, plan.prefetch, prepared.store)
        count = len(plan.tasks) + len(parts)
        tree.shared = self._share(pickle.dumps(parameters), count, _token(name))
        futures = self.client.map(
            read_task,
            plan.tasks,
            range(len(plan.tasks)),
            # By position: of large arguments by name, Dask makes tasks named like them.
            [tree.shared] * len(plan.tasks),
            topic=meter.topic,
            key=[f"read-{tree.name}-{number}" for number in range(len(plan.tasks))],
            retries=2,
        )
        meter.watch(futures)
        leaves, saves = [], []
        for part in parts:
            if not part.tasks:
                chunks = [chunk for chunk in prepared.resumed if part.span[0] <= chunk < part.span[1]]
                leaves.append(tree.submit(load_task, part.span, chunks))
                continue
            leaves.append(tree.merge([futures[number] for number in part.tasks]))
            if part.saved and prepared.store is not None:
                saves.append(tree.submit(save_task, leaves[-1], part.span, priority=100))
        merged = tree.merge(leaves)
        del futures, leaves  # or workers would keep all states to the end
        states: list[State] = result_of(merged, lambda number: words_for_rows(prepared.source, plan.tasks[number]))
        for save in saves:
            save.exception()  # what is still being saved must not come after it has been discarded
        return states

    def _share(self, pickled: bytes, count: int, key: str) -> Any:
        """What ``count`` tasks share, to be an argument of each."""
        # A handful of tasks that depend on one result would all run where that lies: Dask spreads dependent tasks over
        # the workers only where there are more than two a thread.
        few = count <= 4 * self.workers.total_threads + 1 and len(pickled) <= EMBEDDED_PART
        if few or len(pickled) * count <= EMBEDDED_BYTES:
            return Shared(key, pickled)
        # Large parameters are the result of a task of their own: sent to a worker once, made again if it dies. Small
        # ones go with each task, or tasks would gather where that result lies.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            return self.client.submit(Shared, key, pickled, key=key)

    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        from distributed import as_completed, span

        if not tasks.calls:
            return []
        started = self.book.begin()
        pickled = pickle.dumps(tasks.shared)
        needed = self.workers.baseline + 2 * len(pickled) + self.workers.threads * tasks.task_bytes
        work = Work(None, (tasks.step,), tasks.name, tasks=len(tasks.calls), planned_worker_bytes=needed)
        try:
            check_memory(needed, self.workers, f"each call of '{tasks.name}'")
        except MemoryLimitError:
            if not tasks.here:
                raise
            self.statistics.tasks += len(tasks.calls)
            results = LocalEngine().tasks(tasks, progress)
            self.book.enter_own(work, started)
            return results
        self.planned_worker_bytes = max(self.planned_worker_bytes, needed)
        name = f"{tasks.name.replace(' ', '_')}-{uuid.uuid4().hex[:8]}"
        shared = self._share(pickled, len(tasks.calls), _token(name))
        with span(tasks.name):
            futures = [
                self.client.submit(
                    run_call,
                    shared,
                    call.function,
                    *call.arguments,
                    key=f"{name}-{number}",
                    pure=False,
                    retries=2,
                )
                for number, call in enumerate(tasks.calls)
            ]
        weights = {future.key: call.weight for future, call in zip(futures, tasks.calls, strict=True)}
        done, total = 0, sum(weights.values())
        with noticing_loss(self.client), cancelled_on_error(self.client, futures):
            for future in as_completed(futures):
                result_of(future)
                done += weights[future.key]
                if progress is not None:
                    progress(PassProgress(tasks.name, tasks.unit, done, total, seconds=time.perf_counter() - started))
            results = [result_of(future) for future in futures]
            self.book.enter(work, _token(name), started)
        self.statistics.tasks += len(futures)
        return results


def _token(name: str) -> str:
    """Name of what the tasks of some work share; workers keep its ledger under it."""
    return f"parameters-{name}"


def _work_of(prepared: _Prepared, number: int, steps: tuple[str, ...]) -> Work:
    plan, fused = prepared.plan, prepared.fused
    title = "+".join(dict.fromkeys(name_of(item) for item, _ in (*fused.reductions, *fused.columns)))
    size = (prepared.source.n, len(plan.tasks), plan.chunks, plan.bytes_read)
    return Work(number, steps, title, *size, plan.worker_bytes)


def _nothing() -> None:
    """Nothing is to be discarded."""
