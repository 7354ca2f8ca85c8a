"""The rows of a plan: passes and calls, in order, with tasks, bytes and memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmnist_dask.collection.store import split_code
from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.passes.fused import FusedScan, fuse
from fmnist_dask.passes.kept import KeptStates
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.sizing import PassPlan, Workers, check_memory, plan_pass, row_bytes
from fmnist_dask.workflow.advance import halves
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.plan_steps import FIRST
from fmnist_dask.workflow.planned import PlannedIngest
from fmnist_dask.workflow.schedule import Work


@dataclass(frozen=True)
class Row:
    """One kind of work.

    Attributes
    ----------
    times, most
        How often it comes in a row, and at most.
    bytes_read
        Each time.
    column_bytes
        What it leaves on disk, before compression.
    source, parts, passes
        Of a pass: what it reads, what each step has computed, and how it is cut into tasks.
    request
        Of calls.
    """

    name: str
    steps: tuple[str, ...]
    tasks: int
    task_bytes: int
    worker_bytes: int
    times: int = 1
    most: int | None = None
    chunks: int = 0
    bytes_read: int = 0
    state_bytes: int = 0
    column_bytes: int = 0
    source: Readable | None = None
    parts: tuple[FusedScan, ...] = ()
    passes: PassPlan | None = None
    request: Foreseen | None = None

    @property
    def is_pass(self) -> bool:
        """Whether images are read."""
        return self.passes is not None

    def described(self) -> dict[str, Any]:
        """For people and programs."""
        return {
            "name": self.name,
            "steps": list(self.steps),
            "pass": self.is_pass,
            "times": self.times,
            "most": self.most,
            "tasks": self.tasks,
            "chunks": self.chunks,
            "bytes_read": self.bytes_read,
            "state_bytes": self.state_bytes,
            "task_bytes": self.task_bytes,
            "worker_bytes": self.worker_bytes,
            "column_bytes": self.column_bytes,
        }


def ingest_row(ingest: PlannedIngest, workers: Workers) -> Row:
    """Making the collection."""
    worker_bytes = workers.baseline + workers.threads * ingest.task_bytes
    check_memory(worker_bytes, workers, "the ingest")
    return Row("ingest", ("ingest",), ingest.tasks, ingest.task_bytes, worker_bytes, chunks=ingest.chunks)


def rows_of(work: Iterable[Work], workers: Workers) -> list[Row]:
    """The rows of scheduled work; what is the same again is one row.

    Raises
    ------
    MemoryLimitError
        Something would not fit the workers; the error's step is the first that asks for it.
    """
    known: dict[Any, list[Row]] = {}
    rows: list[Row] = []
    for item in work:
        key = tuple((name, id(request)) for name, request in item.requests.items())
        if key not in known:
            known[key] = list(_pass_rows(item, workers) if item.is_pass else [_calls_row(item, workers)])
        rows += [replace(row, times=item.times, most=item.most) for row in known[key]]
    return _numbered(rows)


def _numbered(rows: list[Row]) -> list[Row]:
    """First passes get their numbers, as the run will count them."""
    number, named = 0, []
    for row in rows:
        title = row.name.replace(FIRST, f"pass {number + 1}") if row.is_pass else row.name
        named.append(replace(row, name=title))
        number += row.times if row.is_pass else 0
    return named


def _pass_rows(work: Work, workers: Workers) -> Iterator[Row]:
    try:
        yield _pass_row(work.name, work.source, work.requests, workers)
        return
    except MemoryLimitError as error:
        if len(work.requests) == 1:
            raise _with_step(error, next(iter(work.requests))) from error
    # As the runner does: what is too much together goes through two passes.
    for part in halves(list(work.requests.items())):
        yield from _pass_rows(replace(work, requests=dict(part)), workers)


def _with_step(error: MemoryLimitError, step: str) -> MemoryLimitError:
    found = MemoryLimitError(f"the step {step}: {error.message}", error.remedy)
    found.step = step
    return found


def _pass_row(name: str, source: Readable, requests: Mapping[str, Foreseen], workers: Workers) -> Row:
    scans = {step: request.scan for step, request in requests.items() if request.scan is not None}
    codes = {scan.split: split_code(source, scan.split) for scan in scans.values()}
    fused, _ = fuse(source, scans, codes)
    kept = KeptStates.of(source)
    read = fused if kept is None else kept.known(fused, load=False).fused
    apart = tuple(fuse(source, {step: scan}, codes)[0] for step, scan in scans.items())
    planned = plan_pass(source, read, workers)
    return Row(
        name=name,
        steps=tuple(requests),
        tasks=len(planned.tasks),
        chunks=planned.chunks,
        bytes_read=planned.bytes_read,
        state_bytes=planned.state_bytes,
        task_bytes=planned.task_bytes,
        worker_bytes=planned.worker_bytes,
        column_bytes=_column_bytes(source, read),
        source=source,
        parts=apart if read == fused else (read,),
        passes=planned,
    )


def _column_bytes(source: Readable, fused: FusedScan) -> int:
    variables = [variable for column, _ in fused.columns for variable in column.variables(source).values()]
    return sum(source.n * np.dtype(v.dtype).itemsize * math.prod(v.shape) for v in variables)


def _calls_row(work: Work, workers: Workers) -> Row:
    step, item = next(iter(work.requests.items()))
    worker_bytes = workers.baseline + 2 * item.shared_bytes + workers.threads * item.task_bytes
    try:
        check_memory(worker_bytes, workers, f"each call of '{item.name}'")
    except MemoryLimitError as error:
        if not item.here:
            raise _with_step(error, step) from error
        worker_bytes = workers.baseline  # the driver makes them
    return Row(item.name, (step,), item.calls, item.task_bytes, worker_bytes, request=item)


def pass_bytes(source: Readable) -> int:
    """Bytes that one pass over all samples reads."""
    return source.n * row_bytes(source)
