"""Passes on a Dask cluster: tasks over runs of chunks, states merged in a tree."""

from __future__ import annotations

import functools
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_dask.collection.store import split_code
from fmnist_dask.errors import ClusterError, FmnistDaskError
from fmnist_dask.passes.columns import ColumnOnDisk, create_columns
from fmnist_dask.passes.fused import FusedScan, fuse
from fmnist_dask.passes.probe import release_memory
from fmnist_dask.passes.protocol import PassProgress, PassStatistics, ProgressCallback, Readable, Scan, State, Tasks
from fmnist_dask.passes.sizing import PassPlan, Workers, check_memory, plan_pass
from fmnist_dask.passes.worker import combine_states, run_chunks

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds between two signs of progress from one task.
PROGRESS_INTERVAL = 0.2
#: Parameters that go along with every task of a pass, in all.
EMBEDDED_BYTES = 256 * 2**10


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
    """

    def __init__(self, client: Client, workers: Workers, scratch: Path) -> None:
        self.client = client
        self.workers = workers
        # Workers keep arrays open by path: what another run has written must never be found at the same one.
        self.scratch = scratch / uuid.uuid4().hex[:12]
        self.statistics = PassStatistics()
        #: Highest predicted resident bytes of a worker so far.
        self.planned_worker_bytes = workers.baseline

    def scan(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> dict[str, Any]:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`.

        Raises
        ------
        MemoryLimitError
            A task would not fit the workers. Nothing has run then.
        """
        fused, wiring = fuse(source, scans, {scan.split: split_code(source, scan.split) for scan in scans.values()})
        plan = plan_pass(source, fused, self.workers)
        self.planned_worker_bytes = max(self.planned_worker_bytes, plan.worker_bytes)
        number = self.statistics.passes + 1
        columns = [
            create_columns(self.scratch / f"pass-{number:03d}" / f"{position:02d}", source, column)
            for position, (column, _) in enumerate(fused.columns)
        ]
        with _Meter(self.client, f"pass {number}", "images", plan, source, progress) as meter:
            states = self._run(source, fused, plan, columns, f"{number}-{fused.title}", meter)
        # States that were merged are freed by now, outside of any task.
        self.client.run(release_memory)
        self.statistics.passes += bool(plan.tasks)
        self.statistics.tasks += len(plan.tasks)
        self.statistics.chunks_read += plan.chunks
        self.statistics.bytes_read += plan.bytes_read
        results = [
            reduction.aggregate(state, source) for (reduction, _), state in zip(fused.reductions, states, strict=True)
        ]
        return wiring.deliver(results, columns)  # type: ignore[arg-type]

    def _run(
        self,
        source: Readable,
        fused: FusedScan,
        plan: PassPlan,
        columns: list[dict[str, ColumnOnDisk]],
        title: str,
        meter: _Meter,
    ) -> list[State]:
        if not plan.tasks:
            return [reduction.initial(source) for reduction, _ in fused.reductions]
        token = uuid.uuid4().hex[:8]
        parameters = (source, fused, columns, plan.prefetch)
        shared = self._parameters(parameters, len(plan.tasks), f"parameters-{title}-{token}")
        futures = self.client.map(
            _run_task,
            plan.tasks,
            range(len(plan.tasks)),
            specification=shared,
            topic=meter.topic,
            key=[f"read-{title}-{token}-{number}" for number in range(len(plan.tasks))],
            retries=2,
        )
        meter.watch(futures)
        level = 0
        while len(futures) > 1:
            # Without the higher priority all states would wait in memory until the last chunk has been read.
            futures = [
                self.client.submit(
                    _combine_task,
                    futures[at : at + plan.fan_in],
                    specification=shared,
                    key=f"merge-{title}-{token}-{level}-{at}",
                    priority=10 + level,
                    retries=2,
                )
                for at in range(0, len(futures), plan.fan_in)
            ]
            level += 1
        states: list[State] = _result(futures[0])
        return states

    def _parameters(self, value: Any, count: int, key: str) -> Any:
        """What ``count`` tasks share, pickled; to be an argument of each."""
        pickled = pickle.dumps(value)
        if len(pickled) * count <= EMBEDDED_BYTES:
            return pickled
        # Large parameters are the result of a task of their own: sent to a worker once, made again if it dies. Small
        # ones go with each task, or tasks would gather where that result lies.
        return self.client.submit(bytes, pickled, key=key)

    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        from distributed import as_completed

        if not tasks.calls:
            return []
        needed = self.workers.baseline + self.workers.threads * tasks.task_bytes
        check_memory(
            needed, self.workers, f"each call of '{tasks.name}'", "give workers more memory in the cluster file"
        )
        self.planned_worker_bytes = max(self.planned_worker_bytes, needed)
        token, started = uuid.uuid4().hex[:8], time.perf_counter()
        name = tasks.name.replace(" ", "_")
        shared = self._parameters(tasks.shared, len(tasks.calls), f"parameters-{name}-{token}")
        futures = [
            self.client.submit(
                _call, shared, call.function, *call.arguments, key=f"{name}-{token}-{number}", pure=False, retries=2
            )
            for number, call in enumerate(tasks.calls)
        ]
        weights = {future.key: call.weight for future, call in zip(futures, tasks.calls, strict=True)}
        done, total = 0, sum(weights.values())
        try:
            for future in as_completed(futures):
                _result(future)
                done += weights[future.key]
                if progress is not None:
                    progress(PassProgress(tasks.name, tasks.unit, done, total, seconds=time.perf_counter() - started))
            results = [_result(future) for future in futures]
        except BaseException:
            self.client.cancel(futures)
            raise
        self.statistics.tasks += len(futures)
        return results


@functools.lru_cache(maxsize=4)
def _parameters(specification: bytes) -> Any:
    return pickle.loads(specification)  # noqa: S301 - made by this driver


@dataclass(frozen=True)
class _Failure:
    """An error that another try would only repeat: handed on as a value, so that Dask does not retry."""

    error: FmnistDaskError


def _run_task(chunks: Sequence[int], number: int, specification: bytes, topic: str) -> list[State] | _Failure:
    source, fused, columns, prefetch = _parameters(specification)
    try:
        states = run_chunks(source, fused, chunks, columns, _reporter(topic, number, len(chunks)), prefetch)
    except FmnistDaskError as error:
        return _Failure(error)
    release_memory()
    return states


def _call(shared: bytes, function: Callable[..., Any], *arguments: Any) -> Any:
    first = _parameters(shared)
    try:
        outcome = function(*arguments) if first is None else function(first, *arguments)
    except FmnistDaskError as error:
        return _Failure(error)
    release_memory()
    return outcome


def _combine_task(parts: Sequence[list[State] | _Failure], specification: bytes) -> list[State] | _Failure:
    for part in parts:
        if isinstance(part, _Failure):
            return part
    return combine_states(_parameters(specification)[1], [part for part in parts if not isinstance(part, _Failure)])


def _reporter(topic: str, number: int, total: int) -> Callable[[int, int], None]:
    """Tell the scheduler's event log how far a task is, a few times a second."""
    from distributed import get_worker

    worker = get_worker()
    counts = [0, 0]
    last = [time.monotonic()]

    def done(chunks: int, rows: int) -> None:
        counts[0] += chunks
        counts[1] += rows
        now = time.monotonic()
        if counts[0] < total and now - last[0] >= PROGRESS_INTERVAL:
            last[0] = now
            worker.log_event(topic, {"task": number, "chunks": counts[0], "rows": counts[1]})

    return done


def _result(future: Future) -> Any:
    from distributed.scheduler import KilledWorker

    try:
        outcome = future.result()
    except KilledWorker as error:
        raise ClusterError(
            f"workers died {error.allowed_failures + 1} times while they ran {error.task}: "
            "most likely they ran out of memory",
            "give workers a larger memory_limit in the cluster file, and look into their logs",
        ) from error
    if isinstance(outcome, _Failure):
        raise outcome.error
    return outcome


class _Meter:
    """Gathers what tasks tell of their progress into full snapshots."""

    def __init__(
        self,
        client: Client,
        name: str,
        unit: str,
        plan: PassPlan,
        source: Readable,
        progress: ProgressCallback | None,
    ) -> None:
        self.client, self.name, self.unit, self.progress = client, name, unit, progress
        self.topic = f"fmnist-dask-pass-{uuid.uuid4().hex[:8]}"
        self.sizes = [
            (len(task), sum(min((c + 1) * source.chunk_rows, source.n) - c * source.chunk_rows for c in task))
            for task in plan.tasks
        ]
        self.state = [(0, 0)] * len(self.sizes)
        self.started = time.perf_counter()
        # Events come in the client's own thread, futures end in others.
        self.lock = threading.Lock()

    def __enter__(self) -> _Meter:
        if self.progress is not None:
            self.client.subscribe_topic(self.topic, self._on_event)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.progress is not None:
            self.client.unsubscribe_topic(self.topic)
            if kind is None:
                with self.lock:
                    self.state = list(self.sizes)
                    self._tell()

    def watch(self, futures: Sequence[Future]) -> None:
        """Count a task whole when its future is done."""
        if self.progress is None:
            return
        for number, future in enumerate(futures):
            future.add_done_callback(lambda done, number=number: self._on_done(done, number))

    def _on_event(self, event: tuple[float, Any]) -> None:
        message = event[1]
        self._advance(message["task"], (message["chunks"], message["rows"]))

    def _on_done(self, future: Future, number: int) -> None:
        if future.status == "finished":
            self._advance(number, self.sizes[number])

    def _advance(self, number: int, reached: tuple[int, int]) -> None:
        # A task that is run again after its worker's death counts from where it was: progress never goes back.
        with self.lock:
            if reached > self.state[number]:
                self.state[number] = reached
                self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(
                PassProgress(
                    name=self.name,
                    unit=self.unit,
                    done=sum(rows for _, rows in self.state),
                    total=sum(rows for _, rows in self.sizes),
                    chunks_done=sum(chunks for chunks, _ in self.state),
                    chunks_total=sum(chunks for chunks, _ in self.sizes),
                    seconds=time.perf_counter() - self.started,
                )
            )
